// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/plugins/verifier/internal/policy"
)

// TestReasonIsOneLine has text out of an image and its name be hostile.
func TestReasonIsOneLine(t *testing.T) {
	evil := "\x1b[2J\r\ngone\u202e" + strings.Repeat("é", 2000) + "\xff"
	report := &format.Report{Profile: "docker", Findings: []format.Finding{
		{Rule: "annotations", Severity: format.SeverityError, Path: "/" + evil, Detail: evil, Wants: evil, Fixable: true},
	}}
	r := &policy.Rule{For: evil, Severity: format.SeverityError}
	for _, text := range []string{
		reason(r, Image{Name: evil}, report),
		reason(r, Image{Name: "a.io/b"}, report),
		Line(errors.New(evil)),
	} {
		if len(text) > maxLine+len("…") || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("not one printable line of at most %d bytes: %q", maxLine, text)
		}
	}
}

// TestReasonHasTheWorst has several findings, not all of which count.
func TestReasonHasTheWorst(t *testing.T) {
	report := &format.Report{Profile: "p", Findings: []format.Finding{
		{Rule: "one", Severity: format.SeverityNote, Detail: "first"},
		{Rule: "two", Severity: format.SeverityWarning, Detail: "second"},
		{Rule: "three", Severity: format.SeverityError, Detail: "third"},
	}}
	for severity, want := range map[format.Severity]string{
		format.SeverityError:   "not what p takes: third, and it wants that  (three); no conversion",
		format.SeverityWarning: "not what p takes: third, and it wants that  (three); and 1 more; no",
		format.SeverityNote:    "not what p takes: third, and it wants that  (three); and 2 more; no",
	} {
		got := reason(&policy.Rule{Severity: severity}, Image{Root: ocispec.Descriptor{}}, report)
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", severity, got)
		}
	}
	if got := reason(&policy.Rule{Severity: format.SeverityError}, Image{}, &format.Report{Findings: report.Findings[:2]}); got != "" {
		t.Errorf("what does not count is a reason: %s", got)
	}
}

// TestFault tells what is wrong with an image from a registry that has trouble.
func TestFault(t *testing.T) {
	for err, want := range map[error]bool{
		&format.Error{Op: "check", Err: fmt.Errorf("%w: it", format.ErrAmbiguous)}:    true,
		&format.Error{Op: "check", Err: fmt.Errorf("%w: it", format.ErrCorrupt)}:      true,
		&format.Error{Op: "check", Err: fmt.Errorf("%w: it", format.ErrTooLarge)}:     true,
		&format.Error{Op: "check", Err: fmt.Errorf("it: %w", errdefs.ErrNotFound)}:    false,
		&format.Error{Op: "check", Err: fmt.Errorf("it: %w", errdefs.ErrUnavailable)}: false,
		errors.New("a broken connection"):                                             false,
	} {
		if got := isFault(err); got != want {
			t.Errorf("%v is a fault: %t", err, got)
		}
	}
}
