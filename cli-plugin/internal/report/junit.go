// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/conformance"
	"github.com/manifest-format/manifest-format/format"
)

// The part of JUnit's XML that CI systems agree on.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Failure *junitFailure `xml:"failure,omitempty"`
		Output  string        `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Type    string `xml:"type,attr"`
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes a as one suite with a test for each target. A target that
// is known to refuse the image is a failure; the rest is output.
func writeJUnit(out io.Writer, a *conformance.Assessment) error {
	suite := junitSuite{Name: a.Reference}
	for _, t := range a.Targets {
		c := junitCase{Name: t.Profile, Class: "manifest-format." + string(t.Kind)}
		var failure, output strings.Builder
		for _, f := range t.Findings {
			to := &output
			if f.Severity == format.SeverityError {
				to = &failure
			}
			fmt.Fprintf(to, "%s %s at %s: %s; wanted: %s; %s\n", f.Severity, f.Rule, place(f.Path), f.Detail, f.Wants, since(f))
		}
		if t.Verdict == conformance.Refused {
			if t.Fix != "" {
				fmt.Fprintf(&failure, "fix: %s\n", t.Fix)
			}
			c.Failure = &junitFailure{Type: t.Findings[0].Rule, Message: t.Findings[0].Detail, Text: failure.String()}
			suite.Failures++
		}
		c.Output = output.String()
		suite.Cases = append(suite.Cases, c)
	}
	suite.Tests = len(suite.Cases)
	body, err := xml.MarshalIndent(junitSuites{Tests: suite.Tests, Failures: suite.Failures, Suites: []junitSuite{suite}}, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s%s\n", xml.Header, body)
	return err
}
