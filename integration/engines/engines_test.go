// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"
)

// small is an image of a few bytes, for any platform.
var small = fstest.MapFS{"Dockerfile": {Data: []byte("FROM scratch\nCOPY Dockerfile /Dockerfile\nENV A=b\n")}}

func TestRegistry(t *testing.T) {
	for name, o := range map[string]RegistryOptions{
		"v3":       {},
		"v2":       {V2: true},
		"htpasswd": {Users: map[string]string{"alice": "wonder"}},
		"tls":      {TLS: true},
		"v2-tls":   {V2: true, TLS: true, Users: map[string]string{"alice": "wonder"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := StartRegistry(t, o)
			if got, want := statusOf(t, reg, "", ""), http.StatusOK; len(o.Users) == 0 && got != want {
				t.Errorf("anonymous: status %d, want %d", got, want)
			}
			if len(o.Users) > 0 {
				if got, want := statusOf(t, reg, "", ""), http.StatusUnauthorized; got != want {
					t.Errorf("anonymous: status %d, want %d", got, want)
				}
				if got, want := statusOf(t, reg, "alice", "wrong"), http.StatusUnauthorized; got != want {
					t.Errorf("wrong password: status %d, want %d", got, want)
				}
				if got, want := statusOf(t, reg, "alice", "wonder"), http.StatusOK; got != want {
					t.Errorf("right password: status %d, want %d", got, want)
				}
			}
			expectGone(t, reg.process, func() { reg.Stop(t) })
		})
	}
}

// TestTokens has a client push and pull with tokens of the registry's server.
func TestTokens(t *testing.T) {
	for name, o := range map[string]RegistryOptions{"v3": {}, "v2": {V2: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Token, o.Users, o.Readers = true, map[string]string{"alice": "wonder", "bob": "reader"}, []string{"bob"}
			reg := StartRegistry(t, o)
			as := func(user, password string) *Home {
				home := NewHome(t, reg.Addr)
				home.write(t, "note.txt", "a note\n")
				if user != "" {
					home.Login(t, reg.Addr, user, password)
				}
				return home
			}
			push := []string{"push", "--plain-http", reg.Ref("note:1"), "note.txt"}
			for _, refused := range []*Home{as("", ""), as("alice", "wander"), as("bob", "reader")} {
				if out, err := refused.Try(t, "oras", push...); err == nil {
					t.Errorf("pushed:\n%s", out.Stdout)
				}
			}
			as("alice", "wonder").Run(t, "oras", push...)
			as("bob", "reader").Run(t, "oras", "pull", "--plain-http", reg.Ref("note:1"))
			if grants := reg.Tokens.Grants(); !slices.ContainsFunc(grants, func(g Grant) bool {
				return g.User == "alice" && slices.Contains(g.Scopes, "repository:note:pull,push")
			}) {
				t.Errorf("tokens were given for %v", grants)
			}
		})
	}
}

// statusOf asks the registry's root as user, and trusts its authority and no other.
func statusOf(t *testing.T, reg *Registry, user, password string) int {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	if reg.CA != "" {
		authority, err := os.ReadFile(reg.CA)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(authority)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, reg.URL()+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		request.SetBasicAuth(user, password)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode
}

// TestPeers builds one image and has every client and every engine read it.
func TestPeers(t *testing.T) {
	reg := StartRegistry(t, RegistryOptions{})
	bk := StartBuildkitd(t, BuildkitdOptions{})
	image := reg.Ref("app:1")
	built := bk.Build(t, Build{
		Context:   small,
		Platforms: []string{"linux/amd64", "linux/arm64"},
		Options:   []string{"attest:provenance=mode=max"},
		Output:    Push(image, "oci-mediatypes=true"),
	})
	expectGone(t, bk.process, func() { bk.Stop(t) })

	home := NewHome(t, reg.Addr)
	raw := home.Run(t, "crane", "manifest", image).Stdout
	if !strings.Contains(raw, "attestation-manifest") || !strings.Contains(raw, `"arm64"`) {
		t.Errorf("the index lacks a platform or an attestation:\n%s", raw)
	}
	for name, command := range map[string][]string{
		"crane":  {"crane", "digest", image},
		"regctl": {"regctl", "image", "digest", image},
		"oras":   {"oras", "resolve", "--plain-http", image},
	} {
		if got := strings.TrimSpace(home.Run(t, command[0], command[1:]...).Stdout); got != built.Digest {
			t.Errorf("%s says the digest is %s, BuildKit %s", name, got, built.Digest)
		}
	}
	if got := home.Run(t, "skopeo", "inspect", "--raw", "docker://"+image).Stdout; got != raw {
		t.Errorf("skopeo reads\n%s\ncrane\n%s", got, raw)
	}
	if got := home.Run(t, "buildx", "imagetools", "inspect", "--raw", image).Stdout; got != raw {
		t.Errorf("buildx reads\n%s\ncrane\n%s", got, raw)
	}
	t.Run("podman", func(t *testing.T) {
		requireRoot(t, "podman")
		home := NewHome(t, reg.Addr)
		home.Run(t, "podman", "pull", "--quiet", image)
		expectEnv(t, home.Run(t, "podman", "image", "inspect", image).Stdout)
	})
	for name, o := range map[string]ContainerdOptions{"containerd": {}, "containerd-v1": {V1: true}} {
		t.Run(name, func(t *testing.T) {
			c := StartContainerd(t, o)
			c.Ctr(t, "images", "pull", "--plain-http", image)
			if got := c.Ctr(t, "images", "ls", "--quiet").Stdout; !strings.Contains(got, image) {
				t.Errorf("it holds %q, want %s", got, image)
			}
			expectGone(t, c.process, func() { c.Stop(t) })
		})
	}
	t.Run("containerd with CRI", func(t *testing.T) {
		c := StartContainerd(t, ContainerdOptions{CRI: true})
		c.Restart(t)
		if !c.CRIReady(t) {
			t.Error("the CRI is not ready")
		}
		if err := c.PullCRI(t, image); err != nil {
			t.Errorf("CRI: %v", err)
		}
		if got := c.Ctr(t, "--namespace", CRINamespace, "images", "ls", "--quiet").Stdout; !strings.Contains(got, image) {
			t.Errorf("it holds %q, want %s", got, image)
		}
	})
	for name, o := range map[string]DockerdOptions{"dockerd": {}, "dockerd-graph": {GraphStore: true}, "dockerd-v20": {V20: true}} {
		t.Run(name, func(t *testing.T) {
			d := StartDockerd(t, o)
			home := NewHome(t, reg.Addr)
			home.Docker(t, d, "pull", "--quiet", image)
			expectEnv(t, home.Docker(t, d, "image", "inspect", image).Stdout)
			expectGone(t, d.process, func() { d.Stop(t) })
		})
	}
}

func expectEnv(t *testing.T, inspected string) {
	t.Helper()
	if !strings.Contains(inspected, `"A=b"`) {
		t.Errorf("the image's config lacks its environment:\n%s", inspected)
	}
}

// TestUnready starts programs that never serve.
func TestUnready(t *testing.T) {
	for name, path := range map[string]string{
		"it ends at once":     "/bin/false",
		"it is no program":    "/dev/null",
		"it is not there":     "/nowhere/program",
		"the caller gives up": "/bin/sleep",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, giveUp := context.WithCancel(t.Context())
			defer giveUp()
			err := Main(ctx, func(tb TB) {
				if path == "/bin/sleep" {
					giveUp()
				}
				start(tb, daemon{path: path, args: []string{"1000"}, ready: dockerdReady})
			})
			if err == nil {
				t.Error("no error")
			}
		})
	}
}

// TestMainCleansUp follows a failure through cleanup.
func TestMainCleansUp(t *testing.T) {
	var dir string
	var order []string
	err := Main(t.Context(), func(tb TB) {
		dir = tb.TempDir()
		tb.Cleanup(func() { order = append(order, "first") })
		tb.Cleanup(func() { order = append(order, "second") })
		tb.Fatalf("the cause is %d", 42)
	})
	if err == nil || err.Error() != "the cause is 42" {
		t.Errorf("error %v", err)
	}
	if strings.Join(order, " ") != "second first" {
		t.Errorf("cleaned up in order %v", order)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

// expectGone calls stop and expects that the engine has neither a process left,
// by its group or by its folders on a command line, nor stops in disorder.
func expectGone(t *testing.T, p *process, stop func()) {
	t.Helper()
	if err := syscall.Kill(p.Pid(), 0); err != nil {
		t.Errorf("%s is gone before it was stopped: %v", p.name, err)
	}
	folders := foldersOf(t, p)
	start := time.Now()
	stop()
	t.Logf("%s stopped in %s", p.name, time.Since(start).Round(time.Millisecond))
	if err := syscall.Kill(-p.Pid(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("%s left processes in its group: %v", p.name, err)
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range commands {
		line, err := os.ReadFile(file)
		if err != nil {
			continue // it ended meanwhile
		}
		for _, folder := range folders {
			if strings.Contains(string(line), folder) {
				t.Errorf("%s left a process: %s", p.name, strings.ReplaceAll(string(line), "\x00", " "))
			}
		}
	}
}

// foldersOf finds the temporary folders that the engine's arguments name.
func foldersOf(t *testing.T, p *process) []string {
	t.Helper()
	var folders []string
	for _, arg := range p.cmd.Args[1:] {
		arg = strings.TrimPrefix(arg, "unix://")
		if strings.HasPrefix(arg, "/tmp/mf") || strings.Contains(arg, "/Test") {
			folders = append(folders, filepath.Dir(arg))
		}
	}
	if len(folders) == 0 {
		t.Errorf("%s works in no folder of the test: %v", p.name, p.cmd.Args)
	}
	return folders
}
