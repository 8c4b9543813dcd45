// SPDX-License-Identifier: Apache-2.0

package format

import (
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Attestations is what becomes of the attestation manifests that BuildKit
// puts into an index (SBOM, provenance).
type Attestations string

const (
	// AttestationsKeep leaves them in the index, pointed at the converted
	// images. Needs an OCI index.
	AttestationsKeep Attestations = "keep"
	// AttestationsReferrers makes each an OCI 1.1 artifact that refers to the
	// converted image, beside the image rather than in its index.
	AttestationsReferrers Attestations = "referrers"
	// AttestationsDrop leaves them out; each is a loss.
	AttestationsDrop Attestations = "drop"
)

// AttestationForm is how an attestation manifest in an index is written.
type AttestationForm string

const (
	// FormImage has an image's config, as BuildKit wrote it before 0.32.
	FormImage AttestationForm = "image"
	// FormArtifact is an OCI artifact: an artifactType, a subject and the
	// empty config, BuildKit's default since 0.32.
	FormArtifact AttestationForm = "artifact"
)

// IndexUse says whether the root of an image may, or must, be an index.
type IndexUse string

const (
	// IndexAllowed takes an index and a single manifest. So does the empty value.
	IndexAllowed IndexUse = "allowed"
	// IndexForbidden takes a single manifest only.
	IndexForbidden IndexUse = "forbidden"
	// IndexRequired takes an index only.
	IndexRequired IndexUse = "required"
)

// TargetKind is what sort of thing a profile is of.
type TargetKind string

const (
	// KindSpecification is a format as its specification has it.
	KindSpecification TargetKind = "specification"
	// KindRegistry stores images.
	KindRegistry TargetKind = "registry"
	// KindService runs images that it pulls from a registry.
	KindService TargetKind = "service"
	// KindRuntime is a program that pulls images.
	KindRuntime TargetKind = "runtime"
)

// Limits are the most that a target takes. Zero is no limit that is known.
type Limits struct {
	// Layers is how many layers an image may have.
	Layers int `json:"layers,omitempty"`
	// LayerBytes is how large one layer may be, compressed.
	LayerBytes int64 `json:"layerBytes,omitempty"`
	// ImageBytes is how large the layers of one image may be in all.
	ImageBytes int64 `json:"imageBytes,omitempty"`
	// DocumentBytes is how large a manifest or an index may be.
	DocumentBytes int64 `json:"documentBytes,omitempty"`
}

// Profile is what a target accepts. It is data: nothing in it is code, and it
// is the same after a way through JSON. An empty field restricts nothing.
type Profile struct {
	// Name is what a person calls it: "docker", "aws-lambda".
	Name string `json:"name"`
	// Aliases are shorter names: "lambda".
	Aliases []string `json:"aliases,omitempty"`
	// Title is the target's full name: "AWS Lambda".
	Title string     `json:"title,omitempty"`
	Kind  TargetKind `json:"kind,omitempty"`
	// Hosts are the registry hosts by which a reference is known to be this
	// target's. A star stands for any characters but a dot.
	Hosts []string `json:"hosts,omitempty"`
	// Formats are the formats accepted. An image in none of them is converted
	// to the first.
	Formats []Format `json:"formats,omitempty"`
	// Compressions are the layer compressions accepted; empty means all that
	// the format defines. A layer in none of them is recompressed to the first.
	Compressions []Compression `json:"compressions,omitempty"`
	// Index says whether the root may be an index. Empty is [IndexAllowed].
	Index IndexUse `json:"index,omitempty"`
	// Attestations says which treatments leave an acceptable image, the first
	// being the default. Empty means keep, referrers, drop.
	Attestations []Attestations `json:"attestations,omitempty"`
	// AttestationForms are the forms in which attestations may be in an index.
	AttestationForms []AttestationForm `json:"attestationForms,omitempty"`
	// Platforms are what the target runs: of each element, which may have
	// alternatives with "|" between them, the image has to have one.
	Platforms []string `json:"platforms,omitempty"`
	Limits    Limits   `json:"limits,omitzero"`
	// Details are the ids of rules that only some targets hold images to.
	Details []string `json:"details,omitempty"`
	// Tolerates are the ids of rules of the formats' specifications that the
	// target is known not to hold images to. A check does not report them; a
	// conversion still writes what the specification says.
	Tolerates []string `json:"tolerates,omitempty"`
	// Facts are the evidence for the above.
	Facts []Fact `json:"facts,omitempty"`
}

// ProfileOCI accepts what the OCI image specification v1.1 defines.
func ProfileOCI() Profile { return mustLookup("oci") }

// ProfileDocker accepts what Docker Image Manifest V2 Schema 2 defines, and
// nothing else.
func ProfileDocker() Profile { return mustLookup("docker") }

// MediaTypes are the media types of documents, configs and layers that p
// accepts, in the order in which a person looks for them.
func (p Profile) MediaTypes() []string {
	var types []string
	for _, kind := range []Kind{KindManifest, KindIndex, KindConfig, KindLayer} {
		for _, t := range mediaTypes {
			if t.parsed.Kind == kind && t.strict && p.takes(t.parsed) {
				types = append(types, t.name)
			}
		}
	}
	return types
}

// takes reports whether a part of an image may have this media type.
func (p Profile) takes(m MediaType) bool {
	if len(p.Formats) > 0 && !slices.Contains(p.Formats, m.Format) {
		return false
	}
	switch m.Kind {
	case KindIndex:
		return p.Index != IndexForbidden
	case KindLayer:
		return p.Accepts(m.Format, m.Compression) && (!m.Foreign || !p.holds(ruleLayerURLs))
	default:
		return true
	}
}

// holds reports whether the target holds images to a rule that only some do.
func (p Profile) holds(r Rule) bool { return slices.Contains(p.Details, r.ID) }

// Target returns the format that the profile has an image in that is in f: f
// itself if the profile accepts it.
func (p Profile) Target(f Format) Format {
	if len(p.Formats) == 0 || slices.Contains(p.Formats, f) {
		return f
	}
	return p.Formats[0]
}

// attestations are the treatments that leave an acceptable image.
func (p Profile) attestations() []Attestations {
	if len(p.Attestations) == 0 {
		return []Attestations{AttestationsKeep, AttestationsReferrers, AttestationsDrop}
	}
	return p.Attestations
}

// takesForm reports whether attestations in an index may be written so.
func (p Profile) takesForm(f AttestationForm) bool {
	return len(p.AttestationForms) == 0 || slices.Contains(p.AttestationForms, f)
}

// lists reports whether the profile takes compression c in some format.
func (p Profile) lists(c Compression) bool {
	return len(p.Compressions) == 0 || slices.Contains(p.Compressions, c)
}

// Accepts reports whether the profile accepts layers of format f with
// compression c. Those that it does not are recompressed.
func (p Profile) Accepts(f Format, c Compression) bool {
	return p.lists(c) && MediaType{Format: f, Kind: KindLayer, Compression: c}.Standard()
}

// compression is what a layer of compression c has in format f.
func (p Profile) compression(f Format, c Compression) Compression {
	if p.Accepts(f, c) {
		return c
	}
	for _, other := range p.Compressions {
		if p.Accepts(f, other) {
			return other
		}
	}
	return Gzip
}

// Runs reports whether the target runs images of that platform, as far as that
// is known.
func (p Profile) Runs(platform ocispec.Platform) bool {
	return !slices.ContainsFunc(p.Platforms, func(choice string) bool { return !runs(choice, platform) })
}

// runs reports whether one of the alternatives of a required platform is p.
func runs(alternatives string, p ocispec.Platform) bool {
	for name := range strings.SplitSeq(alternatives, "|") {
		if want, err := platforms.Parse(name); err == nil && platforms.NewMatcher(want).Match(p) {
			return true
		}
	}
	return false
}
