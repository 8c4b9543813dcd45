// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// update rewrites the expected output in testdata: go test ./cli-plugin -update.
var update = flag.Bool("update", false, "rewrite the expected output of the scripts")

// TestMain lets the scripts run this test binary as the program, under both
// its names.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"manifest-format": main, "docker-manifestformat": main})
}

// TestScripts runs testdata/*.txt, one behaviour or one bad input each. Beside
// testscript's own commands they have:
//
//	image SAMPLE LAYOUT[:TAG]     write a sample image into an OCI layout, see samples
//	registry NAME [OPTION...]     start a registry; $NAME is its host, $NAME_CA its authority
//	broken NAME FAULT             start a registry that answers with a fault, see faults
//	exits CODE PROGRAM ARG...     run a program that must end with this code
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("DOCKER_CONFIG", filepath.Join(env.WorkDir, ".docker"))
			env.Setenv("NO_COLOR", "")
			return nil
		},
		Condition: shellThere,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"image":    cmdImage,
			"registry": cmdRegistry,
			"broken":   cmdBroken,
			"exits":    cmdExits,
		},
	})
}

// shellThere is the condition shell:NAME: the shell is installed. In CI it has
// to be.
func shellThere(condition string) (bool, error) {
	name, ok := strings.CutPrefix(condition, "shell:")
	if !ok {
		return false, fmt.Errorf("no such condition: %s", condition)
	}
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			return false, err
		}
		return false, nil
	}
	return true, nil
}

// scope lets an engine live as long as a script.
type scope struct {
	*testscript.TestScript
	ctx context.Context
}

func newScope(ts *testscript.TestScript) scope {
	ctx, cancel := context.WithCancel(context.Background())
	ts.Defer(cancel)
	return scope{TestScript: ts, ctx: ctx}
}

func (s scope) Context() context.Context      { return s.ctx }
func (s scope) Cleanup(f func())              { s.Defer(f) }
func (s scope) Failed() bool                  { return false }
func (s scope) Helper()                       {}
func (s scope) Skipf(format string, a ...any) { s.Fatalf(format, a...) }

// TempDir makes a folder in the script's own, which goes when it ends.
func (s scope) TempDir() string {
	dir, err := os.MkdirTemp(s.Getenv("WORK"), ".engine")
	s.Check(err)
	return dir
}

func cmdRegistry(ts *testscript.TestScript, neg bool, args []string) {
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
	started := engines.StartRegistry(newScope(ts), options)
	ts.Setenv(args[0], started.Addr)
	ts.Setenv(args[0]+"_CA", started.CA)
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s ended with %d, not with %d", args[1], got, want)
	}
}

func cmdImage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: image SAMPLE LAYOUT[:TAG]")
	}
	sample, ok := samples[args[0]]
	if !ok {
		ts.Fatalf("no sample %q", args[0])
	}
	path, tag, _ := strings.Cut(args[1], ":")
	ts.Check(writeSample(ts.MkAbs(path), tag, sample()))
}

func cmdBroken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: broken NAME FAULT")
	}
	handler, ok := faults[args[1]]
	if !ok {
		ts.Fatalf("no fault %q", args[1])
	}
	ts.Setenv(args[0], serveFault(newScope(ts), handler))
}
