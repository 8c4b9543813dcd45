// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
	"github.com/manifest-format/manifest-format/format/layout"
)

const emptyIndex = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`

func TestCreateMakesALayout(t *testing.T) {
	d, path := create(t)
	for name, want := range map[string]string{
		"oci-layout": `{"imageLayoutVersion":"1.0.0"}`,
		"index.json": emptyIndex,
	} {
		if got, err := os.ReadFile(filepath.Join(path, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
	put(t, d, app("1"), "v1")
	onlyLayoutFiles(t, path)

	again, err := layout.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if diff := cmp.Diff([]string{"v1"}, names(t, again)); diff != "" {
		t.Errorf("after a second Create (-want +got):\n%s", diff)
	}
}

func TestCreateLeavesOtherDirectoriesAlone(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, "main.go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := layout.Create(path)
	wants{errdefs.ErrFailedPrecondition, "not empty: it has main.go"}.check(t, err)
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) != 1 {
		t.Errorf("there is now %v (%v)", entries, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	const marker = `{"imageLayoutVersion":"1.0.0"}`
	index := func(manifests string) string { return `{"schemaVersion":2,"manifests":` + manifests + `}` }
	tests := []struct {
		name  string
		files map[string]string
		wants wants
	}{
		{"no layout", nil, wants{errdefs.ErrNotFound, "is no OCI layout: it has no file oci-layout"}},
		{"no index", map[string]string{"oci-layout": marker}, wants{format.ErrCorrupt, "it has no index.json"}},
		{
			"other version",
			map[string]string{"oci-layout": `{"imageLayoutVersion":"2.0.0"}`, "index.json": emptyIndex},
			wants{errdefs.ErrNotImplemented, `imageLayoutVersion is "2.0.0", and only 1.0.0 is understood`},
		},
		{
			"version twice",
			map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0","imageLayoutVersion":"1.0.0"}`, "index.json": emptyIndex},
			wants{format.ErrAmbiguous, "oci-layout"},
		},
		{
			"marker is no JSON",
			map[string]string{"oci-layout": "1.0.0", "index.json": emptyIndex},
			wants{format.ErrCorrupt, "oci-layout"},
		},
		{"index cut short", map[string]string{"oci-layout": marker, "index.json": emptyIndex[:20]}, wants{format.ErrCorrupt, "index.json"}},
		{"index is an array", map[string]string{"oci-layout": marker, "index.json": "[]"}, wants{format.ErrCorrupt, "index.json"}},
		{"index has no manifests", map[string]string{"oci-layout": marker, "index.json": "{}"}, wants{format.ErrCorrupt, "it has no manifests"}},
		{"manifests are no array", map[string]string{"oci-layout": marker, "index.json": index(`{}`)}, wants{format.ErrCorrupt, "no array"}},
		{"entry is no descriptor", map[string]string{"oci-layout": marker, "index.json": index(`[7]`)}, wants{format.ErrCorrupt, "entry 0"}},
		{
			"manifests twice",
			map[string]string{"oci-layout": marker, "index.json": `{"manifests":[],"manifests":[]}`},
			wants{format.ErrAmbiguous, "index.json"},
		},
		{
			"digest of an entry twice",
			map[string]string{"oci-layout": marker, "index.json": index(`[{"digest":"sha256:a","digest":"sha256:b"}]`)},
			wants{format.ErrAmbiguous, "index.json"},
		},
		{
			"index and manifest at once (CVE-2021-41190)",
			map[string]string{"oci-layout": marker, "index.json": `{"manifests":[],"layers":[]}`},
			wants{format.ErrAmbiguous, "as an index and as a manifest"},
		},
		{
			"index says it is a manifest",
			map[string]string{"oci-layout": marker, "index.json": `{"mediaType":"` + ocispec.MediaTypeImageManifest + `","manifests":[]}`},
			wants{format.ErrAmbiguous, "its mediaType is"},
		},
		{
			"index too large",
			map[string]string{"oci-layout": marker, "index.json": emptyIndex + strings.Repeat(" ", 4<<20)},
			wants{format.ErrTooLarge, "index.json"},
		},
		{
			"too many entries",
			map[string]string{"oci-layout": marker, "index.json": index("[" + strings.Repeat("{},", 10_000) + "{}]")},
			wants{format.ErrTooLarge, "more than 10000 entries"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := t.TempDir()
			for name, body := range test.files {
				if err := os.WriteFile(filepath.Join(path, name), []byte(body), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := layout.Open(path)
			test.wants.check(t, err)
		})
	}
	_, err := layout.Open(filepath.Join(t.TempDir(), "none"))
	wants{errdefs.ErrNotFound, "none"}.check(t, err)
}

func TestLayoutKeepsAnImage(t *testing.T) {
	d, _ := create(t)
	image := oci.Image("linux/amd64", "linux/arm64")
	put(t, d, image, "v1", "docker.io/library/app:v2")
	for _, ref := range []string{"", "v1", "v2", "app:v2", "docker.io/library/app:v2", image.Desc.Digest.String()} {
		got, err := d.Resolve(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(image.Desc, got); diff != "" {
			t.Errorf("resolve %q (-want +got):\n%s", ref, diff)
		}
	}
	sameImage(t, d, image)

	child := image.Children[1]
	got, err := d.Resolve(t.Context(), child.Desc.Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	want := child.Desc
	want.Platform = nil // only its index knows
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a manifest that has no name (-want +got):\n%s", diff)
	}
}

func TestResolve(t *testing.T) {
	d, path := create(t)
	a, b, c := app("a"), app("b"), app("c")
	_, err := d.Resolve(t.Context(), "")
	wants{errdefs.ErrNotFound, path + " has no image"}.check(t, err)

	put(t, d, a, "docker.io/library/a:v1")
	put(t, d, b, "example.com/b:v1", "example.com/b:v2")
	for ref, want := range map[string]formattest.Blob{
		"a:v1": a, "docker.io/library/a:v1": a, "example.com/b:v1": b, "v2": b,
	} {
		if got, err := d.Resolve(t.Context(), ref); err != nil || got.Digest != want.Desc.Digest {
			t.Errorf("%s is %s (%v), want %s", ref, got.Digest, err, want.Desc.Digest)
		}
	}
	_, err = d.Resolve(t.Context(), "v1")
	wants{errdefs.ErrInvalidArgument, `2 images called "v1": docker.io/library/a:v1, example.com/b:v1`}.check(t, err)
	_, err = d.Resolve(t.Context(), "v3")
	wants{errdefs.ErrNotFound, `no image called "v3", it has docker.io/library/a:v1, example.com/b:v1, example.com/b:v2`}.check(t, err)
	_, err = d.Resolve(t.Context(), "b:v1")
	wants{errdefs.ErrNotFound, `no image called "b:v1"`}.check(t, err)
	_, err = d.Resolve(t.Context(), "")
	wants{errdefs.ErrInvalidArgument, "2 images, ask for one of docker.io/library/a:v1, example.com/b:v1"}.check(t, err)
	_, err = d.Resolve(t.Context(), c.Desc.Digest.String())
	wants{errdefs.ErrNotFound, "has no blob " + c.Desc.Digest.String()}.check(t, err)
	_, err = d.Resolve(t.Context(), a.Children[1].Desc.Digest.String())
	wants{errdefs.ErrInvalidArgument, "neither a manifest nor an index"}.check(t, err)
	_, err = d.Resolve(t.Context(), a.Children[0].Desc.Digest.String())
	wants{errdefs.ErrInvalidArgument, "neither a manifest nor an index"}.check(t, err)

	// A tag on its own names one image, for every tool.
	put(t, d, c, "v1")
	if got, err := d.Resolve(t.Context(), "v1"); err != nil || got.Digest != c.Desc.Digest {
		t.Errorf("v1 is %s (%v), want %s", got.Digest, err, c.Desc.Digest)
	}
	for ref, want := range map[string]formattest.Blob{"a:v1": a, "example.com/b:v1": b} {
		if got, err := d.Resolve(t.Context(), ref); err != nil || got.Digest != want.Desc.Digest {
			t.Errorf("afterwards %s is %s (%v), want %s", ref, got.Digest, err, want.Desc.Digest)
		}
	}
}

func TestReferrers(t *testing.T) {
	d, _ := create(t)
	image := app("1")
	put(t, d, image, "v1")
	put(t, d, app("2"), "v2")
	sbom := artifact(image.Desc, "application/spdx+json")
	putBlob(t, d, sbom)
	for range 2 {
		if err := d.PutReferrer(t.Context(), sbom.Desc); err != nil {
			t.Fatal(err)
		}
	}
	want := sbom.Desc
	want.ArtifactType = "application/spdx+json"
	want.Annotations = map[string]string{"purpose": "test"}
	got, err := d.Referrers(t.Context(), image.Desc)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ocispec.Descriptor{want}, got); diff != "" {
		t.Errorf("referrers (-want +got):\n%s", diff)
	}
	if got, err := d.Referrers(t.Context(), app("2").Desc); err != nil || len(got) != 0 {
		t.Errorf("another image has referrers %v (%v)", got, err)
	}
	wants{errdefs.ErrInvalidArgument, "refers to no subject"}.check(t, d.PutReferrer(t.Context(), image.Desc))
	wants{errdefs.ErrNotFound, "has no blob"}.check(t, d.PutReferrer(t.Context(), artifact(image.Desc, "x/y").Desc))
}

func TestReferrersAreNoOtherImage(t *testing.T) {
	d, _ := create(t)
	image := app("1")
	put(t, d, image)
	sbom := artifact(image.Desc, "application/spdx+json")
	putBlob(t, d, sbom)
	if err := d.PutReferrer(t.Context(), sbom.Desc); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Resolve(t.Context(), ""); err != nil || got.Digest != image.Desc.Digest {
		t.Errorf("the only image is %s (%v), want %s", got.Digest, err, image.Desc.Digest)
	}
}

func TestWriterComparesContent(t *testing.T) {
	d, path := create(t)
	body := []byte("hello")
	right := ocispec.Descriptor{Digest: digest.FromBytes(body), Size: 5}
	other := digest.FromString("other")
	tests := []struct {
		name     string
		announce ocispec.Descriptor
		commit   ocispec.Descriptor
		says     string
	}{
		{"digest announced", ocispec.Descriptor{Digest: other}, ocispec.Descriptor{}, "its content is " + right.Digest.String()},
		{"digest at commit", ocispec.Descriptor{}, ocispec.Descriptor{Digest: other}, "its content is"},
		{"size at commit", ocispec.Descriptor{}, ocispec.Descriptor{Size: 6}, "5 bytes, not 6"},
		{"fewer than announced", ocispec.Descriptor{Size: 6}, ocispec.Descriptor{}, "5 bytes, not 6"},
		{"more than announced", ocispec.Descriptor{Size: 4}, ocispec.Descriptor{}, "more than the 4 bytes announced"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, err := d.Writer(t.Context(), content.WithDescriptor(test.announce))
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.Write(body)
			if err == nil {
				err = w.Commit(t.Context(), test.commit.Size, test.commit.Digest)
			}
			wants{format.ErrCorrupt, test.says}.check(t, err)
			if err := w.Close(); err != nil {
				t.Error(err)
			}
			onlyLayoutFiles(t, path)
		})
	}
}

func TestWriter(t *testing.T) {
	d, path := create(t)
	body := []byte("hello")
	desc := ocispec.Descriptor{Digest: digest.FromBytes(body), Size: 5}

	w, err := d.Writer(t.Context()) // a layer that is being recompressed
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("not this")); err != nil {
		t.Fatal(err)
	}
	if err := w.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, bytes.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReaderAt(t.Context(), desc); !errdefs.IsNotFound(err) {
		t.Errorf("before Commit: %v, want not found", err)
	}
	if err := w.Commit(t.Context(), 0, ""); err != nil {
		t.Fatal(err)
	}
	if got := w.Digest(); got != desc.Digest {
		t.Errorf("digest %s, want %s", got, desc.Digest)
	}
	if err := w.Commit(t.Context(), 0, ""); err == nil {
		t.Error("a second Commit is no error")
	}
	if got, err := read(t, d, desc); err != nil || string(got) != "hello" {
		t.Errorf("read %q (%v)", got, err)
	}

	if _, err := d.Writer(t.Context(), content.WithDescriptor(desc)); !errdefs.IsAlreadyExists(err) {
		t.Errorf("writing it again: %v, want already exists", err)
	}
	w, err = d.Writer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context(), 0, ""); !errdefs.IsAlreadyExists(err) {
		t.Errorf("committing it again: %v, want already exists", err)
	}

	w, err = d.Writer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if _, err := w.Write(body); err == nil {
		t.Error("a write after Close is no error")
	}
	if _, err := d.Writer(t.Context(), content.WithDescriptor(ocispec.Descriptor{Digest: "sha256:../../x"})); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a digest that is none: %v, want invalid argument", err)
	}
	onlyLayoutFiles(t, path)
}

// A blob that someone cut short is written again, not taken for there.
func TestWriterMendsABlobOfAnotherSize(t *testing.T) {
	d, path := create(t)
	image := app("1")
	put(t, d, image, "v1")
	layer := image.Children[2]
	file := filepath.Join(path, "blobs", "sha256", layer.Desc.Digest.Encoded())
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, layer.Body[:10], 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := d.ReaderAt(t.Context(), layer.Desc)
	wants{format.ErrCorrupt, "10 bytes, its descriptor says"}.check(t, err)
	putBlob(t, d, layer)
	sameImage(t, d, image)
}

func TestReadComparesContent(t *testing.T) {
	d, path := create(t)
	body := bytes.Repeat([]byte("abcd"), 100_000)
	desc := ocispec.Descriptor{Digest: digest.FromBytes(body), Size: int64(len(body))}
	putBlob(t, d, formattest.Blob{Desc: desc, Body: body})
	file := filepath.Join(path, "blobs", "sha256", desc.Digest.Encoded())
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	body[200_000]++
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := read(t, d, desc)
	wants{format.ErrCorrupt, "its content is " + digest.FromBytes(body).String()}.check(t, err)

	ra, err := d.ReaderAt(t.Context(), desc)
	if err != nil {
		t.Fatal(err)
	}
	defer ra.Close()
	// A reader that looks at the start first, and that asks for all at once.
	if _, err := ra.ReadAt(make([]byte, 4), 0); err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadFull(content.NewReader(ra), make([]byte, len(body)))
	wants{format.ErrCorrupt, "its content is"}.check(t, err)
	_, err = ra.ReadAt(make([]byte, 4), 100)
	wants{format.ErrCorrupt, "its content is"}.check(t, err)
}

func TestDirStaysInside(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	desc := ocispec.Descriptor{Digest: digest.FromString("secret"), Size: 6}
	tests := map[string]func(path string) error{
		"blob is a link out": func(path string) error {
			if err := os.Mkdir(filepath.Join(path, "blobs", "sha256"), 0o700); err != nil {
				return err
			}
			return os.Symlink(secret, filepath.Join(path, "blobs", "sha256", desc.Digest.Encoded()))
		},
		"directory is a link out": func(path string) error {
			other := filepath.Dir(secret)
			if err := os.Link(secret, filepath.Join(other, desc.Digest.Encoded())); err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
			return os.Symlink(other, filepath.Join(path, "blobs", "sha256"))
		},
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			d, path := create(t)
			if err := prepare(path); err != nil {
				t.Fatal(err)
			}
			if body, err := read(t, d, desc); err == nil {
				t.Errorf("it read %q", body)
			} else if !strings.Contains(err.Error(), "escapes") {
				t.Errorf("error %q does not say why", err)
			}
		})
	}
}
