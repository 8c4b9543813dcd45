// SPDX-License-Identifier: Apache-2.0

// Package report writes what was found out about an image for other programs
// and other readers: SARIF for code scanning, JUnit for CI, Markdown for a
// comment, and one HTML page.
package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/conformance"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/printer"
)

// writers are the formats, by the words that --format takes.
var writers = map[string]func(io.Writer, *conformance.Assessment) error{
	"sarif":    writeSARIF,
	"junit":    writeJUnit,
	"markdown": writeMarkdown,
	"html":     writeHTML,
}

// Formats are the words for the formats.
func Formats() []string { return []string{"sarif", "junit", "markdown", "html"} }

// Known reports whether a word is one of [Formats].
func Known(format string) bool { return slices.Contains(Formats(), format) }

// Write writes a to out in one of [Formats].
func Write(out io.Writer, format string, a *conformance.Assessment) error {
	write, ok := writers[format]
	if !ok {
		return fmt.Errorf("no such format: %q; there is %s", format, strings.Join(Formats(), ", "))
	}
	return write(out, a)
}

// place is a path in the image for a person: the root is "/".
func place(path string) string {
	if path == "" {
		return "/"
	}
	return printer.Line(path)
}

// since says how sure a finding is, since when and from where.
func since(f conformance.Finding) string {
	if f.Evidence == nil {
		return "the specification says so; whether this target minds is not known"
	}
	return f.Evidence.String()
}
