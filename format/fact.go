// SPDX-License-Identifier: Apache-2.0

package format

import (
	"cmp"
	"fmt"
	"slices"
)

// Confidence is how sure a fact about a target is.
type Confidence string

const (
	// Documented is said by the vendor, or by the program's own source code.
	Documented Confidence = "documented"
	// Measured was tried here, on the real thing.
	Measured Confidence = "measured"
	// Reported is said by users or maintainers in an issue.
	Reported Confidence = "reported"
	// Inferred follows from another fact.
	Inferred Confidence = "inferred"
	// Unknown is for what nothing was found about.
	Unknown Confidence = "unknown"
)

// Severity is how bad a finding is.
type Severity string

const (
	// SeverityError is what the target is known to refuse.
	SeverityError Severity = "error"
	// SeverityWarning is what it was seen to refuse, or should refuse.
	SeverityWarning Severity = "warning"
	// SeverityNote is what a specification does not allow, or what nothing is
	// known about: whether this target minds is not known.
	SeverityNote Severity = "note"
)

// severities has the worst last.
var severities = []Severity{"", SeverityNote, SeverityWarning, SeverityError}

// Worse returns the worse of two severities. The empty one is the best.
func (s Severity) Worse(other Severity) Severity {
	return severities[max(slices.Index(severities, s), slices.Index(severities, other))]
}

// Severity is how bad it is to go against a fact of that confidence.
func (c Confidence) Severity() Severity {
	switch c {
	case Documented, Measured:
		return SeverityError
	case Reported, Inferred:
		return SeverityWarning
	default:
		return SeverityNote
	}
}

// Undated is the date of a fact whose source has none.
const Undated = "undated"

// What a fact can be about beside a rule: things that no image is checked for.
const (
	aboutReferrers  = "referrers"  // the referrers API
	aboutConversion = "conversion" // what the target makes of images itself
	aboutTolerance  = "tolerance"  // rules that the target does not mind
	aboutGeneral    = "general"
)

// Fact is one thing that is known of a target, and from where.
type Fact struct {
	// About is the id of the rule that it is evidence for, or one of
	// "referrers", "conversion", "tolerance" and "general".
	About string `json:"about"`
	// Says is the fact, in a sentence.
	Says string `json:"says"`
	// Source is where it is from, an address wherever there is one.
	Source string `json:"source"`
	// Date is the source's: 2026-08-08, 2026-08, 2026 or [Undated].
	Date       string     `json:"date"`
	Confidence Confidence `json:"confidence"`
	// Error is what the target says to an image that goes against it.
	Error string `json:"error,omitempty"`
	// Target is the profile that the fact is from, in one that is made of several.
	Target string `json:"target,omitempty"`
}

// String is the fact as an error message has it.
func (f Fact) String() string {
	text := fmt.Sprintf("%s (%s, %s, %s)", f.Says, f.Confidence, f.Date, f.Source)
	if f.Target != "" {
		return f.Target + ": " + text
	}
	return text
}

// leads are the rules whose facts stand in for those of a rule that has none:
// who takes no OCI image takes no artifact either.
var leads = map[string]string{
	ruleArtifact.ID:    ruleMediaType.ID,
	ruleCompression.ID: ruleMediaType.ID,
	ruleImageConfig.ID: ruleAttestationForm.ID,
	ruleDockerZstd.ID:  ruleLayerType.ID,
}

// Evidence is the surest fact about a rule, of several the newest. Nil where
// there is none: the rule then comes from a specification alone.
func (p Profile) Evidence(rule string) *Fact {
	var best *Fact
	for i := range p.Facts {
		f := &p.Facts[i]
		if f.About == rule && (best == nil || surer(*f, *best) > 0) {
			best = f
		}
	}
	if lead, ok := leads[rule]; best == nil && ok {
		return p.Evidence(lead)
	}
	return best
}

// confidences has the surest last.
var confidences = []Confidence{Unknown, Inferred, Reported, Measured, Documented}

func surer(a, b Fact) int {
	date := func(f Fact) string {
		if f.Date == Undated {
			return ""
		}
		return f.Date
	}
	return cmp.Or(
		cmp.Compare(slices.Index(confidences, a.Confidence), slices.Index(confidences, b.Confidence)),
		cmp.Compare(date(a), date(b)),
	)
}

// severity is how bad it is to break a rule at this target.
func (p Profile) severity(rule string) Severity {
	if f := p.Evidence(rule); f != nil {
		return f.Confidence.Severity()
	}
	return SeverityNote
}
