// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
	"github.com/manifest-format/manifest-format/format/layout"
)

// place is what a layout and an archive that is written have in common.
type place interface {
	content.Ingester
	PutRoot(ctx context.Context, desc ocispec.Descriptor, body []byte, refs ...string) error
	PutReferrer(ctx context.Context, desc ocispec.Descriptor) error
}

var oci = formattest.Builder{Format: format.OCI}

// app is a single-platform image with two layers.
func app(text string) formattest.Blob {
	return oci.Manifest("linux/amd64",
		oci.Layer(format.Gzip, "etc/os-release=ID=none\n"), oci.Layer(format.Gzip, "bin/app="+text))
}

// put writes an image, everything below it first.
func put(t testing.TB, p place, image formattest.Blob, refs ...string) ocispec.Descriptor {
	t.Helper()
	for _, child := range image.Children {
		putBlob(t, p, child)
	}
	desc := image.Desc
	if err := p.PutRoot(t.Context(), desc, image.Body, refs...); err != nil {
		t.Fatal(err)
	}
	return desc
}

func putBlob(t testing.TB, p content.Ingester, b formattest.Blob) {
	t.Helper()
	for _, child := range b.Children {
		putBlob(t, p, child)
	}
	if err := content.WriteBlob(t.Context(), p, "test", bytes.NewReader(b.Body), b.Desc); err != nil {
		t.Fatal(err)
	}
}

// create makes a layout in a new directory.
func create(t testing.TB) (*layout.Dir, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "layout")
	d, err := layout.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, path
}

// read reads a blob as a consumer would: in pieces, to the end.
func read(t testing.TB, p content.Provider, desc ocispec.Descriptor) ([]byte, error) {
	t.Helper()
	ra, err := p.ReaderAt(t.Context(), desc)
	if err != nil {
		return nil, err
	}
	defer ra.Close()
	return io.ReadAll(content.NewReader(ra))
}

// sameImage fails the test unless p has the image and everything below it.
func sameImage(t testing.TB, p content.Provider, image formattest.Blob) {
	t.Helper()
	body, err := read(t, p, image.Desc)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(body, image.Body) {
		t.Fatalf("blob %s is another one", image.Desc.Digest)
	}
	for _, child := range image.Children {
		sameImage(t, p, child)
	}
}

// artifact is a manifest that refers to an image.
func artifact(subject ocispec.Descriptor, artifactType string) formattest.Blob {
	empty := formattest.Blob{Body: []byte("{}"), Desc: ocispec.DescriptorEmptyJSON}
	empty.Desc.Data = nil
	body, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     ocispec.MediaTypeImageManifest,
		"artifactType":  artifactType,
		"config":        empty.Desc,
		"layers":        []ocispec.Descriptor{empty.Desc},
		"subject":       ocispec.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size},
		"annotations":   map[string]string{"purpose": "test"},
	})
	if err != nil {
		panic(err)
	}
	return formattest.Blob{
		Body:     body,
		Desc:     ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(body), Size: int64(len(body))},
		Children: []formattest.Blob{empty},
	}
}

// names lists what a place's images are called.
func names(t testing.TB, p interface {
	Refs(ctx context.Context) ([]layout.Ref, error)
},
) []string {
	t.Helper()
	refs, err := p.Refs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, ref := range refs {
		names = append(names, ref.Name)
	}
	return names
}

// onlyLayoutFiles fails the test if a writer left something in a layout.
func onlyLayoutFiles(t testing.TB, path string) {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains([]string{"blobs", "index.json", "oci-layout"}, e.Name()) {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

// wants is what an error must be: of a class, and saying something.
type wants struct {
	is   error
	says string
}

func (w wants) check(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
		t.Fatalf("no error, want one that says %q", w.says)
	case !errors.Is(err, w.is):
		t.Errorf("error %q is not %q", err, w.is)
	case !strings.Contains(err.Error(), w.says):
		t.Errorf("error %q does not say %q", err, w.says)
	case strings.ContainsRune(err.Error(), '\n'):
		t.Errorf("error %q has several lines", err)
	}
}
