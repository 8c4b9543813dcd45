// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// bigLayer is more than any buffer between two registries holds.
const bigLayer = 16 << 20

// TestInterrupt presses Ctrl-C in the middle of a layer.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	bakeRandom(t, repo, "oci", bigLayer)
	target := engines.StartRegistry(t, engines.RegistryOptions{})
	home := engines.NewHome(t, registry.Addr)
	for name, destination := range map[string]string{
		"to a registry": target.Ref("app:1"),
		"to a layout":   "oci-layout://" + filepath.Join(home.Dir, "layout"),
		"to an archive": "archive://" + filepath.Join(home.Dir, "image.tar"),
	} {
		t.Run(name, func(t *testing.T) {
			slow := newStall(t)
			source := repository{slow.addr, repo.name}
			out := refusal{source: source.ref("oci"), destination: destination, code: 130, says: []string{"interrupted"}}
			out.home, out.untouched = home, []repository{{target.Addr, "app"}}
			var pressed time.Time
			out.started = func(p *os.Process) {
				slow.wait(t)
				if strings.HasPrefix(destination, target.Addr) {
					expectUploads(t, target, true)
				}
				pressed = time.Now()
				if err := p.Signal(syscall.SIGINT); err != nil {
					t.Error(err)
				}
			}
			out.expect(t)
			if took := time.Since(pressed); took > 5*time.Second {
				t.Errorf("it took %s to end", took)
			}
			expectUploads(t, target, false)
		})
	}
}

// TestRegistryDies kills the destination in the middle of a layer.
func TestRegistryDies(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	bakeRandom(t, repo, "oci", bigLayer)
	target := engines.StartRegistry(t, engines.RegistryOptions{})
	slow := newStall(t)
	r := refusal{source: repository{slow.addr, repo.name}.ref("oci"), destination: target.Ref("app:1"), says: []string{target.Addr}}
	r.started = func(*os.Process) {
		slow.wait(t)
		expectUploads(t, target, true)
		if err := syscall.Kill(target.Pid(), syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		slow.release()
	}
	r.expect(t)
	if _, err := os.Stat(filepath.Join(target.Data, "docker/registry/v2/repositories/app/_manifests/tags")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a registry that was killed has a tag: %v", err)
	}
}

// stall is the shared registry behind a wire that holds the big layer up
// after its first bytes.
type stall struct {
	addr    string
	stalled chan struct{}
	signal  func()
	resumed chan struct{}
	release func()
}

func newStall(t *testing.T) *stall {
	t.Helper()
	s := &stall{stalled: make(chan struct{}), resumed: make(chan struct{})}
	s.signal = sync.OnceFunc(func() { close(s.stalled) })
	s.release = sync.OnceFunc(func() { close(s.resumed) })
	s.addr = proxy(t, s.ServeHTTP)
	t.Cleanup(s.release)
	return s
}

// wait returns when the layer is held up.
func (s *stall) wait(t *testing.T) {
	t.Helper()
	select {
	case <-s.stalled:
	case <-time.After(30 * time.Second):
		t.Error("nobody asked for the layer")
	}
}

func (s *stall) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.URL.Path, "/blobs/") || r.Method != http.MethodGet {
		forward(w, r)
		return
	}
	answer, err := http.Get("http://" + registry.Addr + r.URL.Path)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer answer.Body.Close()
	w.Header().Set("Content-Length", answer.Header.Get("Content-Length"))
	w.WriteHeader(answer.StatusCode)
	if answer.ContentLength >= bigLayer {
		_, _ = io.CopyN(w, answer.Body, bigLayer/2)
		_ = http.NewResponseController(w).Flush()
		s.signal()
		select {
		case <-s.resumed:
		case <-r.Context().Done():
		}
	}
	_, _ = io.Copy(w, answer.Body)
}

// expectUploads waits until a registry holds content of uploads that are not
// done, or none. What is empty does not count: distribution keeps the state of
// its hash function, and a session that was asked for in the last moment.
func expectUploads(t *testing.T, reg *engines.Registry, some bool) {
	t.Helper()
	pattern := filepath.Join(reg.Data, "docker/registry/v2/repositories/*/_uploads/*/data")
	var held int64
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		held = 0
		for _, file := range files {
			// One that is gone meanwhile holds nothing.
			if info, err := os.Stat(file); err == nil {
				held += info.Size()
			}
		}
		if some == (held > 0) {
			return
		}
	}
	t.Errorf("the registry holds %d bytes of unfinished uploads", held)
}
