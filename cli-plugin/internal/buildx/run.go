// SPDX-License-Identifier: Apache-2.0

package buildx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// patience is how long buildx may take to end once it was interrupted.
const patience = 10 * time.Second

// ExitError is that buildx failed. It has said why itself.
type ExitError struct {
	// Code is its exit code.
	Code int
}

// Error implements error.
func (e *ExitError) Error() string { return fmt.Sprintf("buildx ended with exit code %d", e.Code) }

// Streams are where a run of buildx reads and writes. Files reach it as they
// are, so that it knows a terminal.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Standard are the streams of this process.
func Standard() Streams { return Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr} }

// Run runs buildx with arguments and waits for it. What it has to say it says
// on the streams: the error then is an [*ExitError]. When ctx is done it is
// interrupted; on a terminal it was already, by the key, and takes it for the
// same.
func (p *Plugin) Run(ctx context.Context, streams Streams, args ...string) error {
	cmd := exec.CommandContext(ctx, p.path)
	cmd.Args, cmd.Env = p.argv(args), p.env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = streams.In, streams.Out, streams.Err
	cmd.Cancel = func() error { return interrupt(cmd.Process) }
	cmd.WaitDelay = patience
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &exit):
		return &ExitError{Code: exit.ExitCode()}
	}
	return fmt.Errorf("run buildx: %w", err)
}

// Ask runs a command of buildx that says something on standard output, and
// returns it. Its progress goes to progress; what else it says is the error.
func (p *Plugin) Ask(ctx context.Context, progress io.Writer, args ...string) ([]byte, error) {
	var out, said bytes.Buffer
	streams := Streams{Out: &out, Err: &said}
	if progress != nil {
		streams.Err = progress
	}
	err := p.Run(ctx, streams, args...)
	var exit *ExitError
	if errors.As(err, &exit) && said.Len() > 0 {
		return nil, fmt.Errorf("buildx: %s", strings.TrimPrefix(strings.TrimSpace(said.String()), "ERROR: "))
	}
	return out.Bytes(), err
}
