// SPDX-License-Identifier: Apache-2.0

package printer

import (
	"fmt"
	"io"
	"strings"

	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/command/formatter"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// Conversion is what a conversion did, as --format shows it.
type Conversion struct {
	// Reference names the result by its digest.
	Reference string `json:"reference"`
	// DryRun says that nothing was written.
	DryRun bool `json:"dryRun"`
	*format.Result
}

// ConversionOptions change how a conversion is printed. The zero value prints
// the reference on standard output and all that was done on standard error.
type ConversionOptions struct {
	// Format is "json", or a Go template over [Conversion], which then is all
	// that is printed, on standard output.
	Format string
	// Quiet leaves out what is no loss.
	Quiet bool
	// Brief leaves out what was changed.
	Brief bool
	// OnStderr prints on standard error what would be on standard output, for
	// an image that is there.
	OnStderr bool
}

// result is where the result goes.
func (o ConversionOptions) result(streams command.Streams) io.Writer {
	if o.OnStderr {
		return streams.Err()
	}
	return streams.Out()
}

// Try returns why Print could not print c in its format.
func (c Conversion) Try(o ConversionOptions) error {
	if o.Format == "" {
		return nil
	}
	return printTemplate(io.Discard, o.Format, c)
}

// Print writes c to standard output and error.
func (c Conversion) Print(streams command.Streams, o ConversionOptions) error {
	out := o.result(streams)
	if o.Format != "" {
		return printTemplate(out, o.Format, c)
	}
	style := styleOf(streams.Err())
	if !o.Quiet && !o.Brief {
		c.printChanges(streams.Err(), style)
	}
	printLosses(streams, c.Losses, c.DryRun)
	if !o.Quiet {
		c.printNotes(streams.Err(), style)
	}
	_, err := fmt.Fprintln(out, c.Reference)
	return err
}

func (c Conversion) printChanges(out io.Writer, style style) {
	if len(c.Changes) == 0 {
		fmt.Fprintln(out, style.bold("Unchanged:"), "the image is already what was asked for")
		return
	}
	var rows table
	for _, change := range c.Changes {
		rows.add(place(change.Path), printable(change.What), style.faint(moved(change.From, change.To)))
	}
	fmt.Fprintln(out, style.bold(tense(c.DryRun, "Changed:", "Would change:")))
	rows.print(out)
}

func (c Conversion) printNotes(out io.Writer, style style) {
	if len(c.Notes) == 0 {
		return
	}
	var rows table
	for _, note := range c.Notes {
		rows.add(place(note.Path), printable(note.Text))
	}
	fmt.Fprintln(out, style.bold("Notes:"))
	rows.print(out)
}

// Refusal is a conversion that did not happen, since it would have lost
// something.
type Refusal struct {
	DryRun bool `json:"dryRun"`
	// Source is the image as it is.
	Source ocispec.Descriptor `json:"source"`
	// Losses are what would be lost, at least one.
	Losses []format.Loss `json:"losses"`
}

// Print writes r as JSON where that is the format, and otherwise lists what
// would be lost on standard error: there is no result that a template could
// show.
func (r Refusal) Print(streams command.Streams, o ConversionOptions) error {
	if o.Format != formatter.JSONFormatKey {
		printLosses(streams, r.Losses, true)
		return nil
	}
	return printTemplate(o.result(streams), o.Format, r)
}

// printLosses lists losses on standard error. They did not happen yet, or will
// not, if wouldBe.
func printLosses(streams command.Streams, losses []format.Loss, wouldBe bool) {
	if len(losses) == 0 {
		return
	}
	var rows table
	for _, loss := range losses {
		what := printable(loss.What)
		if loss.Value != "" {
			what += " = " + printable(loss.Value)
		}
		rows.add(place(loss.Path), what, printable(loss.Why))
	}
	style := styleOf(streams.Err())
	fmt.Fprintln(streams.Err(), style.yellow(tense(wouldBe, "Lost:", "Would be lost:")))
	rows.print(streams.Err())
}

func tense(wouldBe bool, is, would string) string {
	if wouldBe {
		return would
	}
	return is
}

// place is a path in an image; that of the root is empty.
func place(path string) string {
	if path == "" {
		return "/"
	}
	return printable(path)
}

// moved says which digest became which.
func moved(from, to ocispec.Descriptor) string {
	switch {
	case from.Digest == to.Digest:
		return Short(to.Digest)
	case from.Digest == "":
		return Short(to.Digest) + " (new)"
	case to.Digest == "":
		return Short(from.Digest) + " (gone)"
	}
	return Short(from.Digest) + " → " + Short(to.Digest)
}

// shortDigits is as many digits of a digest as docker shows.
const shortDigits = 12

// Short is a digest as a person tells it from others.
func Short(d digest.Digest) string {
	algorithm, encoded, ok := strings.Cut(d.String(), ":")
	if !ok || len(encoded) <= shortDigits {
		return d.String()
	}
	return algorithm + ":" + encoded[:shortDigits]
}
