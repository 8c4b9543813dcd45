// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/plugins/internal/rule"
)

// Rule is for the images that its pattern matches.
type Rule struct {
	Match rule.Pattern `json:"match"`
	// Namespaces are the watched ones that the rule is for: all if left out.
	Namespaces []string `json:"namespaces"`
	// Skip has the images left alone.
	Skip bool `json:"skip"`
	// For are profiles, as --for takes them.
	For string `json:"for"`
	// To is where the result goes.
	To           Target                 `json:"to"`
	Platforms    Platforms              `json:"platforms"`
	Attestations format.Attestations    `json:"attestations"`
	Annotations  format.AnnotationsMode `json:"annotations"`
	Compression  format.Compression     `json:"compression"`
	OnLoss       format.OnLoss          `json:"onLoss"`

	profile format.Profile
	recipe  string
}

// Profile is what the images are converted for.
func (r *Rule) Profile() format.Profile { return r.profile }

// Options are the engine's.
func (r *Rule) Options() format.Options {
	return format.Options{
		OnLoss: r.OnLoss, Platforms: r.Platforms.list, Annotations: r.Annotations,
		Attestations: r.Attestations, Compression: r.Compression,
	}
}

// Plain reports whether an image that the profile accepts is what the rule
// asks for.
func (r *Rule) Plain() bool {
	return len(r.Platforms.list) == 0 && r.Attestations == "" && r.Compression == ""
}

// Recipe is a short digest of all that decides what the result is. A rule that
// is changed has another.
func (r *Rule) Recipe() string { return r.recipe }

// hides reports whether no image that s is for gets past r.
func (r *Rule) hides(s *Rule) bool {
	return (r.Match.String() == "**" || r.Match.String() == s.Match.String()) &&
		!slices.ContainsFunc(s.Namespaces, func(name string) bool { return !slices.Contains(r.Namespaces, name) })
}

func (r *Rule) validate(dir string, i int) error {
	at := func(field string, err error) error { return rule.Field(err, "rules", i, field) }
	if r.Match.String() == "" {
		return at("match", errors.New(`a rule says which images it is for: "**" is every image`))
	}
	if r.Skip {
		return r.validateSkip(i)
	}
	var err error
	if r.profile, err = rule.FindProfile(r.For, dir); err != nil {
		return at("for", err)
	}
	if r.To.text == "" {
		return at("to", fmt.Errorf("a rule says where the result goes: %q moves the image's own name, %q makes another", inPlace, placeName+"-"+r.profile.Name))
	}
	for _, field := range []struct {
		name, value string
		values      []string
	}{
		{"attestations", string(r.Attestations), []string{string(format.AttestationsKeep), string(format.AttestationsDrop)}},
		{"annotations", string(r.Annotations), []string{string(format.AnnotationsDrop), string(format.AnnotationsLabels)}},
		{"compression", string(r.Compression), []string{string(format.Gzip), string(format.Zstd), string(format.Uncompressed)}},
		{"onLoss", string(r.OnLoss), []string{string(format.OnLossWarn), string(format.OnLossFail)}},
	} {
		if field.value != "" && !slices.Contains(field.values, field.value) {
			return at(field.name, fmt.Errorf("it is %q, and should be %s", field.value, strings.Join(field.values, " or ")))
		}
	}
	return r.hash()
}

// validateSkip refuses what a rule that skips would not do.
func (r *Rule) validateSkip(i int) error {
	for field, has := range map[string]bool{
		"for": r.For != "", "to": r.To.text != "", "platforms": r.Platforms.text != "", "attestations": r.Attestations != "",
		"annotations": r.Annotations != "", "compression": r.Compression != "", "onLoss": r.OnLoss != "",
	} {
		if has {
			return rule.Field(errors.New("the rule skips its images: leave this out, or skip"), "rules", i, field)
		}
	}
	return nil
}

// hash writes down what decides the result.
func (r *Rule) hash() error {
	body, err := json.Marshal(r.profile)
	if err != nil {
		return err
	}
	body = fmt.Appendf(body, "%q %q %q %q", r.Platforms.text, r.Attestations, r.Annotations, r.Compression)
	sum := sha256.Sum256(body)
	r.recipe = hex.EncodeToString(sum[:6])
	return nil
}

// Platforms are those that a rule converts. The zero value is "pulled": those
// that are all there.
type Platforms struct {
	text string
	all  bool
	list []ocispec.Platform
}

// Pulled reports whether those are converted that are there.
func (p Platforms) Pulled() bool { return !p.all && len(p.list) == 0 }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *Platforms) UnmarshalText(text []byte) error {
	p.text = string(text)
	switch p.text {
	case "pulled":
		return nil
	case "all":
		p.all = true
		return nil
	}
	for one := range strings.SplitSeq(p.text, ",") {
		platform, err := platforms.Parse(strings.TrimSpace(one))
		if err != nil {
			return fmt.Errorf("%q is neither pulled nor all, nor platforms such as linux/amd64,linux/arm64", p.text)
		}
		p.list = append(p.list, platforms.Normalize(platform))
	}
	return nil
}

// MarshalText implements [encoding.TextMarshaler].
func (p Platforms) MarshalText() ([]byte, error) { return []byte(p.text), nil }
