// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// TestBuildWithoutBuildx has no buildx, one that does not work, and itself in
// buildx's place: a clear line, and no build.
func TestBuildWithoutBuildx(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		install func(t *testing.T, path string)
		says    string
	}{
		"missing": {func(*testing.T, string) {}, "docker's plugin buildx is not installed: see https://docs.docker.com/go/buildx/"},
		"broken": {func(t *testing.T, path string) {
			t.Helper()
			if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 3\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, "docker-buildx, does not work: "},
		"itself": {func(t *testing.T, path string) {
			t.Helper()
			if err := os.Symlink(product, path); err != nil {
				t.Fatal(err)
			}
		}, "docker-buildx, is this program: put buildx itself there"},
	} {
		home := engines.NewHome(t)
		home.Env = append(home.Env, "PATH="+t.TempDir())
		plugin := filepath.Join(home.Dir, ".docker", "cli-plugins", "docker-buildx")
		if err := os.Remove(plugin); err != nil {
			t.Fatal(err)
		}
		tc.install(t, plugin)
		for _, args := range [][]string{{"build", "--for", "docker", "-t", "app", "."}, {"build", "."}, {"bake"}, {"builder", "ls"}} {
			if name == "missing" && systemBuildx() {
				continue // docker's own folders have one, which counts
			}
			out := invocation{home: home, args: args}.run(t)
			if out.code != 1 || out.stdout != "" || !strings.Contains(out.stderr, tc.says) || strings.Count(out.stderr, "\n") != 1 {
				t.Errorf("%s, %v: exit code %d, %q, %q", name, args, out.code, out.stdout, out.stderr)
			}
		}
	}
}

// systemBuildx reports whether buildx is installed for every user.
func systemBuildx() bool {
	for _, dir := range []string{"/usr/local/lib", "/usr/local/libexec", "/usr/lib", "/usr/libexec"} {
		if _, err := os.Stat(dir + "/docker/cli-plugins/docker-buildx"); err == nil {
			return true
		}
	}
	return false
}

// TestBuildInDockerContexts loads into the engine of the builder, wherever
// docker's own engine is.
func TestBuildInDockerContexts(t *testing.T) {
	t.Parallel()
	engine := engines.StartDockerd(t, engines.DockerdOptions{})
	b := newBuilds(t)
	docker := engines.DockerCLI(t)
	b.Run(t, docker, "context", "create", "elsewhere", "--docker", "host="+engine.Host)
	b.Run(t, docker, "--context", "elsewhere", "manifestformat", "build", "--for", "docker", "-t", "global:1", "context")
	b.build(stockBuilder, "--for", "docker", "-t", "output:1", "-o", "type=docker,context=elsewhere", "context").must(t)
	for _, name := range []string{"global:1", "output:1"} {
		b.Docker(t, engine, "image", "inspect", name)
	}
	out := b.build(stockBuilder, "--for", "docker", "-t", "x", "-o", "type=docker,context=nowhere", "context").run(t)
	if out.code != 1 || !strings.Contains(out.stderr, "manifest-format: docker context nowhere: ") {
		t.Errorf("a context that is not there: exit code %d\n%s", out.code, out.stderr)
	}
}

// TestDockerBuildInterrupt stops docker in the middle of a build.
func TestDockerBuildInterrupt(t *testing.T) {
	t.Parallel()
	b := newBuilds(t)
	asked := make(chan struct{}, 100)
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(silent.Close)
	b.context(t, "waiting", "FROM "+strings.TrimPrefix(silent.URL, "http://")+"/app:1")
	for _, verb := range [][]string{
		{"--for", "docker", "-t", newRepository(t, "app").ref("1"), "--push"},
		nil, // buildx alone
	} {
		args := append([]string{"manifestformat", "build", "--builder", stockBuilder}, append(verb, "waiting")...)
		cmd := exec.CommandContext(t.Context(), engines.Binary(t, engines.DockerCLI(t)), args...)
		cmd.Dir, cmd.Env = b.Dir, b.Env
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-asked:
		case <-time.After(30 * time.Second):
			t.Error("nobody asked for the base image")
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || verb != nil && exit.ExitCode() != 130 {
			t.Errorf("%v: ended with %v\n%s", args, err, &output)
		}
	}
}
