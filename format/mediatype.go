// SPDX-License-Identifier: Apache-2.0

package format

import (
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Format is a family of media types that belong together in one image.
type Format string

const (
	// OCI is the OCI Image Format Specification v1.1.
	OCI Format = "oci"
	// Docker is Docker Image Manifest V2, Schema 2, with its manifest list.
	Docker Format = "docker"
)

// Kind is the part that a media type plays in an image.
type Kind string

const (
	// KindIndex is an OCI image index or a Docker manifest list.
	KindIndex Kind = "index"
	// KindManifest is an image manifest.
	KindManifest Kind = "manifest"
	// KindConfig is an image configuration.
	KindConfig Kind = "config"
	// KindLayer is a filesystem layer.
	KindLayer Kind = "layer"
)

// Compression is how the bytes of a layer are compressed.
type Compression string

const (
	// Uncompressed is a plain tar.
	Uncompressed Compression = "none"
	// Gzip is RFC 1952.
	Gzip Compression = "gzip"
	// Zstd is RFC 8878.
	Zstd Compression = "zstd"
)

// Docker's media types. Those of V2 Schema 2 are defined by
// https://distribution.github.io/distribution/spec/manifest-v2-2/.
const (
	MediaTypeDockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
	MediaTypeDockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerConfig       = "application/vnd.docker.container.image.v1+json"
	MediaTypeDockerLayer        = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	MediaTypeDockerForeignLayer = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

	// The rest are written by containerd and BuildKit but defined nowhere;
	// they are read, and never written.

	MediaTypeDockerLayerPlain        = "application/vnd.docker.image.rootfs.diff.tar"
	MediaTypeDockerLayerZstd         = "application/vnd.docker.image.rootfs.diff.tar.zstd"
	MediaTypeDockerForeignLayerPlain = "application/vnd.docker.image.rootfs.foreign.diff.tar"

	// Schema 1, deprecated: recognised, not converted.

	MediaTypeDockerSchema1       = "application/vnd.docker.distribution.manifest.v1+json"
	MediaTypeDockerSchema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"
)

// OCI's non-distributable layers, deprecated by image-spec v1.1 but what
// Docker's foreign layers are in OCI.
const (
	mediaTypeOCIForeignLayer      = "application/vnd.oci.image.layer.nondistributable.v1.tar"
	mediaTypeOCIForeignLayerGzip  = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
	mediaTypeOCIForeignLayerZstd  = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
	mediaTypeSuffixEncrypted      = "+encrypted"
	mediaTypeEmptyArtifactPayload = ocispec.MediaTypeEmptyJSON
)

// MediaType is a media type of an image, taken apart. The zero value is no
// media type of an image.
type MediaType struct {
	Format      Format
	Kind        Kind
	Compression Compression // of a layer, empty otherwise
	Foreign     bool        // a layer that registries do not hold
}

// mediaTypes has every media type that is understood; strict ones are those
// that the format's specification defines, the only ones written.
var mediaTypes = []struct {
	name   string
	parsed MediaType
	strict bool
}{
	{ocispec.MediaTypeImageIndex, MediaType{Format: OCI, Kind: KindIndex}, true},
	{ocispec.MediaTypeImageManifest, MediaType{Format: OCI, Kind: KindManifest}, true},
	{ocispec.MediaTypeImageConfig, MediaType{Format: OCI, Kind: KindConfig}, true},
	{ocispec.MediaTypeImageLayer, MediaType{OCI, KindLayer, Uncompressed, false}, true},
	{ocispec.MediaTypeImageLayerGzip, MediaType{OCI, KindLayer, Gzip, false}, true},
	{ocispec.MediaTypeImageLayerZstd, MediaType{OCI, KindLayer, Zstd, false}, true},
	{mediaTypeOCIForeignLayer, MediaType{OCI, KindLayer, Uncompressed, true}, true},
	{mediaTypeOCIForeignLayerGzip, MediaType{OCI, KindLayer, Gzip, true}, true},
	{mediaTypeOCIForeignLayerZstd, MediaType{OCI, KindLayer, Zstd, true}, true},
	{MediaTypeDockerManifestList, MediaType{Format: Docker, Kind: KindIndex}, true},
	{MediaTypeDockerManifest, MediaType{Format: Docker, Kind: KindManifest}, true},
	{MediaTypeDockerConfig, MediaType{Format: Docker, Kind: KindConfig}, true},
	{MediaTypeDockerLayer, MediaType{Docker, KindLayer, Gzip, false}, true},
	{MediaTypeDockerForeignLayer, MediaType{Docker, KindLayer, Gzip, true}, true},
	{MediaTypeDockerLayerPlain, MediaType{Docker, KindLayer, Uncompressed, false}, false},
	{MediaTypeDockerLayerZstd, MediaType{Docker, KindLayer, Zstd, false}, false},
	{MediaTypeDockerForeignLayerPlain, MediaType{Docker, KindLayer, Uncompressed, true}, false},
}

// ParseMediaType takes a media type apart. It reports false for one that is
// not part of an OCI or Docker V2.2 image. Parameters and letter case are not
// accepted: a descriptor names a type, it does not negotiate one.
func ParseMediaType(s string) (MediaType, bool) {
	for _, t := range mediaTypes {
		if t.name == s {
			return t.parsed, true
		}
	}
	return MediaType{}, false
}

// String returns the media type as a document names it, and the empty string
// for a combination that has no name.
func (m MediaType) String() string {
	for _, t := range mediaTypes {
		if t.parsed == m {
			return t.name
		}
	}
	return ""
}

// Standard reports whether the format's own specification defines the type.
// Docker layers that are not gzip have names in the field, but no standing.
func (m MediaType) Standard() bool {
	return slices.ContainsFunc(mediaTypes, func(t struct {
		name   string
		parsed MediaType
		strict bool
	},
	) bool {
		return t.parsed == m && t.strict
	})
}

// In returns the same thing in format f. The error is [ErrNoEquivalent] where
// f has no such type: Docker V2.2 has no layer that is plain or zstd.
func (m MediaType) In(f Format) (MediaType, error) {
	to := m
	to.Format = f
	if m.Kind == "" || !to.Standard() {
		return MediaType{}, fmt.Errorf("%w: %s has no %s", ErrNoEquivalent, f, m.describe())
	}
	return to, nil
}

// describe names the kind of thing that m is, for a person.
func (m MediaType) describe() string {
	switch {
	case m.Kind == "":
		return "such media type"
	case m.Kind != KindLayer:
		return string(m.Kind)
	}
	words := []string{"layer"}
	if m.Foreign {
		words = []string{"foreign layer"}
	}
	if m.Compression == Uncompressed {
		words = append(words, "without compression")
	} else {
		words = append(words, "with", string(m.Compression), "compression")
	}
	return strings.Join(words, " ")
}
