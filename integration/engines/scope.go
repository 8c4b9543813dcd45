// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
)

// TB is what an engine asks of whoever starts it: the part of [testing.TB]
// that a program can offer too, see [Main].
type TB interface {
	// Context is done just before the functions given to Cleanup run.
	Context() context.Context
	Cleanup(func())
	Failed() bool
	Fatalf(format string, args ...any)
	Helper()
	Logf(format string, args ...any)
	Skipf(format string, args ...any)
	// TempDir makes a folder that is deleted after every Cleanup.
	TempDir() string
}

// Main calls run with a [TB] for use outside a test, waits for it, cleans up,
// and returns what made it fail: the message of Fatalf, or ctx's error when it
// was cancelled before run was done.
func Main(ctx context.Context, run func(tb TB)) error {
	ctx, cancel := context.WithCancel(ctx)
	s := &session{ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer s.cleanUp()
		defer cancel()
		run(s)
	}()
	<-done
	return s.err
}

// session is the TB of Main. Only the goroutine of run uses it.
type session struct {
	ctx      context.Context //nolint:containedctx // it stands for testing.T, which has one
	cleanups []func()
	err      error
}

func (s *session) Context() context.Context { return s.ctx }
func (s *session) Cleanup(f func())         { s.cleanups = append(s.cleanups, f) }
func (s *session) Failed() bool             { return s.err != nil }
func (s *session) Helper()                  {}

func (s *session) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// Fatalf ends the goroutine of run, as testing.T does.
func (s *session) Fatalf(format string, args ...any) {
	s.err = fmt.Errorf(format, args...)
	if cause := context.Cause(s.ctx); cause != nil {
		s.err = cause
	}
	runtime.Goexit()
}

// Skipf fails: a program that cannot do its work has not done it.
func (s *session) Skipf(format string, args ...any) { s.Fatalf(format, args...) }

func (s *session) TempDir() string {
	dir, err := os.MkdirTemp("", "manifest-format-")
	if err != nil {
		s.Fatalf("%v", err)
	}
	s.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			s.err = errors.Join(s.err, err)
		}
	})
	return dir
}

func (s *session) cleanUp() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}
