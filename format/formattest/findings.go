// SPDX-License-Identifier: Apache-2.0

package formattest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/manifest-format/manifest-format/format"
)

// sectionFindings has what a check of the source reports, where a case has it:
// "PATH SEVERITY RULE: TEXT" lines.
const sectionFindings = "findings"

// CompareFindings says in which ways a check's report is not what the case
// expects, if the case says what it expects.
func (c *Case) CompareFindings(report *format.Report) []string {
	want, listed := c.lines[sectionFindings]
	if !listed {
		return nil
	}
	got := findings(report)
	if slices.EqualFunc(got, want, matches) {
		return nil
	}
	return []string{fmt.Sprintf("findings (-want +got):\n%s", cmp.Diff(want, got))}
}

// UpdateFindings rewrites the section of findings, if there is one.
func (c *Case) UpdateFindings(report *format.Report) error {
	for i, f := range c.archive.Files {
		if f.Name == sectionFindings {
			c.archive.Files[i] = txtar.File{Name: f.Name, Data: []byte(strings.Join(findings(report), "\n") + "\n")}
		}
	}
	return c.write()
}

func findings(report *format.Report) []string {
	var lines []string
	for _, f := range report.Findings {
		mended := ""
		if f.Fixable {
			mended = " (mended)"
		}
		lines = append(lines, fmt.Sprintf("%s %s %s: %s%s", dot(f.Path), f.Severity, f.Rule, f.Detail, mended))
	}
	return lines
}
