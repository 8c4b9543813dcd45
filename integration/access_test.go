// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// TestPasswords converts from and to a registry that asks for a password.
func TestPasswords(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	bake(t, repo, "oci", scratch, nil)
	closed := engines.StartRegistry(t, engines.RegistryOptions{Users: map[string]string{"alice": "wonder"}})
	// The registry that everyone can read is what must stay as it was.
	for name, password := range map[string]string{"without": "", "wrong": "wander"} {
		t.Run(name, func(t *testing.T) {
			home := engines.NewHome(t, registry.Addr)
			if password != "" {
				home.Login(t, closed.Addr, "alice", password)
			}
			for _, direction := range []refusal{
				{source: repo.ref("oci"), destination: closed.Ref("app:1")},
				{source: closed.Ref("app:1"), destination: repo.ref("never")},
				{source: closed.Ref("app:1"), destination: "oci-layout://" + filepath.Join(home.Dir, "layout")},
			} {
				direction.home, direction.untouched = home, []repository{repo}
				direction.says = []string{closed.Addr, "docker login"}
				direction.expect(t)
			}
		})
	}
	t.Run("right", func(t *testing.T) {
		home := engines.NewHome(t, registry.Addr)
		home.Login(t, closed.Addr, "alice", "wonder")
		for _, pair := range [][2]string{{repo.ref("oci"), closed.Ref("app:1")}, {closed.Ref("app:1"), repo.ref("back")}} {
			out := invocation{home: home, args: []string{"convert", "--for", "docker", pair[0], pair[1]}}.must(t)
			if strings.Contains(out.stdout+out.stderr, "wonder") {
				t.Error("the password was printed")
			}
		}
		check(t, repo, "back", "docker")
	})
}

// TestReadOnlyToken has a registry with a token server let a user read and not write.
func TestReadOnlyToken(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	bake(t, repo, "oci", scratch, nil)
	for name, answer := range map[string]int{
		"denied":              http.StatusForbidden,    // as hosted registries answer
		"an insufficient one": http.StatusUnauthorized, // as distribution does
	} {
		t.Run(name, func(t *testing.T) {
			guard := &tokenGuard{answer: answer}
			front := proxy(t, guard.ServeHTTP)
			guard.realm = "http://" + front + "/token"
			home := engines.NewHome(t, front)
			home.Login(t, front, "bob", "reader")
			guarded := repository{front, repo.name}
			read := invocation{home: home, args: []string{
				"convert", "--for", "docker", guarded.ref("oci"), "oci-layout://" + filepath.Join(home.Dir, "layout"),
			}}
			read.must(t)
			if guard.tokens.Load() == 0 {
				t.Fatal("nobody asked for a token")
			}
			refusal{
				invocation: invocation{home: home}, source: guarded.ref("oci"), destination: guarded.ref("never"),
				untouched: []repository{repo}, says: []string{front},
			}.expect(t)
		})
	}
}

// tokenGuard is a token server and a registry in front of the shared one. All
// its tokens are for reading.
type tokenGuard struct {
	realm  string
	answer int
	tokens atomic.Int64
}

const readToken = "a-token-to-read-with"

func (g *tokenGuard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	switch {
	case r.URL.Path == "/token" && user == "bob" && password == "reader":
		g.tokens.Add(1)
		_ = json.NewEncoder(w).Encode(map[string]any{"token": readToken, "expires_in": 60})
	case r.URL.Path == "/token":
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
	case r.Header.Get("Authorization") != "Bearer "+readToken:
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="test"`, g.realm))
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		forward(w, r)
	case g.answer == http.StatusUnauthorized:
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/blobs/")
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(
			`Bearer realm=%q,service="test",scope="repository:%s:pull,push",error="insufficient_scope"`, g.realm, name))
		refuse(w, g.answer, "UNAUTHORIZED")
	default:
		refuse(w, g.answer, "DENIED")
	}
}

// TestTooManyRequests has a registry that never lets anyone in.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	bake(t, repo, "oci", scratch, nil)
	var asked atomic.Int64
	busy := proxy(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "0")
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS")
	})
	for _, direction := range []refusal{
		{source: busy + "/app:1", destination: repo.ref("never")},
		{source: repo.ref("oci"), destination: busy + "/app:1"},
	} {
		asked.Store(0)
		direction.untouched, direction.says = []repository{repo}, []string{busy, "429"}
		direction.expect(t)
		if n := asked.Load(); n < 2 {
			t.Errorf("the registry was asked %d times: nothing was tried again", n)
		}
	}
}

// TestAuthority converts to a registry whose certificate nobody vouches for.
func TestAuthority(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	bake(t, repo, "oci", scratch, nil)
	secure := engines.StartRegistry(t, engines.RegistryOptions{TLS: true})
	refusal{
		source: repo.ref("oci"), destination: secure.Ref("app:1"),
		untouched: []repository{repo}, says: []string{secure.Addr, "--tls-ca"},
	}.expect(t)
	trusting := []string{"--tls-ca", secure.CA}
	there := convert(t, "docker", repo.ref("oci"), secure.Ref("app:1"), trusting...)
	back := convert(t, "docker", secure.Ref("app:1"), repo.ref("back"), trusting...)
	if there.Root.Digest != back.Root.Digest || len(back.Changes) > 0 {
		t.Errorf("there it is %s, back %s", there.Root.Digest, back.Root.Digest)
	}
	check(t, repo, "back", "docker")
}

// proxy serves handler on 127.0.0.1 and returns its address.
func proxy(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// forward passes a request on to the shared registry, under the name that the
// client knows it by, so that its redirects stay with the proxy.
func forward(w http.ResponseWriter, r *http.Request) {
	r.Header.Del("Authorization")
	target := &url.URL{Scheme: "http", Host: registry.Addr}
	(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(target)
		p.Out.Host = p.In.Host
	}}).ServeHTTP(w, r)
}

// refuse answers with an error of the distribution specification.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"the test refuses"}]}`, code)
}
