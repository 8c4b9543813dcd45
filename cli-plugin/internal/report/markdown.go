// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/conformance"
)

// marks stand before a verdict, so that a table can be skimmed.
var marks = map[conformance.Verdict]string{
	conformance.Accepted: "✅", conformance.Uncertain: "❔", conformance.Doubtful: "⚠️", conformance.Refused: "❌",
}

// writeMarkdown writes a as a comment on a pull request: a table, and behind
// it the findings, folded.
func writeMarkdown(out io.Writer, a *conformance.Assessment) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### Where %s can go\n\n", code(a.Reference))
	if a.Summary != "" {
		fmt.Fprintf(&b, "%s\n\n", code(a.Summary))
	}
	b.WriteString("| target | verdict | what stands against it |\n| --- | --- | --- |\n")
	for _, t := range a.Targets {
		against := ""
		if text := t.Against(); text != "" {
			against = code(text)
		}
		fmt.Fprintf(&b, "| %s | %s %s | %s |\n", code(t.Profile), marks[t.Verdict], t.Verdict, against)
	}
	for _, t := range a.Targets {
		if len(t.Findings) > 0 {
			markdownTarget(&b, t)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func markdownTarget(b *strings.Builder, t conformance.Target) {
	fmt.Fprintf(b, "\n<details><summary>%s %s: %s</summary>\n\n", marks[t.Verdict], t.Profile, t.Verdict)
	b.WriteString("| | rule | where | found | wanted | since |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, f := range t.Findings {
		from := "specification"
		if f.Evidence != nil {
			from = fmt.Sprintf("%s, %s, %s", f.Evidence.Confidence, f.Evidence.Date, link(f.Evidence.Source))
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", f.Severity, code(f.Rule), code(place(f.Path)), code(f.Detail), code(f.Wants), from)
	}
	if t.Fix != "" {
		fmt.Fprintf(b, "\n```sh\n%s\n```\n", strings.ReplaceAll(t.Fix, "`", ""))
	}
	b.WriteString("\n</details>\n")
}

// code is text in a span of code, where nothing in it means anything: it comes
// from an image that anybody may have pushed.
func code(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text)
	fence := "`"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	pad := ""
	if len(fence) > 1 {
		pad = " "
	}
	return fence + pad + strings.ReplaceAll(text, "|", `\|`) + pad + fence
}

// link is a source, as a link where it is an address.
func link(source string) string {
	if strings.HasPrefix(source, "https://") && !strings.ContainsAny(source, " ,()<>|`") {
		return "[source](" + source + ")"
	}
	return code(source)
}
