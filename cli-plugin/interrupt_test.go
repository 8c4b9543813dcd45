// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// TestInterrupt stops the program, alone and below docker, while a registry
// keeps it waiting.
func TestInterrupt(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		signal os.Signal
		docker bool
	}{
		{"SIGINT", os.Interrupt, false},
		{"SIGTERM", syscall.SIGTERM, false},
		{"docker SIGINT", os.Interrupt, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			asked, registry := newSilentRegistry(t)
			args := []string{"convert", "--for", "docker", registry + "/app:1", "oci-layout://" + filepath.Join(t.TempDir(), "out")}
			cmd := exec.Command(program, args...)
			cmd.Args[0] = "manifest-format"
			if tc.docker {
				cmd = exec.Command(engines.DockerCLI(t), append([]string{"manifestformat"}, args...)...)
				cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+pluginConfig(t, program))
			}
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-asked
			if err := cmd.Process.Signal(tc.signal); err != nil {
				t.Error(err)
			}
			checkInterrupted(t, cmd.Wait(), stderr.String())
			if stdout.Len() > 0 {
				t.Errorf("standard output has %q", &stdout)
			}
		})
	}
}

// TestInterruptReading stops the program while it waits for standard input,
// which no context cancels by itself.
func TestInterruptReading(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "inspect", "archive://-")
	cmd.Args[0] = "manifest-format"
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// More than a pipe holds: when it is written the program is reading.
	if _, err := io.Copy(stdin, bytes.NewReader(make([]byte, 1<<20))); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	checkInterrupted(t, cmd.Wait(), stderr.String())
}

// TestInterruptReferrers stops inspect when it has the image and asks for what
// refers to it: that is no result.
func TestInterruptReferrers(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	asked, host := newReferrersHangRegistry(t)
	cmd := exec.Command(program, "inspect", host+"/app:1")
	cmd.Args[0] = "manifest-format"
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	checkInterrupted(t, cmd.Wait(), stderr.String())
	if stdout.Len() > 0 {
		t.Errorf("standard output has %q", &stdout)
	}
}

func checkInterrupted(t *testing.T, err error, stderr string) {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("ended with %v, not with 130", err)
	}
	if !strings.HasPrefix(stderr, "manifest-format: interrupted") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("standard error has %q", stderr)
	}
}

// newSilentRegistry starts a registry that never answers. It returns its host
// and a channel that is closed when it is asked.
func newSilentRegistry(t *testing.T) (asked chan struct{}, host string) {
	t.Helper()
	asked = make(chan struct{})
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(asked) })
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	return asked, strings.TrimPrefix(server.URL, "http://")
}

// pluginConfig is a docker configuration that has the program as a plugin.
func pluginConfig(t *testing.T, program string) string {
	t.Helper()
	config := t.TempDir()
	plugins := filepath.Join(config, "cli-plugins")
	if err := os.Mkdir(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(plugins, "docker-manifestformat")); err != nil {
		t.Fatal(err)
	}
	return config
}

// newReferrersHangRegistry starts a registry that has an index without
// entries, and never answers what refers to it. It returns its host and a
// channel that is closed when it is asked that.
func newReferrersHangRegistry(t *testing.T) (asked chan struct{}, host string) {
	t.Helper()
	asked = make(chan struct{})
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/referrers/"):
			once.Do(func() { close(asked) })
			<-r.Context().Done()
		case strings.Contains(r.URL.Path, "/manifests/"):
			w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
			_, _ = w.Write([]byte(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`))
		}
	}))
	t.Cleanup(server.Close)
	return asked, strings.TrimPrefix(server.URL, "http://")
}
