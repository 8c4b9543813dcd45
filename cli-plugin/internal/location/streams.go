// SPDX-License-Identifier: Apache-2.0

package location

import (
	"context"
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

// pipeBuffer is as much as is read from a pipe at once: what Linux gives one
// at most unless asked.
const pipeBuffer = 64 << 10

// ReaderOf is what to read an input through: the file itself, in any order, if
// it is a regular one, and otherwise a reader whose Read ends with ctx. A read
// of a pipe cannot be called off: what waits in it is left behind.
func ReaderOf(ctx context.Context, in Input) io.Reader {
	if file, ok := in.File(); ok {
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			return file
		}
	}
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { w.CloseWithError(context.Cause(ctx)) })
	go func() {
		_, err := io.CopyBuffer(w, struct{ io.Reader }{in}, make([]byte, pipeBuffer))
		w.CloseWithError(err)
	}()
	return r
}
