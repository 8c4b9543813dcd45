// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// image is a fixture in a registry, in OCI types and compact JSON.
type image struct {
	repo  repository
	root  ocispec.Descriptor
	docs  map[digest.Digest]document // the root too
	blobs []ocispec.Descriptor
	bytes int64 // of the layers, as they are stored
}

type document struct {
	mediaType string
	body      []byte
}

// fixtureTag is what every fixture is tagged with.
const fixtureTag = "oci"

// platforms are those of the images of the shapes.
var platforms = []ocispec.Platform{
	{OS: "linux", Architecture: "amd64"},
	{OS: "linux", Architecture: "arm64", Variant: "v8"},
	{OS: "linux", Architecture: "ppc64le"},
	{OS: "linux", Architecture: "s390x"},
}

// pushImage makes an index of images with layers of random content, which no
// compression makes smaller.
func pushImage(ctx context.Context, repo repository, platforms []ocispec.Platform, layers int, layerSize int64) (*image, error) {
	m := &image{repo: repo, docs: map[digest.Digest]document{}}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for i, platform := range platforms {
		var descs []ocispec.Descriptor
		var diffIDs []digest.Digest
		for j := range layers {
			body, diffID, err := randomLayer(uint64(i*layers+j), layerSize)
			if err != nil {
				return nil, err
			}
			desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromBytes(body), Size: int64(len(body))}
			if err := repo.upload(ctx, desc, bytes.NewReader(body)); err != nil {
				return nil, err
			}
			descs, diffIDs = append(descs, desc), append(diffIDs, diffID)
		}
		desc, err := m.addManifest(ctx, platform, descs, diffIDs)
		if err != nil {
			return nil, err
		}
		desc.Platform = &platform
		index.Manifests = append(index.Manifests, desc)
	}
	return m, m.addRoot(ctx, index.MediaType, index)
}

// pushZstd makes a manifest with one zstd layer, whose tar has about size bytes
// of the files that this machine has.
func pushZstd(ctx context.Context, repo repository, size int64) (*image, error) {
	m := &image{repo: repo, docs: map[digest.Digest]document{}}
	diffID := digest.Canonical.Digester()
	layer, err := repo.stream(ctx, func(w io.Writer) error {
		z, err := zstd.NewWriter(w)
		if err != nil {
			return err
		}
		if err := writeFiles(io.MultiWriter(z, diffID.Hash()), size); err != nil {
			return err
		}
		return z.Close()
	})
	if err != nil {
		return nil, err
	}
	layer.MediaType = ocispec.MediaTypeImageLayerZstd
	config, err := m.addConfig(ctx, platforms[0], []digest.Digest{diffID.Digest()})
	if err != nil {
		return nil, err
	}
	m.addLayers(layer)
	return m, m.addRoot(ctx, ocispec.MediaTypeImageManifest, newManifest(config, layer))
}

func newManifest(config ocispec.Descriptor, layers ...ocispec.Descriptor) ocispec.Manifest {
	return ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
		Layers:    layers,
	}
}

func (m *image) addLayers(layers ...ocispec.Descriptor) {
	m.blobs = append(m.blobs, layers...)
	for _, l := range layers {
		m.bytes += l.Size
	}
}

// addConfig uploads the config of an image.
func (m *image) addConfig(ctx context.Context, platform ocispec.Platform, diffIDs []digest.Digest) (ocispec.Descriptor, error) {
	config := ocispec.Image{Platform: platform, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: diffIDs}}
	for range diffIDs {
		config.History = append(config.History, ocispec.History{CreatedBy: "bench"})
	}
	body, err := json.Marshal(config)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(body), Size: int64(len(body))}
	m.blobs = append(m.blobs, desc)
	return desc, m.repo.upload(ctx, desc, bytes.NewReader(body))
}

// addManifest uploads the config and the manifest of one platform.
func (m *image) addManifest(ctx context.Context, platform ocispec.Platform, layers []ocispec.Descriptor, diffIDs []digest.Digest) (ocispec.Descriptor, error) {
	config, err := m.addConfig(ctx, platform, diffIDs)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	m.addLayers(layers...)
	desc, err := m.keep(ocispec.MediaTypeImageManifest, newManifest(config, layers...))
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return desc, m.repo.putDocument(ctx, desc.Digest.String(), desc.MediaType, m.docs[desc.Digest].body)
}

// addRoot uploads the root under its tag.
func (m *image) addRoot(ctx context.Context, mediaType string, content any) (err error) {
	if m.root, err = m.keep(mediaType, content); err != nil {
		return err
	}
	return m.repo.putDocument(ctx, fixtureTag, mediaType, m.docs[m.root.Digest].body)
}

// keep remembers a document.
func (m *image) keep(mediaType string, content any) (ocispec.Descriptor, error) {
	body, err := json.Marshal(content)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	m.docs[desc.Digest] = document{mediaType, body}
	return desc, nil
}

// linkInto puts the image into another repository of its registry.
func (m *image) linkInto(ctx context.Context, name string) (repository, error) {
	repo := m.repo
	repo.name = name
	for _, blob := range m.blobs {
		if err := repo.mount(ctx, blob.Digest, m.repo.name); err != nil {
			return repo, err
		}
	}
	for d, doc := range m.docs {
		if d == m.root.Digest {
			continue
		}
		if err := repo.putDocument(ctx, d.String(), doc.mediaType, doc.body); err != nil {
			return repo, err
		}
	}
	return repo, repo.putDocument(ctx, fixtureTag, m.root.MediaType, m.docs[m.root.Digest].body)
}

// randomLayer is a tar with one file of random bytes, in gzip.
func randomLayer(seed uint64, size int64) ([]byte, digest.Digest, error) {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.NoCompression)
	if err != nil {
		return nil, "", err
	}
	diffID := digest.Canonical.Digester()
	t := tar.NewWriter(io.MultiWriter(z, diffID.Hash()))
	if err := t.WriteHeader(&tar.Header{Name: "random", Mode: 0o644, Size: size}); err != nil {
		return nil, "", err
	}
	if _, err := io.CopyN(t, rand.NewChaCha8(key), size); err != nil {
		return nil, "", err
	}
	err = errors.Join(t.Close(), z.Close())
	return out.Bytes(), diffID.Digest(), err
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

// writeFiles writes a tar of the files of Go and of the system, about size
// bytes: sources, text and programs, as images have them. What they are is
// another matter on another machine; every tool gets the same.
func writeFiles(w io.Writer, size int64) error {
	goroot, err := exec.Command("go", "env", "GOROOT").Output() //nolint:noctx // it answers at once
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	var count counter
	t := tar.NewWriter(io.MultiWriter(w, &count))
	roots := []string{strings.TrimSpace(string(goroot)), "/usr/bin", "/usr/lib", "/usr/share"}
	for round := 0; int64(count) < size; round++ {
		before := count
		for i, root := range roots {
			prefix := fmt.Sprintf("%d/%d", round, i)
			if err := addTree(t, root, prefix, func() bool { return int64(count) >= size }); err != nil {
				return err
			}
		}
		if count == before {
			return fmt.Errorf("there are no files in %s", strings.Join(roots, ", "))
		}
	}
	return t.Close()
}

// addTree adds the files below root that can be read, in order, until enough.
func addTree(t *tar.Writer, root, prefix string, enough func() bool) error {
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if enough() {
			return errEnough
		}
		if err != nil || !entry.Type().IsRegular() {
			return nil //nolint:nilerr // what cannot be read is left out
		}
		return addFile(t, path, prefix+strings.TrimPrefix(path, root))
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// addFile adds a file as it is now.
func addFile(t *tar.Writer, path, name string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil //nolint:nilerr // what cannot be read is left out
	}
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err = t.Write(content)
	return err
}
