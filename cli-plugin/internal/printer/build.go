// SPDX-License-Identifier: Apache-2.0

package printer

import (
	"fmt"
	"io"
	"strconv"

	"github.com/docker/cli/cli/command"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/build"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/inspection"
	"github.com/manifest-format/manifest-format/format"
)

// Build is what a build emitted, as --format shows it.
type Build struct {
	Emissions []build.Emitted `json:"emissions"`
}

// Try returns why Print could not print b in its format.
func (b Build) Try(o ConversionOptions) error {
	if o.Format == "" {
		return nil
	}
	return printTemplate(io.Discard, o.Format, b)
}

// Print writes b to standard output: one table, or with Quiet one reference a
// line. What was lost goes to standard error.
func (b Build) Print(streams command.Streams, o ConversionOptions) error {
	out := o.result(streams)
	if o.Format != "" {
		return printTemplate(out, o.Format, b)
	}
	b.printLosses(streams, o)
	if o.Quiet {
		return b.printReferences(out)
	}
	style := styleOf(streams.Out())
	var rows table
	var headings []string
	for _, heading := range []string{"DESTINATION", "PROFILE", "FORMAT", "MEDIA TYPE", "DIGEST", "SIZE", "LOSSES"} {
		headings = append(headings, style.faint(heading))
	}
	rows.add(headings...)
	for _, e := range b.Emissions {
		shown := e.Root.Digest.String()
		if streams.Out().IsTerminal() {
			shown = Short(e.Root.Digest)
		}
		rows.add(printable(e.Destination), e.Profile, or(string(e.Format), inspection.FormatName(string(e.Format))),
			or(e.Root.MediaType, printable(e.Root.MediaType)), shown, sizeOf(e.Size), strconv.Itoa(len(e.Losses)))
	}
	rows.write(out, "")
	return nil
}

// or is shown, or "-" where there is no value.
func or(value, shown string) string {
	if value == "" {
		return "-"
	}
	return shown
}

func sizeOf(bytes int64) string {
	if bytes == 0 {
		return "-"
	}
	return inspection.HumanSize(bytes)
}

// printReferences prints the references, each once.
func (b Build) printReferences(out io.Writer) error {
	seen := map[string]bool{}
	for _, e := range b.Emissions {
		if seen[e.Reference] {
			continue
		}
		seen[e.Reference] = true
		if _, err := fmt.Fprintln(out, e.Reference); err != nil {
			return err
		}
	}
	return nil
}

// printLosses lists losses and notes of each emission, those of one that has
// several names once.
func (b Build) printLosses(streams command.Streams, o ConversionOptions) {
	style := styleOf(streams.Err())
	for i, e := range b.Emissions {
		if i > 0 && e.SameAs(b.Emissions[i-1]) {
			continue
		}
		if len(e.Losses) == 0 && len(e.Notes) == 0 {
			continue
		}
		if len(b.Emissions) > 1 && (len(e.Losses) > 0 || !o.Quiet) {
			fmt.Fprintf(streams.Err(), "%s, for %s:\n", style.bold(printable(e.Destination)), e.Profile)
		}
		printLosses(streams, e.Losses, false)
		if !o.Quiet {
			Conversion{Result: &format.Result{Notes: e.Notes}}.printNotes(streams.Err(), style)
		}
	}
}
