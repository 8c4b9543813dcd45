// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// outcome is how a run of the product ended.
type outcome struct {
	stdout, stderr string
	code           int
}

// invocation is a run of the product. The zero value of each field will do.
type invocation struct {
	// program runs the product where it is not the product itself.
	program string
	home    *engines.Home
	env     []string
	stdin   io.Reader
	args    []string
	// started is called once the process runs.
	started func(*os.Process)
}

// run runs the product and waits for it.
func (i invocation) run(t *testing.T) outcome {
	t.Helper()
	if i.home == nil {
		i.home = engines.NewHome(t, registry.Addr)
	}
	if i.program == "" {
		i.program = product
	}
	cmd := exec.CommandContext(t.Context(), i.program, i.args...)
	cmd.WaitDelay = 10 * time.Second
	cmd.Dir, cmd.Env = i.home.Dir, append(i.home.Env, i.env...)
	cmd.Stdin = i.stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if i.started != nil {
		i.started(cmd.Process)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
}

// must runs the product and fails the test unless it succeeds.
func (i invocation) must(t *testing.T) outcome {
	t.Helper()
	out := i.run(t)
	if out.code != 0 {
		t.Fatalf("manifest-format %s: exit code %d\n%s%s", strings.Join(i.args, " "), out.code, out.stdout, out.stderr)
	}
	return out
}

// conversion is what `convert --format json` says.
type conversion struct {
	Reference string
	Root      descriptor
	Referrers []descriptor
	Changes   []struct{ Path, What string }
	Losses    []loss
}

type loss struct{ Rule, Path, What, Value, Why string }

// convert converts an image for a profile.
func convert(t *testing.T, profile, source, destination string, flags ...string) conversion {
	t.Helper()
	return convertIn(t, nil, profile, source, destination, flags...)
}

// convertIn is convert in a home folder, where relative paths begin.
func convertIn(t *testing.T, home *engines.Home, profile, source, destination string, flags ...string) conversion {
	t.Helper()
	args := append([]string{"convert", "--for", profile, "--format", "json", "--progress", "quiet"}, flags...)
	out := invocation{home: home, args: append(args, source, destination)}.must(t)
	var c conversion
	if err := json.Unmarshal([]byte(out.stdout), &c); err != nil {
		t.Fatalf("convert: %v\n%s", err, out.stdout)
	}
	if out.stderr != "" {
		t.Errorf("convert with --format json wrote on standard error:\n%s", out.stderr)
	}
	if want := "@" + c.Root.Digest.String(); !strings.HasSuffix(c.Reference, want) {
		t.Errorf("the result is called %s, without %s", c.Reference, want)
	}
	return c
}

// descriptor is what both formats have of one.
type descriptor struct {
	MediaType    string
	Digest       digest.Digest
	Size         int64
	URLs         []string
	Annotations  map[string]string
	ArtifactType string
	Platform     *platform
}

type platform struct {
	Architecture, OS, Variant string
}
