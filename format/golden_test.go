// SPDX-License-Identifier: Apache-2.0

package format_test

import (
	"flag"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
)

var update = flag.Bool("update", false, "write what comes out into the golden cases, to be held against the rules by a person")

// loadCases returns the golden conversions, one for each row and rule.
func loadCases(tb testing.TB) []*formattest.Case {
	tb.Helper()
	files, err := filepath.Glob("testdata/convert/*.txtar")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no golden cases: %v", err)
	}
	var cases []*formattest.Case
	for _, file := range files {
		c, err := formattest.Load(file)
		if err != nil {
			tb.Fatal(err)
		}
		cases = append(cases, c)
	}
	return cases
}

func newStore(tb testing.TB, c *formattest.Case) *formattest.Store {
	tb.Helper()
	s, err := c.Store()
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestGolden(t *testing.T) {
	for _, c := range loadCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, c)
			result, err := format.Convert(t.Context(), s, c.Root, c.Profile, c.Options)
			if *update {
				if err := c.Update(s, result, err); err != nil {
					t.Fatal(err)
				}
				checkFindings(t, c)
				return
			}
			for _, problem := range c.Compare(s, result, err) {
				t.Error(problem)
			}
			checkFindings(t, c)
			if err != nil || t.Failed() {
				return
			}
			x := conversion{root: c.Root, profile: c.Profile, options: c.Options, source: func() *formattest.Store { return newStore(t, c) }}
			checkLaws(t, x, s, result)
			if cmp.Equal(c.Options, format.Options{}) {
				checkSource(t, x, c.Unchanged())
			}
		})
	}
}

// checkFindings compares what a check of the source says with the case, if
// that has it.
func checkFindings(t *testing.T, c *formattest.Case) {
	t.Helper()
	report, err := format.Check(t.Context(), newStore(t, c), c.Root, c.Profile)
	if err != nil {
		return // the case is one of refusals
	}
	if *update {
		if err := c.UpdateFindings(report); err != nil {
			t.Fatal(err)
		}
	}
	for _, problem := range c.CompareFindings(report) {
		if !*update {
			t.Error(problem)
		}
	}
}

// checkSource is the other half of the law that checkDual has: a check of an
// image that needs no conversion finds nothing, of one that needs it something.
func checkSource(t *testing.T, x conversion, conforms bool) {
	t.Helper()
	report, err := format.Check(t.Context(), x.source(), x.root, x.profile)
	if err != nil {
		t.Fatalf("check of the source: %v", err)
	}
	if noted := report.Severity() != format.SeverityError && !slices.ContainsFunc(report.Findings, func(f format.Finding) bool { return f.Fixable }); conforms && noted {
		return // unchanged, but for what nothing mends
	}
	if report.OK() && len(x.profile.Tolerates) > 0 {
		return // what the target does not mind is written anew all the same
	}
	if report.OK() != conforms {
		t.Errorf("the source conforms: %t, but it is unchanged: %t; %+v", report.OK(), conforms, report.Findings)
	}
}
