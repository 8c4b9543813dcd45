// SPDX-License-Identifier: Apache-2.0

// Package conformance holds an image to what targets accept: for each target a
// verdict, what stands against it and why, and the command that mends it.
package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/inspection"
	"github.com/manifest-format/manifest-format/format"
)

// Verdict is whether a target takes an image.
type Verdict string

const (
	// Accepted says that nothing is known to stand against it.
	Accepted Verdict = "accepted"
	// Uncertain says that only a specification stands against it, or that
	// nothing is known of what the image is.
	Uncertain Verdict = "uncertain"
	// Doubtful says that such images were seen to be refused.
	Doubtful Verdict = "doubtful"
	// Refused says that the target is known to refuse it.
	Refused Verdict = "refused"
)

// Verdicts are all there are, the best first.
func Verdicts() []Verdict { return []Verdict{Accepted, Uncertain, Doubtful, Refused} }

func verdictOf(worst format.Severity) Verdict {
	switch worst {
	case format.SeverityError:
		return Refused
	case format.SeverityWarning:
		return Doubtful
	case format.SeverityNote:
		return Uncertain
	default:
		return Accepted
	}
}

// Assessment is an image beside the targets that it was held to.
type Assessment struct {
	// Reference is the image as it was named, in full; "-" for standard input.
	Reference string        `json:"reference"`
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	// Summary is what the image is, in one line.
	Summary string   `json:"summary,omitempty"`
	Targets []Target `json:"targets"`

	// Image is what was inspected. Nil for one document alone.
	Image *inspection.Image `json:"-"`
}

// Target is one target's verdict.
type Target struct {
	// Profile is the target's name.
	Profile string            `json:"profile"`
	Title   string            `json:"title"`
	Kind    format.TargetKind `json:"kind"`
	Verdict Verdict           `json:"verdict"`
	// Findings are what stands against it, the worst first.
	Findings []Finding     `json:"findings"`
	Notes    []format.Note `json:"notes"`
	// Fix is the command that mends what can be mended. Empty if nothing can.
	Fix string `json:"fix,omitempty"`
}

// Finding is one thing that stands against a target's taking an image.
type Finding struct {
	format.Finding
	// Fix is the command that mends it. Empty where none does.
	Fix string `json:"fix,omitempty"`
}

// Group is findings of one rule that differ in nothing but what was found, and
// where.
type Group struct {
	// Finding is the first of them.
	Finding
	// Places are all of them.
	Places []Finding
}

// Groups are the findings by rule, in order.
func (t Target) Groups() []Group {
	var all []Group
	for _, f := range t.Findings {
		i := slices.IndexFunc(all, func(g Group) bool { return g.Rule == f.Rule && g.Severity == f.Severity && g.Fix == f.Fix })
		if i < 0 {
			i, all = len(all), append(all, Group{Finding: f})
		}
		all[i].Places = append(all[i].Places, f)
	}
	return all
}

// Against is what stands against a target's taking the image, in a line: the
// rules that it breaks, or else what is not known.
func (t Target) Against() string {
	var rules []string
	for _, f := range t.Findings {
		if !slices.Contains(rules, f.Rule) {
			rules = append(rules, f.Rule)
		}
	}
	if len(rules) == 0 && t.Verdict == Uncertain && len(t.Notes) > 0 {
		return t.Notes[0].Text
	}
	return strings.Join(rules, ", ")
}

// Options change how an image is held to targets.
type Options struct {
	// Strict makes errors of warnings.
	Strict bool
	// Specs are how --for names profiles that are not known by their name: the
	// path of a file, by the name in it.
	Specs map[string]string
	// Part says that the source may hold a part of the image: the rest is not
	// looked at.
	Part bool
}

// Assess holds the image at root to every profile. Each document is read once,
// however many profiles there are.
func Assess(ctx context.Context, src inspection.Source, root ocispec.Descriptor, reference string, profiles []format.Profile, o Options) (*Assessment, error) {
	cached := newCache(src)
	held, err := o.holdings(ctx, src, root)
	if err != nil {
		return nil, err
	}
	image, err := inspection.InspectHeld(ctx, source{cached, src}, root, held)
	if err != nil {
		return nil, err
	}
	image.Reference = reference
	a := &Assessment{Reference: reference, MediaType: root.MediaType, Digest: root.Digest, Summary: image.Summary, Image: image, Targets: []Target{}}
	for _, p := range profiles {
		report, err := format.CheckHeld(ctx, cached, root, held, p)
		if err != nil {
			return nil, err
		}
		a.add(p, report, o)
	}
	return a, nil
}

// holdings is nil where all is there.
func (o Options) holdings(ctx context.Context, src content.Provider, root ocispec.Descriptor) ([]format.Holding, error) {
	if !o.Part {
		return nil, nil
	}
	return format.Holdings(ctx, src, root)
}

// AssessDocument holds one index or manifest to every profile: what it names is
// not there to be read. Its media type is its own, or follows from what it has.
func AssessDocument(ctx context.Context, body []byte, reference string, profiles []format.Profile, o Options) (*Assessment, error) {
	mediaType, err := mediaTypeOf(body)
	if err != nil {
		return nil, err
	}
	a := &Assessment{Reference: reference, MediaType: mediaType, Digest: digest.FromBytes(body), Targets: []Target{}}
	for _, p := range profiles {
		report, err := format.CheckDocument(ctx, body, mediaType, p)
		if err != nil {
			return nil, err
		}
		a.add(p, report, o)
	}
	return a, nil
}

// mediaTypeOf is what a document says that it is. One that says nothing is
// OCI's, whose mediaType may be left out.
func mediaTypeOf(body []byte) (string, error) {
	var doc struct {
		MediaType     string `json:"mediaType"`
		SchemaVersion int    `json:"schemaVersion"`
		Manifests     any    `json:"manifests"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return "", fmt.Errorf("standard input is no manifest and no index: %w", err)
	}
	switch {
	case doc.MediaType != "":
		return doc.MediaType, nil
	case doc.SchemaVersion == 0:
		return "", errors.New("standard input is no manifest and no index: it has no schemaVersion")
	case doc.SchemaVersion == 1:
		return format.MediaTypeDockerSchema1, nil
	case doc.Manifests != nil:
		return ocispec.MediaTypeImageIndex, nil
	}
	return ocispec.MediaTypeImageManifest, nil
}

// add adds what a check of a profile reports.
func (a *Assessment) add(p format.Profile, report *format.Report, o Options) {
	t := Target{Profile: p.Name, Title: p.Title, Kind: p.Kind, Findings: []Finding{}, Notes: report.Notes}
	var worst format.Severity
	fixable := false
	for _, f := range report.Findings {
		if o.Strict && f.Severity == format.SeverityWarning {
			f.Severity = format.SeverityError
		}
		worst = worst.Worse(f.Severity)
		fixable = fixable || f.Fixable
		t.Findings = append(t.Findings, Finding{Finding: f})
	}
	if e := p.Evidence("media-type"); len(p.Formats) == 0 && e != nil && e.Confidence == format.Unknown {
		worst = worst.Worse(format.SeverityNote)
		t.Notes = append([]format.Note{{Rule: e.About, Text: e.Says}}, t.Notes...)
	}
	t.Verdict = verdictOf(worst)
	if fixable {
		t.Fix = a.fix(p, o)
	}
	for i := range t.Findings {
		t.Findings[i].Fix = t.Fix
		if f := t.Findings[i]; !f.Fixable {
			t.Findings[i].Fix = remedy(f.Rule, p)
		}
	}
	slices.SortStableFunc(t.Findings, func(x, y Finding) int {
		if x.Severity == y.Severity {
			return 0
		}
		if x.Severity.Worse(y.Severity) == x.Severity {
			return -1
		}
		return 1
	})
	a.Targets = append(a.Targets, t)
}

// Failing returns the targets that do not take the image.
func (a *Assessment) Failing() []Target {
	var failing []Target
	for _, t := range a.Targets {
		if t.Verdict == Refused {
			failing = append(failing, t)
		}
	}
	return failing
}

// source is a place whose content is read through a cache.
type source struct {
	content.Provider
	place inspection.Source
}

// Referrers implements [inspection.Source].
func (s source) Referrers(ctx context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return s.place.Referrers(ctx, subject)
}
