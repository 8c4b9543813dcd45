// SPDX-License-Identifier: Apache-2.0

package format

import (
	"fmt"
	"slices"
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
	sourceDocker  = "Docker Image Manifest V2, Schema 2"
	sourceOCI     = "OCI image-spec v1.1"
	sourceProfile = "the target's profile"
)

// The rules.
var (
	ruleMediaType     = Rule{"media-type", "documents and configs have media types of the target's format", true, sourceOCI + " media-types.md; " + sourceDocker}
	ruleLayerType     = Rule{"layer-type", "every layer is one that the target's format defines", true, sourceOCI + " layer.md; " + sourceDocker}
	ruleCompression   = Rule{"layer-compression", "layers are compressed in a way that the target takes", true, sourceOCI + " layer.md; " + sourceDocker}
	ruleAnnotations   = Rule{"annotations", "a Docker document has no annotations", true, sourceDocker + ", image manifest field descriptions"}
	ruleFields        = Rule{"oci-field", "a Docker document has no field that only OCI defines", true, sourceDocker + ", image manifest field descriptions"}
	ruleNestedIndex   = Rule{"nested-index", "a list names images only, no other list", true, sourceDocker + ", manifest list field descriptions"}
	rulePlatform      = Rule{"platform", "every entry of a list has a platform", true, sourceDocker + ", manifest list field descriptions"}
	ruleArtifact      = Rule{"artifact", "a Docker manifest is that of an image", true, sourceDocker}
	ruleAttestations  = Rule{"attestations", "attestations are where the target takes them", true, "BuildKit attestation storage; " + sourceOCI + " manifest.md, subject"}
	ruleSingle        = Rule{"single-manifest", "the root is a single manifest", true, sourceProfile}
	ruleHealthcheck   = Rule{"healthcheck", "a config has only what OCI defines, or a note says so", true, sourceOCI + " config.md"}
	ruleSamePlatform  = Rule{"same-platform", "one platform is one image", true, sourceDocker + ", manifest list"}
	ruleHeld          = Rule{"held", "what an index names is there to be looked at", false, sourceOCI + " image-index.md"}
	ruleStaleMetadata = Rule{"layer-metadata", "what is said of a layer's bytes is said of the bytes it has", true, "estargz and zstd:chunked annotations"}
)

// The rules that targets have beside the formats.
var (
	ruleMixed           = Rule{"mixed-formats", "a manifest names a config and layers of its own format", true, sourceOCI + " manifest.md; " + sourceDocker}
	ruleMixedIndex      = Rule{"mixed-index", "an index names images of its own format", true, sourceOCI + " image-index.md; " + sourceDocker}
	ruleSchema1         = Rule{"schema1", "the image is not in Docker V2 Schema 1, which is deprecated", false, sourceDocker}
	ruleDockerZstd      = Rule{"docker-zstd", "no layer of a Docker image is compressed with zstd", true, sourceDocker}
	ruleAttestationForm = Rule{"attestation-form", "attestations in the index have the form that the target takes", true, sourceProfile}
	ruleIndexRequired   = Rule{"index-required", "the root is an index", true, sourceProfile}
	rulePlatformNeeded  = Rule{"target-platform", "there is an image for a platform that the target runs", false, sourceProfile}
	ruleLayerCount      = Rule{"layer-count", "an image has no more layers than the target takes", false, sourceProfile}
	ruleLayerSize       = Rule{"layer-size", "no layer is larger than the target takes", false, sourceProfile}
	ruleImageSize       = Rule{"image-size", "the layers of an image are in all no larger than the target takes", false, sourceProfile}
	ruleDocumentSize    = Rule{"document-size", "no manifest or index is larger than the target takes", false, sourceProfile}
)

// The rules that only some targets hold images to: the details that
// registries fail on. A profile lists them.
var (
	ruleTopMediaType      = Rule{"top-level-media-type", "every document has a mediaType of its own", true, sourceProfile}
	ruleConfigAnnotations = Rule{"config-annotations", "the descriptor of a config has no annotations", true, sourceProfile}
	ruleTypeParameter     = Rule{"type-parameter", "no media type has a parameter, after a semicolon", false, sourceProfile}
	ruleSubjectPlatform   = Rule{"subject-platform", "a subject has no platform", true, sourceProfile}
	ruleSubjectPresent    = Rule{"subject-present", "what a subject names is there before what refers to it", false, sourceProfile}
	ruleHistory           = Rule{"history", "a config's history has as many layers as the manifest", false, sourceProfile}
	ruleImageConfig       = Rule{"image-config", "every config is that of an image", true, sourceProfile}
	ruleArtifactType      = Rule{"artifact-type", "an artifact is of a type that the target knows", false, sourceProfile}
	ruleImageRoot         = Rule{"image-root", "the root is an image, or an index of images", false, sourceProfile}
	ruleLayerURLs         = Rule{"layer-urls", "no layer has urls", false, sourceProfile}
)

// details are the rules that a profile has to list.
func details() []Rule {
	return []Rule{
		ruleTopMediaType, ruleConfigAnnotations, ruleTypeParameter, ruleSubjectPlatform, ruleSubjectPresent, ruleHistory,
		ruleImageConfig, ruleArtifactType, ruleLayerURLs, ruleImageRoot,
	}
}

// detailIDs are what a profile's details may be. Docker's lists are flat and
// have platforms anywhere; OCI's have to for some targets only.
func detailIDs() []string {
	ids := []string{ruleNestedIndex.ID, rulePlatform.ID}
	for _, r := range details() {
		ids = append(ids, r.ID)
	}
	return ids
}

// tolerable are the ids of the rules that come from a specification, which a
// target may not mind.
func tolerable() []string {
	var ids []string
	for _, r := range []Rule{ruleMixed, ruleMixedIndex, ruleLayerType, ruleDockerZstd, ruleAnnotations, ruleFields, ruleNestedIndex, rulePlatform, ruleAttestations, ruleSchema1} {
		ids = append(ids, r.ID)
	}
	return ids
}

// Rules returns every rule, in a stable order.
func Rules() []Rule {
	return append([]Rule{
		ruleMediaType, ruleMixed, ruleMixedIndex, ruleSchema1, ruleLayerType, ruleDockerZstd, ruleCompression, ruleAnnotations, ruleFields, ruleNestedIndex, rulePlatform,
		ruleArtifact, ruleAttestations, ruleAttestationForm, ruleSingle, ruleIndexRequired, rulePlatformNeeded,
		ruleLayerCount, ruleLayerSize, ruleImageSize, ruleDocumentSize, ruleHealthcheck, ruleSamePlatform, ruleStaleMetadata,
	}, details()...)
}

// Finding is one way in which an image is not what a profile accepts.
type Finding struct {
	// Rule is the id of the rule that is broken.
	Rule string `json:"rule"`
	// Severity is how sure it is that the target refuses the image for this.
	Severity Severity `json:"severity"`
	// Path is where, as in [Error].
	Path string             `json:"path"`
	Desc ocispec.Descriptor `json:"descriptor"`
	// Detail is what was found, for a person.
	Detail string `json:"detail"`
	// Wants is what the target takes instead, for a person.
	Wants string `json:"wants"`
	// Fixable says that Convert mends this one.
	Fixable bool `json:"fixable"`
	// Evidence is why the target is thought to want that. Nil where it is the
	// rule's own source, a specification.
	Evidence *Fact `json:"evidence,omitempty"`
	// Error is what the target says to such an image, as far as that is known.
	Error string `json:"error,omitempty"`
}

// Report is what [Check] found.
type Report struct {
	Profile  string             `json:"profile"`
	Root     ocispec.Descriptor `json:"root"`
	Findings []Finding          `json:"findings"`
	Notes    []Note             `json:"notes"`
}

// OK reports whether nothing was found: the profile accepts the image as it is.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

// Severity is that of the worst finding, empty if there is none.
func (r *Report) Severity() Severity {
	var worst Severity
	for _, f := range r.Findings {
		worst = worst.Worse(f.Severity)
	}
	return worst
}

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

// judge leaves out findings that the target does not mind, and adds to the
// others what the profile knows of the rule.
func (p Profile) judge(findings []Finding) []Finding {
	findings = slices.DeleteFunc(findings, func(f Finding) bool { return slices.Contains(p.Tolerates, f.Rule) })
	for i := range findings {
		f := &findings[i]
		f.Evidence, f.Severity, f.Wants = p.Evidence(f.Rule), p.severity(f.Rule), p.Wants(f.Rule)
		if f.Evidence == nil {
			continue
		}
		f.Error = f.Evidence.Error
		for _, other := range p.Facts {
			if f.Error == "" && other.About == f.Evidence.About {
				f.Error = other.Error
			}
		}
	}
	return findings
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
