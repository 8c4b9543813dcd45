// SPDX-License-Identifier: Apache-2.0

package formattest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/containerd/platforms"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// Blob is content, the descriptor that names it, and what is below it.
type Blob struct {
	Desc ocispec.Descriptor
	Body []byte
	// DiffID is the digest of a layer without compression.
	DiffID digest.Digest
	// Children are the blobs that a document names, in its order.
	Children []Blob
}

// Put stores the blob and everything below it, and returns its descriptor
// without what an index alone says of it.
func (b Blob) Put(s *Store) ocispec.Descriptor {
	for _, child := range b.Children {
		child.Put(s)
	}
	s.PutAs(b.Desc.Digest, b.Body)
	return ocispec.Descriptor{MediaType: b.Desc.MediaType, Digest: b.Desc.Digest, Size: b.Desc.Size}
}

// Annotated returns the blob with one more annotation on its descriptor.
func (b Blob) Annotated(key, value string) Blob {
	annotations := map[string]string{key: value}
	maps.Copy(annotations, b.Desc.Annotations)
	b.Desc.Annotations = annotations
	return b
}

func newContent(mediaType string, body []byte, children ...Blob) Blob {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	return Blob{Desc: desc, Body: body, Children: children}
}

// Builder makes the parts of an image, from layers up, in one format and
// style. It panics on what cannot be made: that is a mistake in a test.
type Builder struct {
	Format format.Format
	Style  Style
	// Annotations are put on every index and manifest, and on every
	// descriptor but a config's.
	Annotations map[string]string
}

func (b Builder) mediaType(kind format.Kind) string {
	return format.MediaType{Format: b.Format, Kind: kind}.String()
}

func (b Builder) document(kind format.Kind, v any, children []Blob) Blob {
	body, err := b.Style.Render(v)
	if err != nil {
		panic(err)
	}
	doc := newContent(b.mediaType(kind), body, children...)
	doc.Desc.Annotations = maps.Clone(b.Annotations)
	return doc
}

// Layer returns a layer with the files named, content being what follows "="
// in each: "etc/motd=hello".
func (b Builder) Layer(c format.Compression, files ...string) Blob {
	plain := Tar(files...)
	body, err := Compress(c, plain)
	if err != nil {
		panic(err)
	}
	layer := newContent(format.MediaType{Format: b.Format, Kind: format.KindLayer, Compression: c}.String(), body)
	layer.DiffID = digest.FromBytes(plain)
	layer.Desc.Annotations = maps.Clone(b.Annotations)
	return layer
}

// Config returns the configuration of an image of that platform and layers.
func (b Builder) Config(platform string, layers ...Blob) Blob {
	img := ocispec.Image{Platform: platforms.MustParse(platform), RootFS: ocispec.RootFS{Type: "layers"}}
	for _, layer := range layers {
		img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, layer.DiffID)
	}
	config := b.document(format.KindConfig, img, nil)
	config.Desc.Annotations = nil
	return config
}

// Manifest returns the manifest of an image of that platform and layers, with
// the platform on its descriptor.
func (b Builder) Manifest(platform string, layers ...Blob) Blob {
	return b.manifest(platforms.MustParse(platform), b.Config(platform, layers...), layers)
}

func (b Builder) manifest(platform ocispec.Platform, config Blob, layers []Blob) Blob {
	doc := b.document(format.KindManifest, ocispec.Manifest{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   b.mediaType(format.KindManifest),
		Config:      config.Desc,
		Layers:      descriptors(layers),
		Annotations: b.Annotations,
	}, append([]Blob{config}, layers...))
	doc.Desc.Platform = &platform
	return doc
}

// Index returns an index of manifests, or of further indexes.
func (b Builder) Index(manifests ...Blob) Blob {
	return b.document(format.KindIndex, ocispec.Index{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   b.mediaType(format.KindIndex),
		Manifests:   descriptors(manifests),
		Annotations: b.Annotations,
	}, manifests)
}

// Image returns an index with one manifest for each platform, of a gzip layer
// of its own over one that all share.
func (b Builder) Image(platform ...string) Blob {
	base := b.Layer(format.Gzip, "etc/os-release=ID=none\n")
	var manifests []Blob
	for _, p := range platform {
		manifests = append(manifests, b.Manifest(p, base, b.Layer(format.Gzip, "bin/app="+p)))
	}
	return b.Index(manifests...)
}

func descriptors(blobs []Blob) []ocispec.Descriptor {
	descs := make([]ocispec.Descriptor, 0, len(blobs))
	for _, blob := range blobs {
		descs = append(descs, blob.Desc)
	}
	return descs
}

// Tar returns an archive of the files named, content being what follows "=".
// The same files give the same bytes.
func Tar(files ...string) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, file := range files {
		name, text, _ := strings.Cut(file, "=")
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text))}
		if err := w.WriteHeader(header); err != nil {
			panic(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// Compress returns plain in that compression.
func Compress(c format.Compression, plain []byte) ([]byte, error) {
	var buf bytes.Buffer
	var w io.WriteCloser
	switch c {
	case format.Uncompressed:
		return plain, nil
	case format.Gzip:
		w = gzip.NewWriter(&buf)
	case format.Zstd:
		var err error
		if w, err = zstd.NewWriter(&buf); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("no compression %q", c)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// Decompress returns what is compressed in body, told by its first bytes, and
// its compression. What is no layer's compression is returned as it is.
func Decompress(body []byte) ([]byte, format.Compression, error) {
	switch {
	case bytes.HasPrefix(body, []byte{0x1f, 0x8b}):
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, "", err
		}
		plain, err := io.ReadAll(r)
		return plain, format.Gzip, err
	case bytes.HasPrefix(body, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		r, err := zstd.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, "", err
		}
		defer r.Close()
		plain, err := io.ReadAll(r)
		return plain, format.Zstd, err
	}
	return body, format.Uncompressed, nil
}
