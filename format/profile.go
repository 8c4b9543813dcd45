// SPDX-License-Identifier: Apache-2.0

package format

import "slices"

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

// Profile is what a target accepts. It is data: nothing in it is code.
type Profile struct {
	// Name is what a person calls it: "docker", "aws-lambda".
	Name string `json:"name"`
	// Formats are the formats accepted. An image in none of them is converted
	// to the first.
	Formats []Format `json:"formats"`
	// Compressions are the layer compressions accepted; empty means all that
	// the format defines. A layer in none of them is recompressed to the first.
	Compressions []Compression `json:"compressions,omitempty"`
	// NoIndex says that the root must be a single manifest.
	NoIndex bool `json:"noIndex,omitempty"`
	// Attestations says which treatments leave an acceptable image, the first
	// being the default. Empty means keep, referrers, drop.
	Attestations []Attestations `json:"attestations,omitempty"`
}

// The built-in profiles are functions so that no caller can change another's.

// ProfileOCI accepts what the OCI image specification v1.1 defines.
func ProfileOCI() Profile {
	return Profile{
		Name:         "oci",
		Formats:      []Format{OCI},
		Attestations: []Attestations{AttestationsKeep, AttestationsReferrers, AttestationsDrop},
	}
}

// ProfileDocker accepts what Docker Image Manifest V2 Schema 2 defines, and
// nothing else.
func ProfileDocker() Profile {
	return Profile{
		Name:         "docker",
		Formats:      []Format{Docker},
		Compressions: []Compression{Gzip},
		Attestations: []Attestations{AttestationsReferrers, AttestationsDrop},
	}
}

// LookupProfile returns the built-in profile of that name.
func LookupProfile(name string) (Profile, bool) {
	for _, p := range Profiles() {
		if p.Name == name {
			return p, true
		}
	}
	return Profile{}, false
}

// Profiles returns the built-in profiles, by name.
func Profiles() []Profile {
	return []Profile{ProfileDocker(), ProfileOCI()}
}

// target is the format that the profile has images in, given one that is in f.
func (p Profile) target(f Format) Format {
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

// accepts reports whether layers of format f may have compression c.
func (p Profile) accepts(f Format, c Compression) bool {
	if len(p.Compressions) > 0 && !slices.Contains(p.Compressions, c) {
		return false
	}
	return MediaType{Format: f, Kind: KindLayer, Compression: c}.Standard()
}

// compression is what a layer of compression c has in format f.
func (p Profile) compression(f Format, c Compression) Compression {
	if p.accepts(f, c) {
		return c
	}
	for _, other := range p.Compressions {
		if p.accepts(f, other) {
			return other
		}
	}
	return Gzip
}
