// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// WatcherOptions say which watcher to start, and on what.
type WatcherOptions struct {
	// Program is the path of manifest-format-watcher.
	Program string
	// Containerd is whose images it converts.
	Containerd *Containerd
	// Config is its configuration, written as JSON.
	Config any
	// Flags are more of its flags.
	Flags []string
}

// Watcher is a running manifest-format-watcher.
type Watcher struct {
	*process
	// Addr is where it serves its metrics and its health.
	Addr string

	daemon daemon
}

var watcherServes = regexp.MustCompile(`healthz.*address"?[=:]"?(127\.0\.0\.1:\d+)`)

// StartWatcher starts a watcher that ends with the test. It may not be
// connected yet: see [Watcher.WaitReady].
func StartWatcher(tb TB, o WatcherOptions) *Watcher {
	tb.Helper()
	w := &Watcher{daemon: daemon{path: o.Program, args: append([]string{
		"--address", o.Containerd.Address, "--config", WatcherConfig(tb, o.Config), "--metrics", "127.0.0.1:0", "--log-level", "debug",
	}, o.Flags...), ready: watcherServes}}
	w.Restart(tb)
	return w
}

// WatcherConfig writes a configuration and returns its path.
func WatcherConfig(tb TB, config any) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "watcher.json")
	body, err := json.Marshal(config)
	if err == nil {
		err = os.WriteFile(file, body, 0o600)
	}
	if err != nil {
		tb.Fatalf("watcher: %v", err)
	}
	return file
}

// Restart starts it again after it was stopped or killed.
func (w *Watcher) Restart(tb TB) {
	tb.Helper()
	var match []string
	w.process, match = start(tb, w.daemon)
	w.Addr = match[0]
}

// ExitCode is how it ended.
func (w *Watcher) ExitCode() int { return w.cmd.ProcessState.ExitCode() }

// Get answers a path of its server: the status and the body.
func (w *Watcher) Get(tb TB, path string) (status int, body string) {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://"+w.Addr+path, nil)
	if err != nil {
		tb.Fatalf("watcher: %v", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		tb.Fatalf("watcher: %v", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		tb.Fatalf("watcher: %v", err)
	}
	return response.StatusCode, string(answer)
}

// WaitReady waits until it is connected and has caught up, or, if not ready is
// wanted, until it is not.
func (w *Watcher) WaitReady(tb TB, want bool) {
	tb.Helper()
	WaitFor(tb, fmt.Sprintf("the watcher to be ready: %v", want), func() bool {
		status, _ := w.Get(tb, "/readyz")
		return (status == http.StatusOK) == want
	})
}

// Metric sums the metrics of a name, without its prefix, whose labels contain
// all of those given, as `result="converted"`.
func (w *Watcher) Metric(tb TB, name string, labels ...string) float64 {
	tb.Helper()
	_, body := w.Get(tb, "/metrics")
	sum := 0.0
lines:
	for line := range strings.Lines(body) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.HasPrefix(series, "manifest_format_watcher_"+name+"{") {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(series+",", label) {
				continue lines
			}
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			tb.Fatalf("watcher: %v", err)
		}
		sum += number
	}
	return sum
}

// WaitFor waits until something is so, and fails the test if it is not for long.
func WaitFor(tb TB, what string, so func() bool) {
	tb.Helper()
	for limit := time.Now().Add(startLimit); !so(); {
		if time.Now().After(limit) {
			tb.Fatalf("waited %s for %s", startLimit, what)
		}
		select {
		case <-tb.Context().Done():
			tb.Fatalf("waited for %s: %v", what, tb.Context().Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
