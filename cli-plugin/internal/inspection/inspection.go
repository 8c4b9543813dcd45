// SPDX-License-Identifier: Apache-2.0

// Package inspection turns the graph of an image into what a person wants to
// know of it: which documents it has and in which format each is, which
// platforms, what each attestation says and of what.
package inspection

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// The formats of documents and images, as a program calls them. A person sees
// what [FormatName] says.
const (
	FormatOCI      = string(format.OCI)
	FormatDocker   = string(format.Docker)
	FormatDockerV1 = "docker-schema1"
	FormatMixed    = "mixed" // parts of OCI's and parts of Docker's
)

// The kinds of documents.
const (
	KindIndex       = "index"
	KindManifest    = "manifest"
	KindArtifact    = "artifact"
	KindAttestation = "attestation"
)

// Source is where the image is.
type Source interface {
	content.Provider
	// Referrers lists what refers to subject, nothing where a place has none.
	Referrers(ctx context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error)
}

// Image is one image, inspected.
type Image struct {
	Reference string `json:"reference"`
	// Summary is the verdict, in one line.
	Summary string `json:"summary"`
	// Format is that of all parts together.
	Format    string   `json:"format"`
	Platforms []string `json:"platforms"`
	// Attestations counts statements (an SBOM, a provenance) in the index and
	// beside it.
	Attestations int `json:"attestations"`
	// ReferrersUnknown says that there may be referrers, attestations among
	// them, that could not be read: Warnings say why.
	ReferrersUnknown bool `json:"referrersUnknown,omitempty"`
	// Size is in bytes, of everything but referrers, each blob once.
	Size int64     `json:"size"`
	Root *Document `json:"root"`
	// Warnings say what could not be read.
	Warnings []string `json:"warnings,omitempty"`
}

// Document is an index or a manifest.
type Document struct {
	// Path is where it is in the image, as in [format.Error].
	Path      string        `json:"path"`
	Kind      string        `json:"kind"`
	Format    string        `json:"format"`
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
	Platform  string        `json:"platform,omitempty"`
	// ArtifactType is what an artifact is.
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Config       *Blob             `json:"config,omitempty"`
	Layers       []Blob            `json:"layers,omitempty"`
	Manifests    []*Document       `json:"manifests,omitempty"`
	// Attestations are the index's that speak of this manifest.
	Attestations []*Document `json:"attestations,omitempty"`
	// Missing says that the place where the image is does not hold it.
	Missing bool `json:"missing,omitempty"`
	// Referrers are what refers to this document by its subject.
	Referrers []*Document `json:"referrers,omitempty"`

	speaksOf digest.Digest // of an attestation
	desc     ocispec.Descriptor
	body     []byte
}

// Body returns the document's bytes, exactly. They must not be changed.
func (d *Document) Body() []byte { return d.body }

// Blob is a config, a layer, or the payload of an artifact.
type Blob struct {
	Format      string             `json:"format,omitempty"`
	MediaType   string             `json:"mediaType"`
	Digest      digest.Digest      `json:"digest"`
	Size        int64              `json:"size"`
	Compression format.Compression `json:"compression,omitempty"`
	// Foreign says that a registry need not hold it.
	Foreign bool `json:"foreign,omitempty"`
	// Missing says that the place where the image is does not hold it.
	Missing bool `json:"missing,omitempty"`
	// PredicateType is what an in-toto statement states.
	PredicateType string `json:"predicateType,omitempty"`
	// Statement is the same for a person: "SPDX SBOM".
	Statement string `json:"statement,omitempty"`
}

// Inspect reads the image at root. It reads documents, strictly, and the
// config where no document says what platform an image is for.
func Inspect(ctx context.Context, src Source, root ocispec.Descriptor) (*Image, error) {
	return inspect(ctx, src, root, nil)
}

// InspectHeld is [Inspect] of what a place holds of an image, of which holdings,
// those of root, say what is missing.
func InspectHeld(ctx context.Context, src Source, root ocispec.Descriptor, holdings []format.Holding) (*Image, error) {
	missing := map[digest.Digest]bool{}
	for _, h := range holdings {
		for _, m := range h.Missing {
			missing[m.Digest] = true
		}
	}
	image, err := inspect(ctx, src, root, missing)
	if part := format.DescribePart(holdings, nil); err == nil && part != "" {
		image.Warnings = append(image.Warnings, part)
	}
	return image, err
}

func inspect(ctx context.Context, src Source, root ocispec.Descriptor, missing map[digest.Digest]bool) (*Image, error) {
	if isSchema1(root.MediaType) {
		return inspectSchema1(ctx, src, root)
	}
	top, err := read(ctx, src, root, missing)
	if err != nil {
		return nil, err
	}
	if err := readPlatforms(ctx, src, top); err != nil {
		return nil, err
	}
	image := &Image{Root: top}
	image.Warnings = readReferrers(ctx, src, top)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	image.ReferrersUnknown = len(image.Warnings) > 0
	placeAttestations(top)
	image.summarize()
	return image, nil
}

// Select keeps the images of the platforms wanted, matched as containerd does,
// with what speaks of them and what holds them. It is an error, which lists the
// platforms there are, if one of them is not there.
func (i *Image) Select(wanted []ocispec.Platform) error {
	for _, p := range wanted {
		match := platforms.NewMatcher(p)
		if !slices.ContainsFunc(i.Platforms, func(name string) bool { return matches(match, name) }) {
			return fmt.Errorf("platform %s is not there; the image has %s", platforms.FormatAll(p), orNone(i.Platforms))
		}
	}
	keep(i.Root, platforms.Any(wanted...))
	i.summarize()
	return nil
}

func matches(matcher platforms.Matcher, name string) bool {
	p, err := platforms.Parse(name)
	return err == nil && matcher.Match(p)
}

// keep reports whether anything of d was kept.
func keep(d *Document, matcher platforms.Matcher) bool {
	if d.Kind != KindIndex {
		return d.Platform != "" && matches(matcher, d.Platform)
	}
	d.Manifests = slices.DeleteFunc(d.Manifests, func(m *Document) bool { return !keep(m, matcher) })
	return len(d.Manifests) > 0
}

// each calls f for d and all documents below it, attestations included and
// referrers not.
func (d *Document) each(f func(*Document)) {
	f(d)
	for _, child := range d.Manifests {
		child.each(f)
	}
	for _, child := range d.Attestations {
		child.each(f)
	}
}
