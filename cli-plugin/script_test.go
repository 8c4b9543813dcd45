// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/manifest-format/manifest-format/integration/scripts"
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
			"registry": scripts.Registry,
			"broken":   cmdBroken,
			"exits":    scripts.Exits,
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
	ts.Setenv(args[0], serveFault(scripts.NewScope(ts), handler))
}
