// SPDX-License-Identifier: Apache-2.0

package printer

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/docker/cli/cli/command"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/conformance"
	"github.com/manifest-format/manifest-format/format"
)

// Matrix writes one line for each target to standard output.
func Matrix(streams command.Streams, a *conformance.Assessment) error {
	style := styleOf(streams.Out())
	var b strings.Builder
	heading(&b, style, a)
	var rows table
	rows.add(style.faint("TARGET"), style.faint("VERDICT"), style.faint("WHAT STANDS AGAINST IT"))
	count := map[conformance.Verdict]int{}
	for _, t := range a.Targets {
		count[t.Verdict]++
		rows.add(printable(t.Profile), verdict(style, t.Verdict), printable(t.Against()))
	}
	rows.write(&b, "")
	var counts []string
	for _, v := range conformance.Verdicts() {
		counts = append(counts, fmt.Sprintf("%d %s", count[v], v))
	}
	fmt.Fprintf(&b, "\n%s. `manifest-format check --for TARGET %s` says why.\n", strings.Join(counts, ", "), printable(a.Reference))
	_, err := io.WriteString(streams.Out(), b.String())
	return err
}

func heading(b *strings.Builder, style style, a *conformance.Assessment) {
	fmt.Fprintln(b, style.bold(printable(a.Reference)))
	if a.Summary != "" {
		fmt.Fprintln(b, printable(a.Summary))
	}
	fmt.Fprintln(b)
}

func verdict(style style, v conformance.Verdict) string {
	switch v {
	case conformance.Accepted:
		return style.green(string(v))
	case conformance.Refused:
		return style.red(string(v))
	default:
		return style.yellow(string(v))
	}
}

// Findings writes what stands against each target to standard output.
func Findings(streams command.Streams, a *conformance.Assessment) error {
	style := styleOf(streams.Out())
	var b strings.Builder
	heading(&b, style, a)
	for i, t := range a.Targets {
		if i > 0 {
			fmt.Fprintln(&b)
		}
		title := ""
		if t.Title != "" {
			title = style.faint(", " + printable(t.Title))
		}
		fmt.Fprintf(&b, "%s%s: %s\n", style.bold(printable(t.Profile)), title, verdict(style, t.Verdict))
		for _, group := range t.Groups() {
			printGroup(&b, style, group, t.Fix)
		}
		for _, note := range t.Notes {
			fmt.Fprintf(&b, "  %s %s\n", printable(note.Text), style.faint("at "+place(note.Path)))
		}
		if t.Fix != "" {
			fmt.Fprintf(&b, "  %s\n    %s\n", style.bold("mend it with"), printable(t.Fix))
		}
	}
	_, err := io.WriteString(streams.Out(), b.String())
	return err
}

// maxPlaces is how many places of one rule are listed.
const maxPlaces = 5

// printGroup writes findings of one rule. The command fix is said elsewhere.
func printGroup(b *strings.Builder, style style, group conformance.Group, fix string) {
	first := group.Finding
	fmt.Fprintf(b, "  %s %s\n", severity(style, first.Severity), style.bold(first.Rule))
	var rows table
	for i, f := range group.Places {
		if i == maxPlaces {
			rows.add("found", fmt.Sprintf("and %d more", len(group.Places)-maxPlaces))
			break
		}
		rows.add("found", printable(f.Detail)+style.faint("  at "+place(f.Path)))
	}
	rows.add("wants", printable(first.Wants))
	rows.add("since", printable(since(first)))
	if first.Error != "" {
		rows.add("error", printable(first.Error))
	}
	switch {
	case first.Fix == "":
		rows.add("fix", "no conversion mends this")
	case first.Fix != fix:
		rows.add("fix", printable(first.Fix))
	}
	rows.write(b, "    ")
}

func severity(style style, s format.Severity) string {
	if s == format.SeverityError {
		return style.red(string(s))
	}
	return style.yellow(string(s))
}

// since says how sure a finding is, since when and from where.
func since(f conformance.Finding) string {
	if f.Evidence == nil {
		return "the specification; whether this target minds is not known"
	}
	return f.Evidence.String()
}

// CheckTemplate writes a through the value of a --format flag: "json", or a
// Go template over [conformance.Assessment].
func CheckTemplate(streams command.Streams, a *conformance.Assessment, format string) error {
	return printTemplate(streams.Out(), format, a)
}

// Fixes writes the commands that mend the image for each target to standard
// output, each once, and says on standard error what no command mends.
func Fixes(streams command.Streams, a *conformance.Assessment) error {
	var commands []string
	for _, t := range a.Targets {
		for _, f := range t.Findings {
			switch {
			case f.Fix == "":
				Warning(streams, fmt.Sprintf("%s: no conversion mends %s: %s", t.Profile, f.Rule, f.Detail))
			case !slices.Contains(commands, f.Fix):
				commands = append(commands, f.Fix)
			}
		}
	}
	var b strings.Builder
	for _, c := range commands {
		fmt.Fprintln(&b, printable(c))
	}
	_, err := io.WriteString(streams.Out(), b.String())
	return err
}
