// SPDX-License-Identifier: Apache-2.0

package location

import (
	"io"
	"os"
)

// Input is standard input; docker's streams.In is one.
type Input interface {
	io.Reader
	IsTerminal() bool
	File() (*os.File, bool)
}

// Output is standard output; docker's streams.Out is one.
type Output interface {
	io.Writer
	IsTerminal() bool
}

// readerOf is the file below an input, which can be read at any place if it is
// a regular one.
func readerOf(in Input) io.Reader {
	if file, ok := in.File(); ok {
		return file
	}
	return in
}
