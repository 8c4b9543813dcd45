// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestListenIsLocal(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:0": true, "localhost:0": true, "[::1]:0": true,
		":0": false, "0.0.0.0:0": false, "[::]:0": false, "example.invalid:0": false, "127.0.0.1": false,
	} {
		s, err := Listen(t.Context(), address, false)
		if err == nil {
			s.listener.Close()
		}
		if strings.HasPrefix(address, "[::1]") && err != nil && !strings.Contains(err.Error(), "--metrics-public") {
			continue // a machine without IPv6
		}
		if (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
	s, err := Listen(t.Context(), "0.0.0.0:0", true)
	if err != nil {
		t.Fatal(err)
	}
	s.listener.Close()
}

func TestServe(t *testing.T) {
	m := New("v1")
	m.QueueDepth(func() int { return 3 })
	m.Done("default", "oci", Converted, 2)
	m.Fail("default", "oci", "lossy")
	m.Took("oci", time.Second)
	m.Connected(true)
	m.Event()
	m.CaughtUp(time.Minute)
	s, err := Listen(t.Context(), "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	unready := errors.New("not yet")
	go func() { ended <- s.Serve(ctx, m, func() error { return unready }) }()
	for path, want := range map[string]string{
		"/healthz": "200 ok", "/readyz": "503 not yet", "/metrics": "200 # HELP", "/": "404 ",
	} {
		response, err := http.Get("http://" + s.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if got := response.Status[:3] + " " + string(body); !strings.HasPrefix(got, want) {
			t.Errorf("%s answers %s", path, got)
		}
		for _, line := range []string{
			`manifest_format_watcher_conversions_total{namespace="default",profile="oci",result="converted"} 1`,
			`manifest_format_watcher_conversions_total{namespace="default",profile="oci",result="failed"} 1`,
			`manifest_format_watcher_conversion_failures_total{class="lossy",namespace="default"} 1`,
			`manifest_format_watcher_losses_total{namespace="default",profile="oci"} 2`,
			`manifest_format_watcher_queue_depth 3`, `manifest_format_watcher_connected 1`,
			`manifest_format_watcher_catch_up_duration_seconds 60`, `manifest_format_watcher_build_info{version="v1"} 1`,
		} {
			if path == "/metrics" && !strings.Contains(string(body), line+"\n") {
				t.Errorf("%s is not in\n%s", line, body)
			}
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestNames holds the metrics to Prometheus' own rules, and the documentation
// to the metrics.
func TestNames(t *testing.T) {
	m := New("v1")
	m.QueueDepth(func() int { return 0 })
	m.Done("default", "oci", Converted, 0)
	m.Fail("default", "oci", "lossy")
	m.Took("oci", time.Second)
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "manifest_format_") {
			t.Errorf("%+v", p)
		}
	}
	page, err := os.ReadFile("../../../../docs/containerd.md")
	if err != nil {
		t.Fatal(err)
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if name, own := strings.CutPrefix(f.GetName(), "manifest_format_watcher_"); own && !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("the metric %s is not documented", name)
		}
	}
}
