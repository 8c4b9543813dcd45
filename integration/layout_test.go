// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/layout"
	"github.com/manifest-format/manifest-format/integration/engines"
)

// images is a layout or an archive.
type images interface {
	content.Provider
	Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error)
	io.Closer
}

func openImages(t *testing.T, path string) images {
	t.Helper()
	var opened images
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		opened, err = layout.Open(path)
	} else if err == nil {
		opened, err = layout.OpenArchive(t.Context(), path)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	return opened
}

// readWhole reads every blob of an image, which compares it with its digest,
// and counts them.
func readWhole(t *testing.T, src content.Provider, root ocispec.Descriptor) int {
	t.Helper()
	count := 0
	for node, err := range format.Walk(t.Context(), src, root) {
		if err != nil {
			t.Fatal(err)
		}
		ra, err := src.ReaderAt(t.Context(), node.Desc)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, content.NewReader(ra)); err != nil {
			t.Error(err)
		}
		ra.Close()
		count++
	}
	return count
}

// TestLayoutsOfOthers reads what other tools write.
func TestLayoutsOfOthers(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	bake(t, repo, "oci", scratch, nil)
	ref, root := repo.ref("oci"), repo.digestOf(t, "oci")
	// The blobs of an image of two platforms: an index, two manifests, two
	// configs, two layers each.
	const whole, one = 9, 4
	for _, writer := range []struct {
		name, out, resolve string
		command            []string
		blobs              int
	}{
		{"crane layout", "out", "", []string{"crane", "pull", "--format=oci", ref, "out"}, whole},
		{"crane tarball", "out.tar", "oci", []string{"crane", "pull", "--platform=linux/amd64", ref, "out.tar"}, one},
		{"crane legacy", "out.tar", "oci", []string{"crane", "pull", "--format=legacy", "--platform=linux/amd64", ref, "out.tar"}, one},
		{"oras layout", "out", "v1", []string{"oras", "cp", "--from-plain-http", "--to-oci-layout", ref, "out:v1"}, whole},
		{"regctl layout", "out", "v1", []string{"regctl", "image", "copy", ref, "ocidir://out:v1"}, whole},
		{"regctl archive", "out.tar", "", []string{"regctl", "image", "export", ref, "out.tar"}, whole},
		{"regctl gzip", "out.tar", "", []string{"regctl", "image", "export", "--compress", ref, "out.tar"}, whole},
		{"skopeo layout", "out", "v1", []string{"skopeo", "copy", "--all", "--preserve-digests", "docker://" + ref, "oci:out:v1"}, whole},
		{"skopeo archive", "out.tar", "v1", []string{"skopeo", "copy", "--all", "--preserve-digests", "docker://" + ref, "oci-archive:out.tar:v1"}, whole},
		{"skopeo docker-archive", "out.tar", "app:v1", []string{"skopeo", "copy", "docker://" + ref, "docker-archive:out.tar:app:v1"}, one},
	} {
		t.Run(writer.name, func(t *testing.T) {
			home := engines.NewHome(t, registry.Addr)
			home.Run(t, writer.command[0], writer.command[1:]...)
			src := openImages(t, filepath.Join(home.Dir, writer.out))
			got, err := src.Resolve(t.Context(), writer.resolve)
			if err != nil {
				t.Fatal(err)
			}
			if writer.blobs == whole && got.Digest != root {
				t.Errorf("it has %s, the registry %s", got.Digest, root)
			}
			if n := readWhole(t, src, got); n != writer.blobs {
				t.Errorf("it has %d blobs, want %d", n, writer.blobs)
			}
		})
	}
}

// writeImages writes the image at root into a place.
func writeImages(t *testing.T, dst interface {
	content.Ingester
	PutRoot(ctx context.Context, desc ocispec.Descriptor, body []byte, refs ...string) error
}, src content.Provider, root ocispec.Descriptor, refs ...string,
) {
	t.Helper()
	put := func(ctx context.Context, desc ocispec.Descriptor, body []byte) error {
		return dst.PutRoot(ctx, desc, body, refs...)
	}
	if err := format.Copy(t.Context(), dst, src, root, format.CopyOptions{Root: put}); err != nil {
		t.Fatal(err)
	}
}

// TestLayoutsForOthers has other tools read what is written here.
func TestLayoutsForOthers(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	bake(t, repo, "oci", scratch, nil)
	home := engines.NewHome(t, registry.Addr)
	home.Run(t, "oras", "cp", "--from-plain-http", "--to-oci-layout", repo.ref("oci"), "source:v1")
	source := openImages(t, filepath.Join(home.Dir, "source"))
	root, err := source.Resolve(t.Context(), "v1")
	if err != nil {
		t.Fatal(err)
	}
	var amd64 ocispec.Descriptor
	for node, err := range format.Walk(t.Context(), source, root) {
		if err != nil {
			t.Fatal(err)
		}
		if node.Desc.Platform != nil && node.Desc.Platform.Architecture == "amd64" {
			amd64 = node.Desc
		}
	}
	dir, err := layout.Create(filepath.Join(home.Dir, "dir"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	writeImages(t, dir, source, root, "v1")
	for name, image := range map[string]ocispec.Descriptor{"all.tar": root, "one.tar": amd64} {
		archive, err := layout.CreateArchive(filepath.Join(home.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		writeImages(t, archive, source, image, "example.com/app:v1")
		if err := archive.Close(); err != nil {
			t.Fatal(err)
		}
	}

	out := func(name string, args ...string) string { return strings.TrimSpace(home.Run(t, name, args...).Stdout) }
	expect := func(reader string, want, got digest.Digest) {
		if got != want {
			t.Errorf("%s reads %s, want %s", reader, got, want)
		}
	}
	expect("oras", root.Digest, digest.FromString(home.Run(t, "oras", "manifest", "fetch", "--oci-layout", "dir:v1").Stdout))
	expect("regctl", root.Digest, digest.Digest(out("regctl", "image", "digest", "ocidir://dir:v1")))
	expect("skopeo", root.Digest, digest.FromString(home.Run(t, "skopeo", "inspect", "--raw", "oci:dir:v1").Stdout))
	expect("skopeo oci-archive", root.Digest, digest.FromString(home.Run(t, "skopeo", "inspect", "--raw", "oci-archive:all.tar:v1").Stdout))
	out("crane", "push", "dir", repo.ref("crane"))
	expect("crane", root.Digest, repo.digestOf(t, "crane"))
	out("crane", "push", "one.tar", repo.ref("tarball"))
	out("crane", "validate", "--remote", repo.ref("tarball"))
	out("regctl", "image", "import", repo.ref("regctl"), "all.tar")
	expect("regctl import", root.Digest, repo.digestOf(t, "regctl"))
	out("skopeo", "copy", "docker-archive:one.tar:example.com/app:v1", "docker://"+repo.ref("skopeo"))
	out("crane", "validate", "--remote", repo.ref("skopeo"))

	t.Run("containerd", func(t *testing.T) {
		if os.Geteuid() != 0 && os.Getenv("CI") == "" {
			t.Skip("containerd needs root")
		}
		for name, o := range map[string]engines.ContainerdOptions{"2": {}, "1": {V1: true}} {
			c := engines.StartContainerd(t, o)
			c.Ctr(t, "images", "import", "--all-platforms", filepath.Join(home.Dir, "all.tar"))
			if got := c.Ctr(t, "images", "ls").Stdout; !strings.Contains(got, "example.com/app:v1") || !strings.Contains(got, root.Digest.String()) {
				t.Errorf("containerd %s has\n%s", name, got)
			}
			// And back.
			exported := filepath.Join(t.TempDir(), "exported.tar")
			c.Ctr(t, "images", "export", "--all-platforms", exported, "example.com/app:v1")
			src := openImages(t, exported)
			got, err := src.Resolve(t.Context(), "example.com/app:v1")
			if err != nil || got.Digest != root.Digest {
				t.Fatalf("containerd %s exports %s (%v), want %s", name, got.Digest, err, root.Digest)
			}
			readWhole(t, src, got)
		}
	})
	t.Run("podman", func(t *testing.T) {
		if os.Geteuid() != 0 && os.Getenv("CI") == "" {
			t.Skip("podman needs root")
		}
		archives, home := home.Dir, engines.NewHome(t, registry.Addr)
		for _, name := range []string{"one.tar", "all.tar"} {
			home.Run(t, "podman", "load", "--input", filepath.Join(archives, name))
		}
		for _, kind := range []string{"docker-archive", "oci-archive"} {
			home.Run(t, "podman", "save", "--format", kind, "--output", kind+".tar", "example.com/app:v1")
			src := openImages(t, filepath.Join(home.Dir, kind+".tar"))
			got, err := src.Resolve(t.Context(), "example.com/app:v1")
			if err != nil {
				t.Fatal(err)
			}
			readWhole(t, src, got)
		}
	})
}
