// SPDX-License-Identifier: Apache-2.0

package format

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
)

// ExclusionError says that no image is right for two targets at once: what
// one accepts the other does not.
type ExclusionError struct {
	// A and B are the facts that exclude each other.
	A, B Fact
}

// Error names both facts.
func (e *ExclusionError) Error() string {
	return printable(fmt.Sprintf("no image is right for both: %s; %s", e.A, e.B))
}

// Unwrap returns the class of the error.
func (e *ExclusionError) Unwrap() error { return errdefs.ErrInvalidArgument }

// CombineProfiles returns the profile of the images that every one of the
// targets accepts. Where there can be none, the error is an [*ExclusionError].
// What the first prefers is preferred.
func CombineProfiles(all ...Profile) (Profile, error) {
	if len(all) == 0 {
		return Profile{}, fmt.Errorf("no profile is named%.0w", errdefs.ErrInvalidArgument)
	}
	sum := all[0].named()
	for _, p := range all[1:] {
		if slices.Contains(strings.Split(sum.Name, ","), p.Name) {
			continue
		}
		var err error
		if sum, err = sum.and(p.named()); err != nil {
			return Profile{}, err
		}
	}
	if len(strings.Split(sum.Name, ",")) == 1 {
		return all[0], nil
	}
	return sum, nil
}

// named returns a copy of p whose facts say that they are p's.
func (p Profile) named() Profile {
	p.Facts = slices.Clone(p.Facts)
	for i := range p.Facts {
		if p.Facts[i].Target == "" {
			p.Facts[i].Target = p.Name
		}
	}
	return p
}

// and returns what both accept.
func (p Profile) and(q Profile) (Profile, error) {
	sum := Profile{
		Name:      p.Name + "," + q.Name,
		Title:     p.Title + ", " + q.Title,
		Details:   union(p.Details, q.Details),
		Platforms: union(p.Platforms, q.Platforms),
		Tolerates: slices.DeleteFunc(slices.Clone(p.Tolerates), func(id string) bool { return !slices.Contains(q.Tolerates, id) }),
		Facts:     append(slices.Clone(p.Facts), q.Facts...),
		Limits: Limits{
			Layers:        tighter(p.Limits.Layers, q.Limits.Layers),
			LayerBytes:    tighter(p.Limits.LayerBytes, q.Limits.LayerBytes),
			ImageBytes:    tighter(p.Limits.ImageBytes, q.Limits.ImageBytes),
			DocumentBytes: tighter(p.Limits.DocumentBytes, q.Limits.DocumentBytes),
		},
	}
	if len(sum.Tolerates) == 0 {
		sum.Tolerates = nil
	}
	if p.Kind == q.Kind {
		sum.Kind = p.Kind
	}
	var ok [4]bool
	sum.Formats, ok[0] = intersect(p.Formats, q.Formats)
	sum.Compressions, ok[1] = intersect(p.Compressions, q.Compressions)
	sum.Attestations, ok[2] = intersect(p.Attestations, q.Attestations)
	sum.AttestationForms, ok[3] = intersect(p.AttestationForms, q.AttestationForms)
	for i, rule := range []Rule{ruleMediaType, ruleCompression, ruleAttestations, ruleAttestationForm} {
		if !ok[i] {
			return Profile{}, exclude(p, q, rule, rule)
		}
	}
	if len(sum.Formats) > 0 && !slices.ContainsFunc(sum.Formats, sum.compressible) {
		return Profile{}, exclude(p, q, ruleMediaType, ruleCompression)
	}
	var err error
	if sum.Index, err = bothIndex(p, q); err != nil {
		return Profile{}, err
	}
	if sum.Index == IndexForbidden && !sum.onePlatform() {
		return Profile{}, exclude(p, q, rulePlatformNeeded, rulePlatformNeeded)
	}
	return sum, nil
}

// compressible reports whether some layer of that format is accepted.
func (p Profile) compressible(f Format) bool {
	return slices.ContainsFunc([]Compression{Gzip, Zstd, Uncompressed}, func(c Compression) bool { return p.Accepts(f, c) })
}

// bothIndex is the use of an index that both allow.
func bothIndex(p, q Profile) (IndexUse, error) {
	strict := func(u IndexUse) bool { return u != "" && u != IndexAllowed }
	switch {
	case !strict(p.Index):
		return q.Index, nil
	case !strict(q.Index), p.Index == q.Index:
		return p.Index, nil
	case p.Index == IndexForbidden:
		return "", exclude(p, q, ruleSingle, ruleIndexRequired)
	}
	return "", exclude(p, q, ruleIndexRequired, ruleSingle)
}

// onePlatform reports whether one image has a platform of each element.
func (p Profile) onePlatform() bool {
	if len(p.Platforms) == 0 {
		return true
	}
	for name := range strings.SplitSeq(p.Platforms[0], "|") {
		candidate, err := platforms.Parse(name)
		if err == nil && !slices.ContainsFunc(p.Platforms, func(choice string) bool { return !runs(choice, candidate) }) {
			return true
		}
	}
	return false
}

// exclude is the error that names what p says of one rule and q of another.
func exclude(p, q Profile, of, and Rule) error {
	return &ExclusionError{A: p.claim(of), B: q.claim(and)}
}

// claim is the evidence for a rule, or, where a profile gives none, what it says.
func (p Profile) claim(r Rule) Fact {
	if f := p.Evidence(r.ID); f != nil {
		return *f
	}
	return Fact{About: r.ID, Says: p.Wants(r.ID), Source: "its profile", Date: Undated, Confidence: Unknown, Target: p.Name}
}

// intersect is what both lists have, in the order of the first. An empty list
// has everything. It reports false if nothing is left.
func intersect[T comparable](a, b []T) ([]T, bool) {
	if len(a) == 0 {
		return b, true
	}
	if len(b) == 0 {
		return a, true
	}
	var both []T
	for _, v := range a {
		if slices.Contains(b, v) {
			both = append(both, v)
		}
	}
	return both, len(both) > 0
}

func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// tighter is the smaller of two limits, of which zero is none.
func tighter[T int | int64](a, b T) T {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
