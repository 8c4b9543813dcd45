// SPDX-License-Identifier: Apache-2.0

package printer

import (
	"fmt"
	"os"

	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/streams"
	"github.com/morikuni/aec"
)

// style is the colours of one stream; none unless it is a terminal.
type style struct{ on bool }

// styleOf respects https://no-color.org/ and terminals that have no colours.
func styleOf(out *streams.Out) style {
	return style{on: out.IsTerminal() && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (s style) bold(text string) string   { return s.apply(text, aec.Bold) }
func (s style) faint(text string) string  { return s.apply(text, aec.Faint) }
func (s style) green(text string) string  { return s.apply(text, aec.GreenF) }
func (s style) yellow(text string) string { return s.apply(text, aec.YellowF) }
func (s style) red(text string) string    { return s.apply(text, aec.RedF) }

func (s style) apply(text string, a aec.ANSI) string {
	if !s.on || text == "" {
		return text
	}
	return a.Apply(text)
}

// Warning writes a line on standard error.
func Warning(streams command.Streams, text string) {
	fmt.Fprintf(streams.Err(), "%s %s\n", styleOf(streams.Err()).yellow("warning:"), printable(text))
}

// Note writes a line on standard error that warns of nothing.
func Note(streams command.Streams, text string) {
	fmt.Fprintf(streams.Err(), "%s\n", printable(text))
}
