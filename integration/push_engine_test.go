// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// TestPushPart pushes images that were pulled for one of two platforms: not
// without being told which, and then as from a registry.
func TestPushPart(t *testing.T) {
	t.Parallel()
	needRoot(t)
	engine := engines.StartDockerd(t, engines.DockerdOptions{})
	home := engineHome(t, engine.Host)
	for name, attributes := range map[string][]string{"plain": nil, "attested": {"attest:provenance=mode=max"}} {
		from, to := newRepository(t, name), newRepository(t, name+"-pushed")
		bake(t, from, "1", scratch, attributes)
		home.Docker(t, engine, "pull", "--quiet", from.ref("1"))
		for _, command := range []string{"push", "convert --for docker", "push --platform linux/arm64"} {
			words := append(strings.Fields(command), "engine://"+from.ref("1"), to.ref("1"))
			out := invocation{home: home, args: words}.run(t)
			if out.code != 1 || out.stdout != "" || strings.Count(out.stderr, "\n") != 1 ||
				!strings.Contains(out.stderr, "linux/arm64 lacks its manifest") || !strings.Contains(out.stderr, "--platform linux/amd64") {
				t.Errorf("%s, %s: exit code %d\n%s%s", name, command, out.code, out.stdout, out.stderr)
			}
		}
		if tags := to.tags(t); len(tags) > 0 {
			t.Errorf("%s: what was refused left the tags %v", name, tags)
		}
		for _, format := range []string{"oci", "docker"} {
			pushed, _ := push(t, home, "--platform", "linux/amd64", "--for", format, from.ref("1"), to.ref(format))
			converted := convert(t, format, from.ref("1"), to.ref(format+"-converted"), "--platform", "linux/amd64")
			if converted.Root.Digest != pushed {
				t.Errorf("%s, %s: pushed from the engine it is %s, from the registry %s", name, format, pushed, converted.Root.Digest)
			}
			check(t, to, format, format)
		}
		// With the other platform it is the whole image.
		home.Docker(t, engine, "pull", "--quiet", "--platform", "linux/arm64", from.ref("1"))
		if whole, _ := push(t, home, from.ref("1"), to.ref("whole")); whole != from.digestOf(t, "1") {
			t.Errorf("%s: pulled for both platforms it is %s, pushed %s", name, from.digestOf(t, "1"), whole)
		}
	}
}

// TestPushAllTags pushes the tags that an engine has of a repository. One that
// cannot be pushed hides no other.
func TestPushAllTags(t *testing.T) {
	t.Parallel()
	needRoot(t)
	engine := engines.StartDockerd(t, engines.DockerdOptions{})
	home := engineHome(t, engine.Host)
	from := newRepository(t, "app")
	speaking(t, from, "1")
	bake(t, from, "2", scratch, nil)
	speaking(t, from, "3", "compression=zstd")
	for _, tag := range []string{"1", "2", "3"} {
		home.Docker(t, engine, "pull", "--quiet", from.ref(tag))
	}
	home.Docker(t, engine, "tag", from.ref("1"), "app:other")
	to := newRepository(t, "pushed")
	name := func(r repository) string { return strings.TrimSuffix(r.ref(""), ":") }
	out := invocation{home: home, args: []string{"push", "-a", "-q", "--for", "docker", name(from), name(to)}}.run(t)
	if out.code != 1 || !strings.Contains(out.stderr, from.ref("2")+": of the image, only linux/amd64 is all there") || !strings.Contains(out.stderr, "1 of 3 tags of") {
		t.Errorf("exit code %d\n%s", out.code, out.stderr)
	}
	want := name(to) + "@" + check(t, to, "1", "docker").root.String() + "\n" + name(to) + "@" + check(t, to, "3", "docker").root.String() + "\n"
	if tags := slices.Sorted(slices.Values(to.tags(t))); out.stdout != want || !slices.Equal(tags, []string{"1", "3"}) {
		t.Errorf("printed %q, want %q; the tags are %v", out.stdout, want, tags)
	}
	out = invocation{home: home, args: []string{"push", "-a", "--platform", "linux/amd64", name(from), name(to)}}.must(t)
	if tags := slices.Sorted(slices.Values(to.tags(t))); !slices.Equal(tags, []string{"1", "2", "3"}) {
		t.Errorf("the tags are %v\n%s", tags, out.stderr)
	}
}

// TestPushInterrupt presses Ctrl-C while the engine saves, and while a layer is
// uploaded. Neither a tag stays, nor a file.
func TestPushInterrupt(t *testing.T) {
	t.Parallel()
	needRoot(t)
	from := newRepository(t, "app")
	bakeRandom(t, from, "1", bigLayer)
	engine := engines.StartDockerd(t, engines.DockerdOptions{GraphStore: true})
	engineHome(t, engine.Host).Docker(t, engine, "pull", "--quiet", from.ref("1"))
	to := newRepository(t, "pushed")
	for name, at := range map[string]func(t *testing.T) (host, destination string, s *stall){
		"save": func(t *testing.T) (string, string, *stall) {
			t.Helper()
			host, s := slowSave(t, engine)
			return host, to.ref("1"), s
		},
		"upload": func(t *testing.T) (string, string, *stall) {
			t.Helper()
			s := slowUpload(t)
			return engine.Host, repository{s.addr, to.name}.ref("1"), s
		},
	} {
		t.Run(name, func(t *testing.T) {
			host, destination, slow := at(t)
			home := engineHome(t, host)
			temporary := filepath.Join(home.Dir, "tmp")
			if err := os.Mkdir(temporary, 0o700); err != nil {
				t.Fatal(err)
			}
			out := invocation{
				home: home, env: []string{"TMPDIR=" + temporary}, args: []string{"push", "--for", "docker", from.ref("1"), destination},
				started: func(p *os.Process) {
					slow.wait(t)
					if err := p.Signal(syscall.SIGINT); err != nil {
						t.Error(err)
					}
				},
			}.run(t)
			if out.code != 130 || out.stdout != "" || !strings.Contains(out.stderr, "manifest-format: interrupted") {
				t.Errorf("exit code %d\n%s%s", out.code, out.stdout, out.stderr)
			}
			if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			if tags := to.tags(t); len(tags) > 0 {
				t.Errorf("it left the tags %v", tags)
			}
		})
	}
}

// slowSave is an engine that stops in the middle of saving an image.
func slowSave(t *testing.T, engine *engines.Dockerd) (host string, s *stall) {
	t.Helper()
	s = newStall(t)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(engine.Host, "unix://"))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	pass := &httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: "http", Host: "engine"}) },
		Transport:     transport,
		FlushInterval: -1,
		ModifyResponse: func(answer *http.Response) error {
			if strings.HasSuffix(answer.Request.URL.Path, "/images/get") {
				answer.Body = &halfway{ReadCloser: answer.Body, stall: s, left: bigLayer / 2, over: answer.Request.Context().Done()}
			}
			return nil
		},
	}
	host = "tcp://" + proxy(t, pass.ServeHTTP)
	t.Cleanup(s.release) // before the proxy waits for what is under way
	return host, s
}

// halfway is a body that stops after some bytes.
type halfway struct {
	io.ReadCloser
	stall *stall
	left  int
	over  <-chan struct{}
}

// Read implements [io.Reader].
func (h *halfway) Read(p []byte) (int, error) {
	if h.left <= 0 {
		h.stall.signal()
		select {
		case <-h.stall.resumed:
		case <-h.over:
		}
	}
	n, err := h.ReadCloser.Read(p[:min(len(p), 1<<20)])
	h.left -= n
	return n, err
}

// slowUpload is the shared registry, which stops in the middle of a layer that
// it is sent.
func slowUpload(t *testing.T) *stall {
	t.Helper()
	s := newStall(t)
	s.addr = proxy(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/uploads/") && (r.Method == http.MethodPatch || r.Method == http.MethodPut) {
			if n, _ := io.CopyN(io.Discard, r.Body, bigLayer/2); n == bigLayer/2 {
				s.signal()
				select {
				case <-s.resumed:
				case <-r.Context().Done():
				}
			}
			panic(http.ErrAbortHandler)
		}
		forward(w, r)
	})
	t.Cleanup(s.release) // before the proxy waits for what is under way
	return s
}

// TestPushRefuses says in one line what is wrong with what an engine has, and
// reads a name with both a tag and a digest as a registry's is read.
func TestPushRefuses(t *testing.T) {
	t.Parallel()
	needRoot(t)
	engine := engines.StartDockerd(t, engines.DockerdOptions{})
	home := engineHome(t, engine.Host)
	from, to := newRepository(t, "from"), newRepository(t, "to")
	was := speaking(t, from, "1", "annotation.level=manifest")
	home.Docker(t, engine, "pull", "--quiet", from.ref("1"))
	id := was.Encoded()
	for says, args := range map[string][]string{
		"engine://app:none: no such image in the docker engine of the context default": {"push", "app:none", to.ref("1")},
		"no such image in the engine, under any tag":                                   {"push", "--all-tags", "nothing"},
		id[:12] + ": that is a digest or an ID: say under which name to push it":       {"push", id[:12]},
		"something would be lost: annotation":                                          {"push", "--for", "docker", "--on-loss=fail", from.ref("1"), to.ref("1")},
	} {
		out := invocation{home: home, args: args}.run(t)
		if out.code != 1 || out.stdout != "" || !strings.Contains(out.stderr, says) {
			t.Errorf("%s: exit code %d\n%s%s", says, out.code, out.stdout, out.stderr)
		}
	}
	if tags := to.tags(t); len(tags) > 0 {
		t.Errorf("what was refused left the tags %v", tags)
	}
	for tag, image := range map[string]string{"id": id[:12], "whole-id": was.String(), "both": from.ref("1") + "@" + was.String()} {
		if d, _ := push(t, home, "--for", "oci", image, to.ref(tag)); d != was {
			t.Errorf("%s: pushed %s, want %s", image, d, was)
		}
	}
}
