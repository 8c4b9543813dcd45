// SPDX-License-Identifier: Apache-2.0

package format

import (
	"fmt"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Rule is one thing that a profile can ask of an image. Check and Convert
// share the rules: one reports what breaks a rule, the other mends it.
type Rule struct {
	// ID is short and stable: "media-type".
	ID string `json:"id"`
	// Sentence says what holds in an image that keeps the rule.
	Sentence string `json:"sentence"`
	// Fixable says that Convert can mend most images that break it.
	Fixable bool `json:"fixable"`
	// Source is where the rule comes from.
	Source string `json:"source"`
}

const (
	sourceDocker = "Docker Image Manifest V2, Schema 2"
	sourceOCI    = "OCI image-spec v1.1"
)

// The rules.
var (
	ruleMediaType     = Rule{"media-type", "documents and configs have media types of the target's format", true, sourceOCI + " media-types.md; " + sourceDocker}
	ruleLayerType     = Rule{"layer-type", "every layer is one that the target's format defines", false, sourceOCI + " layer.md; " + sourceDocker}
	ruleCompression   = Rule{"layer-compression", "layers are compressed in a way that the target takes", true, sourceOCI + " layer.md; " + sourceDocker}
	ruleAnnotations   = Rule{"annotations", "a Docker document has no annotations", true, sourceDocker + ", image manifest field descriptions"}
	ruleFields        = Rule{"oci-field", "a Docker document has no field that only OCI defines", true, sourceDocker + ", image manifest field descriptions"}
	ruleNestedIndex   = Rule{"nested-index", "a Docker manifest list names images only, no other list", true, sourceDocker + ", manifest list field descriptions"}
	rulePlatform      = Rule{"platform", "every entry of a Docker manifest list has a platform", true, sourceDocker + ", manifest list field descriptions"}
	ruleArtifact      = Rule{"artifact", "a Docker manifest is that of an image", true, sourceDocker}
	ruleAttestations  = Rule{"attestations", "attestations are where the target takes them", true, "BuildKit attestation storage; " + sourceOCI + " manifest.md, subject"}
	ruleSingle        = Rule{"single-manifest", "the root is a single manifest", true, "the target's profile"}
	ruleHealthcheck   = Rule{"healthcheck", "a config has only what OCI defines, or a note says so", true, sourceOCI + " config.md"}
	ruleSamePlatform  = Rule{"same-platform", "one platform is one image", true, sourceDocker + ", manifest list"}
	ruleStaleMetadata = Rule{"layer-metadata", "what is said of a layer's bytes is said of the bytes it has", true, "estargz and zstd:chunked annotations"}
)

// Rules returns every rule, in a stable order.
func Rules() []Rule {
	return []Rule{
		ruleMediaType, ruleLayerType, ruleCompression, ruleAnnotations, ruleFields, ruleNestedIndex, rulePlatform,
		ruleArtifact, ruleAttestations, ruleSingle, ruleHealthcheck, ruleSamePlatform, ruleStaleMetadata,
	}
}

// Finding is one way in which an image is not what a profile accepts.
type Finding struct {
	// Rule is the id of the rule that is broken.
	Rule string `json:"rule"`
	// Path is where, as in [Error].
	Path string             `json:"path"`
	Desc ocispec.Descriptor `json:"descriptor"`
	// Detail is what was found, for a person.
	Detail string `json:"detail"`
	// Fixable says that Convert mends this one.
	Fixable bool `json:"fixable"`
}

// Report is what [Check] found.
type Report struct {
	Profile  string             `json:"profile"`
	Root     ocispec.Descriptor `json:"root"`
	Findings []Finding          `json:"findings"`
	Notes    []Note             `json:"notes"`
}

// OK reports whether the profile accepts the image as it is.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

// Err returns nil when the profile accepts the image, and otherwise an
// [*Error] over [ErrNonConforming] that names the first finding.
func (r *Report) Err() error {
	if r.OK() {
		return nil
	}
	f := r.Findings[0]
	more := ""
	if n := len(r.Findings) - 1; n > 0 {
		more = fmt.Sprintf(", and %d more", n)
	}
	return &Error{Op: "check", Path: f.Path, Desc: f.Desc, Err: fmt.Errorf("%w to %s: %s%s", ErrNonConforming, r.Profile, f.Detail, more)}
}

// record collects what a conversion finds and does.
type record struct {
	findings []Finding
	losses   []Loss
	notes    []Note
	changes  []Change
}

// broken records that a rule is broken in a way that is being mended.
func (r *record) broken(rule Rule, path string, desc ocispec.Descriptor, format string, args ...any) {
	r.findings = append(r.findings, Finding{Rule: rule.ID, Path: path, Desc: desc, Detail: printable(fmt.Sprintf(format, args...)), Fixable: true})
}

// lose records a loss.
func (r *record) lose(rule Rule, path, what, value, why string) {
	r.losses = append(r.losses, Loss{Rule: rule.ID, Path: path, What: printable(what), Value: printable(clip(value)), Why: printable(why)})
}

// note records what a person should know. The same note is kept once.
func (r *record) note(rule Rule, path, format string, args ...any) {
	n := Note{Rule: rule.ID, Path: path, Text: printable(fmt.Sprintf(format, args...))}
	for _, known := range r.notes {
		if known == n {
			return
		}
	}
	r.notes = append(r.notes, n)
}

// pointer escapes one step of a JSON pointer (RFC 6901).
func pointer(step string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(step)
}
