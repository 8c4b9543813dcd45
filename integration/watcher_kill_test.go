// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"strings"
	"syscall"
	"testing"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// slowLayer takes seconds to recompress.
const slowLayer = 160 << 20

// TestWatcherDies ends the watcher, and containerd below it, in the middle of a
// conversion, in order and not. Nothing half-made has a name; what is started
// again leaves no lease, and finishes the work.
func TestWatcherDies(t *testing.T) {
	t.Parallel()
	needRoot(t)
	repo := newRepository(t, "app")
	bakeRandom(t, repo, "zstd", slowLayer, "compression=zstd", "force-compression=true")
	const namespace = "default"
	c := engines.StartContainerd(t, engines.ContainerdOptions{})
	restart := func() { c.Restart(t) } // to live until the end of all of the test
	pull(t, c, namespace, repo.ref("zstd"))
	config := func(name, to string) map[string]any {
		config := watcherConfig(nil, rule{"match": "**:zstd", "for": "docker", "to": to})
		config["name"] = name
		return config
	}
	for _, test := range []struct {
		name string
		end  func(t *testing.T, w *engines.Watcher)
		// leases are left until something is started again.
		leases bool
	}{
		{"watcher told to end", func(t *testing.T, w *engines.Watcher) {
			t.Helper()
			if w.Stop(t); w.ExitCode() != 0 {
				t.Errorf("it ends with %d", w.ExitCode())
			}
			expectNoLease(t, c, namespace)
			w.Restart(t)
		}, false},
		{"watcher killed", func(t *testing.T, w *engines.Watcher) {
			t.Helper()
			w.Kill(t)
			if leasesOf(t, c, namespace) == "" {
				t.Error("it was not in the middle")
			}
			// Another one leaves the lease alone.
			other := startWatcher(t, c, map[string]any{"name": "other", "rules": []rule{{"match": "**:none", "for": "docker", "to": "in-place"}}})
			if leasesOf(t, c, namespace) == "" {
				t.Error("another watcher deleted the lease")
			}
			other.Stop(t)
			w.Restart(t)
		}, true},
		{"containerd frozen", func(t *testing.T, w *engines.Watcher) {
			t.Helper()
			freeze := func(signal syscall.Signal) {
				if err := syscall.Kill(c.Pid(), signal); err != nil {
					t.Error(err)
				}
			}
			freeze(syscall.SIGSTOP)
			w.Stop(t) // it does not wait for long
			freeze(syscall.SIGCONT)
			if w.ExitCode() != 1 {
				t.Errorf("it ends with %d:\n%s", w.ExitCode(), w.Log())
			}
			w.Restart(t)
		}, true},
		{"containerd killed", func(t *testing.T, _ *engines.Watcher) {
			t.Helper()
			c.Kill(t)
			restart()
		}, true},
		{"containerd told to end", func(t *testing.T, _ *engines.Watcher) {
			t.Helper()
			restart()
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			tag := strings.ReplaceAll(test.name, " ", "-")
			result := "converted.example.com/" + repo.name + ":zstd-" + tag
			w := engines.StartWatcher(t, engines.WatcherOptions{
				Program: watcherPath(t), Containerd: c, Config: config("watcher", "converted.example.com/{{path}}:{{tag}}-"+tag),
			})
			engines.WaitFor(t, "a layer to be written", func() bool {
				return strings.Contains(c.Ctr(t, "content", "active").Stdout, "manifest-format-")
			})
			test.end(t, w)
			if got := mediaTypeOf(t, c, namespace, result); got != "" && !strings.Contains(w.Log(), "msg=converted") {
				t.Errorf("what was not done has a name: it is %s", got)
			}
			waitForType(t, c, namespace, result, dockerManifest)
			w.WaitReady(t, true)
			engines.WaitFor(t, "the lease of the conversion to go", func() bool { return leasesOf(t, c, namespace) == "" })
			if test.leases && !strings.Contains(w.Log(), "deleted leases that an earlier run left") {
				t.Errorf("no lease was left, or none is spoken of:\n%s", w.Log())
			}
			if list := c.Ctr(t, "images", "check").Stdout; strings.Contains(list, "incomplete") {
				t.Errorf("there is\n%s", list)
			}
			w.Stop(t)
			// The next one has to recompress anew.
			c.Ctr(t, "images", "rm", "--sync", result)
		})
	}
}
