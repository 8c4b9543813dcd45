// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package scripts has what testscripts of several programs need: commands, and
// engines that live as long as a script.
package scripts

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// Scope lets an engine live as long as a script.
type Scope struct {
	*testscript.TestScript
	ctx context.Context //nolint:containedctx // it stands for testing.T, which has one
}

var _ engines.TB = Scope{}

// NewScope returns the scope of a script.
func NewScope(ts *testscript.TestScript) Scope {
	ctx, cancel := context.WithCancel(context.Background())
	ts.Defer(cancel)
	return Scope{TestScript: ts, ctx: ctx}
}

// Context implements [engines.TB].
func (s Scope) Context() context.Context { return s.ctx }

// Cleanup implements [engines.TB].
func (s Scope) Cleanup(f func()) { s.Defer(f) }

// Failed implements [engines.TB]. A script does not say.
func (Scope) Failed() bool { return false }

// Helper implements [engines.TB].
func (Scope) Helper() {}

// Skipf implements [engines.TB]: what is needed is there.
func (s Scope) Skipf(format string, args ...any) { s.Fatalf(format, args...) }

// TempDir makes a folder in the script's own, which goes when it ends.
func (s Scope) TempDir() string {
	dir, err := os.MkdirTemp(s.Getenv("WORK"), ".engine")
	s.Check(err)
	return dir
}

// Exits is the command "exits CODE PROGRAM ARG...".
func Exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s ended with %d, not with %d", args[1], got, want)
	}
}

// Registry is the command "registry NAME [tls] [USER:PASSWORD...]": it starts
// one, and sets the variables NAME and NAME_CA to its address and the file of
// its authority.
func Registry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: registry NAME [tls] [USER:PASSWORD...]")
	}
	options := engines.RegistryOptions{Users: map[string]string{}}
	for _, arg := range args[1:] {
		if user, password, ok := strings.Cut(arg, ":"); ok {
			options.Users[user] = password
		} else {
			options.TLS = arg == "tls"
		}
	}
	started := engines.StartRegistry(NewScope(ts), options)
	ts.Setenv(args[0], started.Addr)
	ts.Setenv(args[0]+"_CA", started.CA)
}
