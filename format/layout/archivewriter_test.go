// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
	"github.com/manifest-format/manifest-format/format/layout"
)

// writeArchive returns what fill has written, opened, and its bytes.
func writeArchive(t testing.TB, fill func(place)) (*layout.Archive, []byte) {
	t.Helper()
	var b bytes.Buffer
	w := layout.WriteArchive(&b)
	fill(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	a, err := open(t, bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return a, b.Bytes()
}

// large is a blob that is not held in memory.
func large(seed uint64) formattest.Blob {
	body := make([]byte, 5<<20)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(body) // never fails
	return formattest.Blob{Body: body, Desc: ocispec.Descriptor{Digest: digest.FromBytes(body), Size: int64(len(body))}}
}

// list shows a tar's headers, and checks that no time or owner is in them.
func list(t testing.TB, body []byte) []string {
	t.Helper()
	var names []string
	r := tar.NewReader(bytes.NewReader(body))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(time.Unix(0, 0)) || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" {
			t.Errorf("%s has a time or an owner: %+v", h.Name, h)
		}
		names = append(names, h.Name)
	}
}

// content of one file of a tar.
func fileOf(t testing.TB, body []byte, name string) string {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(body))
	for {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if h.Name == name {
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
	}
}

func TestWriteArchive(t *testing.T) {
	image := app("1")
	big := large(1)
	fill := func(p place) {
		putBlob(t, p, big)
		w, err := p.Writer(t.Context()) // a layer that is being recompressed
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("not this")); err != nil {
			t.Fatal(err)
		}
		if err := w.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(image.Children[2].Body); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(t.Context(), 0, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Writer(t.Context(), content.WithDescriptor(image.Children[2].Desc)); !errdefs.IsAlreadyExists(err) {
			t.Errorf("writing it again: %v, want already exists", err)
		}
		put(t, p, image, "example.com/team/app:v1", "app:v2", "v3")
	}
	a, body := writeArchive(t, fill)
	sameImage(t, a, image)
	sameImage(t, a, big)
	want := []string{
		"blobs/", "blobs/sha256/", blobFile(big), blobFile(image.Children[2]), blobFile(image.Children[0]), blobFile(image.Children[1]),
		blobFile(image), "index.json", "oci-layout", "manifest.json",
	}
	if diff := cmp.Diff(want, list(t, body)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"example.com/team/app:v1", "docker.io/library/app:v2", "v3"}, names(t, a)); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if _, again := writeArchive(t, fill); !bytes.Equal(body, again) {
		t.Error("the same input gives other bytes the second time")
	}
}

// What `docker load` reads without the containerd image store.
func TestWriteArchiveForDockerLoad(t *testing.T) {
	image, other := app("1"), app("2")
	layers := func(image formattest.Blob) string {
		return fmt.Sprintf(`[%q,%q]`, blobFile(image.Children[1]), blobFile(image.Children[2]))
	}
	attested := oci.Index(image, oci.Attestation(false, image, "https://spdx.dev/Document"))
	zstd := oci.Manifest("linux/amd64", oci.Layer(format.Zstd, "a=b"))
	entry := func(image formattest.Blob, tags string) string {
		return `{"Config":"` + blobFile(image.Children[0]) + `","RepoTags":` + tags + `,"Layers":` + layers(image) + `}`
	}
	tests := []struct {
		name string
		fill func(p place)
		want string
	}{
		{
			"one image", func(p place) { put(t, p, image, "docker.io/library/app:v1", "example.com/app:v1", "v1") },
			"[" + entry(image, `["app:v1","example.com/app:v1","v1:latest"]`) + "]",
		},
		{"by digest", func(p place) { put(t, p, image, "example.com/app@"+image.Desc.Digest.String(), "V1") }, "[" + entry(image, "[]") + "]"},
		{"no name", func(p place) { put(t, p, image) }, "[" + entry(image, "[]") + "]"},
		{"with attestations", func(p place) { put(t, p, attested, "app:v1") }, "[" + entry(image, `["app:v1"]`) + "]"},
		{
			"several images", func(p place) { put(t, p, image, "app:v1"); put(t, p, other, "app:v2") },
			"[" + entry(image, `["app:v1"]`) + "," + entry(other, `["app:v2"]`) + "]",
		},
		{
			"zstd", func(p place) { put(t, p, zstd) },
			`[{"Config":"` + blobFile(zstd.Children[0]) + `","RepoTags":[],"Layers":["` + blobFile(zstd.Children[1]) + `"]}]`,
		},
		{"two platforms", func(p place) { put(t, p, oci.Image("linux/amd64", "linux/arm64"), "app:v1") }, ""},
		{
			"a layer elsewhere", func(p place) {
				if err := p.PutRoot(t.Context(), image.Desc, image.Body, "app:v1"); err != nil {
					t.Fatal(err)
				}
			}, "",
		},
		{"an artifact", func(p place) { put(t, p, artifact(image.Desc, "application/spdx+json")) }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, body := writeArchive(t, test.fill)
			if test.want == "" {
				if slices.Contains(list(t, body), "manifest.json") {
					t.Errorf("there is a manifest.json: %s", fileOf(t, body, "manifest.json"))
				}
				return
			}
			if diff := cmp.Diff(test.want, fileOf(t, body, "manifest.json")); diff != "" {
				t.Errorf("manifest.json (-want +got):\n%s", diff)
			}
		})
	}
}

// fails is a blob that is given up halfway, or that is not what it should be.
func fails(t testing.TB, p place, b formattest.Blob, body []byte) {
	t.Helper()
	w, err := p.Writer(t.Context(), content.WithDescriptor(b.Desc))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if len(body) == len(b.Body) {
		wants{format.ErrCorrupt, "its content is"}.check(t, w.Commit(t.Context(), 0, ""))
	}
	if err := w.Close(); err != nil && !strings.Contains(err.Error(), "cannot be taken back") {
		t.Error(err)
	}
}

// A file takes back what was written of a blob that failed, so that it can be
// tried again. A stream cannot.
func TestBlobThatFails(t *testing.T) {
	image, big := app("1"), large(1)
	path := filepath.Join(t.TempDir(), "a.tar")
	w, err := layout.CreateArchive(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	fails(t, w, big, big.Body[:1<<20])
	fails(t, w, big, large(2).Body)
	small := image.Children[1]
	fails(t, w, small, small.Body[:10])
	putBlob(t, w, big)
	put(t, w, image, "v1")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(); err != nil {
		t.Errorf("Abort after Close: %v", err)
	}
	a, err := layout.OpenArchive(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	sameImage(t, a, image)
	sameImage(t, a, big)
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := list(t, body); len(got) != 10 {
		t.Errorf("it has %d files: %v", len(got), got)
	}

	stream := layout.WriteArchive(io.Discard)
	fails(t, stream, small, small.Body[:10]) // from memory: nothing went out
	putBlob(t, stream, small)
	fails(t, stream, big, big.Body[:1<<20])
	_, err = stream.Writer(t.Context(), content.WithDescriptor(big.Desc))
	if err == nil || !strings.Contains(err.Error(), "cannot be taken back") {
		t.Errorf("error %v does not say that the stream is useless", err)
	}
	if err := stream.Close(); err == nil || !strings.Contains(err.Error(), "cannot be taken back") {
		t.Errorf("error %v does not say that the stream is useless", err)
	}
}

func TestCreateArchiveAppearsWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.tar")
	if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	content := func() string {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	only := func() {
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("the directory has %v (%v)", entries, err)
		}
	}
	w, err := layout.CreateArchive(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, w, app("1"), "v1")
	if content() != "before" {
		t.Error("the file changed before Close")
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	only()
	if err := w.Close(); err == nil {
		t.Error("Close after Abort says that all is well")
	}

	if w, err = layout.CreateArchive(path); err != nil {
		t.Fatal(err)
	}
	putBlob(t, w, app("1").Children[1])
	wants{errdefs.ErrFailedPrecondition, "no image was written"}.check(t, w.Close())
	if content() != "before" {
		t.Error("the file changed without an image")
	}
	only()

	if w, err = layout.CreateArchive(path); err != nil {
		t.Fatal(err)
	}
	put(t, w, app("1"), "v1")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if content() == "before" {
		t.Error("the file is the old one after Close")
	}
	only()
	if err := w.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if _, err := w.Writer(t.Context()); err == nil {
		t.Error("a write after Close is no error")
	}
	_, err = layout.CreateArchive(dir)
	wants{errdefs.ErrInvalidArgument, "no regular file"}.check(t, err)
}

func TestCreateArchiveKeepsPermissions(t *testing.T) {
	for _, perm := range []os.FileMode{0o600, 0o666} { // one that any umask would widen, one that it would narrow
		path := filepath.Join(t.TempDir(), "a.tar")
		if err := os.WriteFile(path, nil, perm); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, perm); err != nil {
			t.Fatal(err)
		}
		w, err := layout.CreateArchive(path)
		if err != nil {
			t.Fatal(err)
		}
		put(t, w, app("1"), "v1")
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != perm || info.Size() == 0 {
			t.Errorf("a file of %v became one of %v", perm, info.Mode())
		}
	}
}

func TestArchiveWriterWaitsForItsTurn(t *testing.T) {
	w := layout.WriteArchive(io.Discard)
	first, err := w.Writer(t.Context(), content.WithDescriptor(large(1).Desc))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := w.Writer(ctx, content.WithDescriptor(large(2).Desc)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second large blob: %v, want deadline exceeded", err)
	}
	if err := w.Close(); err == nil || !strings.Contains(err.Error(), "while a blob was being written") {
		t.Errorf("Close while a blob is open: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
}

func TestArchiveWriterConcurrently(t *testing.T) {
	images := []formattest.Blob{app("1"), app("2"), app("3"), app("4")}
	shared := []formattest.Blob{large(1), large(2)}
	a, _ := writeArchive(t, func(p place) {
		var group errgroup.Group
		for _, image := range images {
			group.Go(func() error {
				for _, child := range slices.Concat(shared, image.Children) {
					if err := content.WriteBlob(t.Context(), p, "", bytes.NewReader(child.Body), child.Desc); err != nil {
						return err
					}
				}
				return p.PutRoot(t.Context(), image.Desc, image.Body, "v"+image.Desc.Digest.Encoded()[:8])
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
	})
	for _, b := range slices.Concat(images, shared) {
		sameImage(t, a, b)
	}
}

// Law: from a layout to an archive to a layout, nothing changes.
func TestRoundTrip(t *testing.T) {
	first, _ := create(t)
	image := oci.Image("linux/amd64", "linux/arm64")
	put(t, first, image, "v1")
	copyTo := func(dst place, src content.Provider, root ocispec.Descriptor) {
		t.Helper()
		err := format.Copy(t.Context(), dst, src, root, format.CopyOptions{
			Root: func(ctx context.Context, desc ocispec.Descriptor, body []byte) error {
				return dst.PutRoot(ctx, desc, body, "v1")
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	a, _ := writeArchive(t, func(p place) { copyTo(p, first, image.Desc) })
	root, err := a.Resolve(t.Context(), "v1")
	if err != nil {
		t.Fatal(err)
	}
	second, path := create(t)
	copyTo(second, a, root)
	sameImage(t, second, image)
	got, err := second.Resolve(t.Context(), "v1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(image.Desc, got); diff != "" {
		t.Errorf("root (-want +got):\n%s", diff)
	}
	onlyLayoutFiles(t, path)
}

// What docker save wrote becomes an image that a registry takes.
func TestConvertDockerSave(t *testing.T) {
	s := save("1")
	a, err := open(t, bytes.NewReader(pack(t, s.old("app:v1"))))
	if err != nil {
		t.Fatal(err)
	}
	root, err := a.Resolve(t.Context(), "app:v1")
	if err != nil {
		t.Fatal(err)
	}
	for _, profile := range []format.Profile{format.ProfileDocker(), format.ProfileOCI()} {
		dst, _ := create(t)
		stage := format.NewStage(a, dst)
		result, err := format.Convert(t.Context(), stage, root, profile, format.Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = format.Copy(t.Context(), dst, stage, result.Root, format.CopyOptions{
			Root: func(ctx context.Context, desc ocispec.Descriptor, body []byte) error {
				return dst.PutRoot(ctx, desc, body, "v1")
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		report, err := format.Check(t.Context(), dst, result.Root, profile)
		if err != nil {
			t.Fatal(err)
		}
		if !report.OK() {
			t.Errorf("for %s: %v", profile.Name, report.Findings)
		}
	}
}
