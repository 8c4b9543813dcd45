// SPDX-License-Identifier: Apache-2.0

package format_test

import (
	"context"
	"flag"
	"path/filepath"
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
				return
			}
			for _, problem := range c.Compare(s, result, err) {
				t.Error(problem)
			}
			if err != nil || t.Failed() {
				return
			}
			checkClosed(t, s, result)
			checkDual(t, s, result, c)
			checkIdempotent(t, s, result, c)
			checkSequential(t, result, c)
		})
	}
}

// checkDual is the law that a check of a converted image finds nothing, and a
// check of one that needed no conversion neither.
func checkDual(t *testing.T, s *formattest.Store, result *format.Result, c *formattest.Case) {
	t.Helper()
	report, err := format.Check(t.Context(), s, result.Root, c.Profile)
	if err != nil {
		t.Fatalf("check of the result: %v", err)
	}
	if !report.OK() {
		t.Errorf("the result does not conform: %+v", report.Findings)
	}
	if cmp.Equal(c.Options, format.Options{}) {
		report, err := format.Check(t.Context(), s, c.Root, c.Profile)
		if err != nil {
			t.Fatalf("check of the source: %v", err)
		}
		if report.OK() != c.Unchanged() {
			t.Errorf("the source conforms: %t, but unchanged: %t; %+v", report.OK(), c.Unchanged(), report.Findings)
		}
	}
}

// checkIdempotent is the law that a converted image needs no conversion.
func checkIdempotent(t *testing.T, s *formattest.Store, result *format.Result, c *formattest.Case) {
	t.Helper()
	before := s.Digests()
	again, err := format.Convert(t.Context(), s, result.Root, c.Profile, c.Options)
	if err != nil {
		t.Fatalf("converting the result: %v", err)
	}
	if again.Root.Digest != result.Root.Digest || len(again.Changes) > 0 || len(again.Losses) > 0 {
		t.Errorf("converting the result changes it: %+v", again)
	}
	if diff := cmp.Diff(before, s.Digests()); diff != "" {
		t.Errorf("converting the result writes: %s", diff)
	}
}

// checkSequential is the law that concurrency changes nothing.
func checkSequential(t *testing.T, result *format.Result, c *formattest.Case) {
	t.Helper()
	for _, concurrency := range []int{1, 32} {
		o := c.Options
		o.Concurrency = concurrency
		other, err := format.Convert(t.Context(), newStore(t, c), c.Root, c.Profile, o)
		if err != nil {
			t.Fatalf("concurrency %d: %v", concurrency, err)
		}
		if diff := cmp.Diff(result, other); diff != "" {
			t.Errorf("concurrency %d: %s", concurrency, diff)
		}
	}
}

// checkClosed is the law that every digest named in the result is in the
// store, save what the source lacked, and that all that was written is named.
func checkClosed(t *testing.T, s *formattest.Store, result *format.Result) {
	t.Helper()
	named := map[string]bool{}
	for _, root := range append(result.Referrers, result.Root) {
		for node, err := range format.Walk(context.Background(), s, root) {
			if err != nil {
				t.Fatalf("walking the result: %v", err)
			}
			named[node.Desc.Digest.String()] = true
		}
	}
	for _, dgst := range s.Written() {
		if !named[dgst.String()] {
			t.Errorf("%s was written, but nothing names it", dgst)
		}
	}
}
