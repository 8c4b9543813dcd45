// SPDX-License-Identifier: Apache-2.0

package format_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
)

// refused is what must not be read, in CONVERSION's section 6: it is refused
// by everything that reads.
func refused(t *testing.T, s *formattest.Store, root ocispec.Descriptor, sentinel error, path string) {
	t.Helper()
	check := func(what string, err error) {
		t.Helper()
		var e *format.Error
		if !errors.Is(err, sentinel) || !errors.As(err, &e) || e.Path != path {
			t.Errorf("%s: got %v, want %q at %q", what, err, sentinel, path)
		}
	}
	for _, p := range specifications() {
		_, err := format.Convert(t.Context(), s, root, p, format.Options{})
		check("convert to "+p.Name, err)
		_, err = format.Check(t.Context(), s, root, p)
		check("check for "+p.Name, err)
	}
	dst := formattest.NewStore()
	check("copy", format.Copy(t.Context(), dst, s, root, format.CopyOptions{}))
	var err error
	for _, nodeErr := range format.Walk(context.Background(), s, root) {
		err = nodeErr
	}
	check("walk", err)
	if written := append(s.Written(), dst.Written()...); len(written) > 0 {
		t.Errorf("refused, but wrote %s", written)
	}
	if left := append(s.Unfinished(), dst.Unfinished()...); len(left) > 0 {
		t.Errorf("refused, but left %q", left)
	}
}

func accepted(t *testing.T, s *formattest.Store, root ocispec.Descriptor) {
	t.Helper()
	for _, p := range specifications() {
		if _, err := format.Convert(t.Context(), s, root, p, format.Options{}); err != nil {
			t.Errorf("convert to %s: %v", p.Name, err)
		}
	}
}

var oci = formattest.Builder{Format: format.OCI}

// withSpace fills a document with white space, up to a size.
func withSpace(body []byte, size int) []byte {
	end := bytes.LastIndexByte(body, '}')
	return append(append(bytes.Clone(body[:end]), bytes.Repeat([]byte(" "), size-len(body))...), '}')
}

func TestDocumentSize(t *testing.T) {
	const limit = 4 << 20
	manifest := oci.Manifest("linux/amd64", oci.Layer(format.Gzip, "a=1"))
	s := formattest.NewStore()
	manifest.Put(s)
	for _, size := range []int{limit, limit + 1} {
		root := s.Put(manifest.Desc.MediaType, withSpace(manifest.Body, size))
		if size > limit {
			refused(t, s, root, format.ErrTooLarge, "")
			if s.Reads(root.Digest) > 0 {
				t.Errorf("a document of %d bytes was opened, though its descriptor says that it is too large", size)
			}
			continue
		}
		// To docker it grows over the limit, by the length of the names.
		if _, err := format.Convert(t.Context(), s, root, format.ProfileOCI(), format.Options{}); err != nil {
			t.Error(err)
		}
	}
}

// A result that registries would not take is no result.
func TestDocumentGrowsOverLimit(t *testing.T) {
	manifest := formattest.Builder{Format: format.OCI}.Manifest("linux/amd64")
	s := formattest.NewStore()
	manifest.Put(s)
	root := s.Put(manifest.Desc.MediaType, withSpace(manifest.Body, 4<<20))
	_, err := format.Convert(t.Context(), s, root, format.ProfileDocker(), format.Options{})
	if !errors.Is(err, format.ErrTooLarge) {
		t.Errorf("got %v, want an error that it is too large", err)
	}
	if written := s.Written(); len(written) > 0 {
		t.Errorf("wrote %s", written)
	}
}

// nest puts an image into as many indexes as depth says.
func nest(depth int) formattest.Blob {
	image := oci.Manifest("linux/amd64", oci.Layer(format.Gzip, "a=1"))
	for range depth {
		image = oci.Index(image)
	}
	return image
}

func TestNesting(t *testing.T) {
	s := formattest.NewStore()
	accepted(t, s, nest(8).Put(s))
	s = formattest.NewStore()
	refused(t, s, nest(9).Put(s), format.ErrTooLarge, strings.Repeat("/manifests/0", 8))
}

func TestDescriptors(t *testing.T) {
	layer := oci.Layer(format.Gzip, "a=1")
	layers := func(n int) formattest.Blob {
		all := make([]formattest.Blob, n)
		for i := range all {
			all[i] = layer
		}
		return oci.Manifest("linux/amd64", all...)
	}
	s := formattest.NewStore()
	accepted(t, s, layers(9_000).Put(s))
	s = formattest.NewStore()
	refused(t, s, layers(10_001).Put(s), format.ErrTooLarge, "")
	// Over the limit only together.
	half := layers(5_000)
	half.Children = half.Children[:2] // the config and the layer, once
	s = formattest.NewStore()
	refused(t, s, oci.Index(half, half).Put(s), format.ErrTooLarge, "")
}

// A small graph whose parts are shared stands for an image of any size: eight
// indexes, each naming the next a hundred times. A cycle cannot be, a digest
// being what it is; this is what it would look like.
func TestSharedParts(t *testing.T) {
	image := oci.Manifest("linux/amd64", oci.Layer(format.Gzip, "a=1"))
	for range 7 {
		hundred := make([]formattest.Blob, 100)
		for i := range hundred {
			hundred[i] = image
		}
		image = oci.Index(hundred...)
		image.Children = image.Children[:1]
	}
	s := formattest.NewStore()
	root := image.Put(s)
	for _, p := range specifications() {
		_, err := format.Convert(t.Context(), s, root, p, format.Options{})
		if !errors.Is(err, format.ErrTooLarge) {
			t.Errorf("to %s: got %v, want an error that it is too large", p.Name, err)
		}
	}
}

// A store that says it has content that names itself is not believed.
func TestCycle(t *testing.T) {
	s := formattest.NewStore()
	self := digest.FromString("self")
	index := oci.Index()
	body := strings.Replace(string(index.Body), `"manifests":[]`,
		fmt.Sprintf(`"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]`, ocispec.MediaTypeImageIndex, self, 234), 1)
	s.PutAs(self, []byte(body))
	root := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: self, Size: int64(len(body))}
	refused(t, s, root, format.ErrCorrupt, "")
}

// JSON that is deep rather than long must not exhaust the stack.
func TestDeepJSON(t *testing.T) {
	manifest := oci.Manifest("linux/amd64")
	s := formattest.NewStore()
	manifest.Put(s)
	deep := strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20)
	body := strings.Replace(string(manifest.Body), `"layers":[]`, `"layers":[],"x":`+deep, 1)
	refused(t, s, s.Put(manifest.Desc.MediaType, []byte(body)), format.ErrAmbiguous, "")
}

// A layer that decompresses to far more than it is does so in a stream.
func TestDecompressionBomb(t *testing.T) {
	plain := bytes.Repeat([]byte{0}, 16<<20)
	body, err := formattest.Compress(format.Zstd, plain)
	if err != nil {
		t.Fatal(err)
	}
	layer := oci.Layer(format.Zstd, "a=1")
	layer.Body, layer.DiffID = body, digest.FromBytes(plain)
	layer.Desc.Digest, layer.Desc.Size = digest.FromBytes(body), int64(len(body))
	x := conversionOf(oci.Manifest("linux/amd64", layer), format.ProfileDocker(), format.Options{})
	s := x.source()
	largest := 0
	result := x.run(t, s)
	for _, dgst := range s.Written() {
		written, _ := s.Body(dgst)
		largest = max(largest, len(written))
	}
	if largest > 1<<20 {
		t.Errorf("16 MiB of zeros became %d bytes", largest)
	}
	checkClosed(t, s, result)
}
