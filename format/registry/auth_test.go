// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/cli/cli/config"
	"github.com/manifest-format/manifest-format/format"
)

// guard is a registry that wants a token, in front of a real one. A token is
// the scopes that it is for, in clear.
type guard struct {
	url   string
	proxy http.Handler

	mu     sync.Mutex
	tokens []string // the scopes of each token given out
	asked  int      // requests without a token that is good for them
}

// newGuard starts a guard. anna's password and identity token are good.
func newGuard(t *testing.T, host string) (*guard, string) {
	t.Helper()
	target, err := url.Parse("http://" + host)
	if err != nil {
		t.Fatal(err)
	}
	g := &guard{proxy: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	g.url = server.URL
	return g, strings.TrimPrefix(server.URL, "http://")
}

// ServeHTTP implements [http.Handler].
func (g *guard) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path == "/token" {
		g.token(w, req)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	path, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/v2/"), "/")
	need := []string{"repository:" + path + ":pull"}
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		need[0] += ",push"
	}
	if from := req.URL.Query().Get("from"); from != "" {
		need = append(need, "repository:"+from+":pull")
	}
	have := strings.Fields(strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "))
	for _, scope := range need {
		if !slices.ContainsFunc(have, func(s string) bool { return strings.HasPrefix(s, scope) }) {
			g.asked++
			w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer realm=%q,service=\"test\",scope=%q", g.url+"/token", need[0]))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	}
	g.proxy.ServeHTTP(w, req)
}

// token is the token server.
func (g *guard) token(w http.ResponseWriter, req *http.Request) {
	_ = req.ParseForm()
	scopes := req.Form["scope"]
	if req.Method == http.MethodPost {
		if req.Form.Get("refresh_token") != "anna's identity" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		scopes = strings.Fields(req.Form.Get("scope"))
	} else if user, password, _ := req.BasicAuth(); user != "anna" || password != "s3cret" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	g.mu.Lock()
	g.tokens = append(g.tokens, strings.Join(scopes, " "))
	g.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]string{"access_token": strings.Join(scopes, " ")})
}

// as returns credentials that are the same for every host.
func as(c Credential) func(context.Context, string) (Credential, error) {
	return func(context.Context, string) (Credential, error) { return c, nil }
}

// One run over two repositories of a registry gets a token for both where it
// mounts from one to the other.
func TestTokens(t *testing.T) {
	behind, _ := startRegistry(t)
	for name, credential := range map[string]Credential{
		"password":       {Username: "anna", Password: "s3cret"},
		"identity token": {RefreshToken: "anna's identity"},
	} {
		t.Run(name, func(t *testing.T) {
			g, host := newGuard(t, behind)
			m := memory{}
			layer, other := m.blob(200_000), m.blob(300_000)
			manifest := m.manifest(t, nil, layer, other)
			o := Options{Credentials: as(credential)}
			src := open(t, host+"/src", o)
			m.push(t, src, manifest, "v1")
			o.MountFrom = []string{src.Name()}
			dst := open(t, host+"/dst-"+name[:4], o)
			if action, err := dst.CopyBlob(t.Context(), src, layer, nil); err != nil || action != format.ActionMount {
				t.Fatal(action, err)
			}
			writer, err := dst.Writer(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := writer.Write([]byte(name)); err != nil {
				t.Fatal(err)
			}
			if err := writer.Commit(t.Context(), 0, ""); err != nil {
				t.Fatal(err)
			}
			want := []string{
				"repository:src:pull,push",
				"repository:dst-" + name[:4] + ":pull,push repository:src:pull",
				"repository:dst-" + name[:4] + ":pull,push",
			}
			if !slices.Equal(g.tokens, want) {
				t.Errorf("tokens: %q", g.tokens)
			}
			if g.asked != len(want) {
				t.Errorf("asked to log in %d times", g.asked)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	behind, _ := startRegistry(t)
	_, host := newGuard(t, behind)
	for name, credential := range map[string]Credential{
		"anonymous":      {},
		"wrong password": {Username: "anna", Password: "hunter2"},
		"wrong identity": {RefreshToken: "hunter2"},
	} {
		r := open(t, host+"/app", Options{Credentials: as(credential)})
		_, err := r.Resolve(t.Context(), "v1")
		if !errdefs.IsUnauthorized(err) || !strings.Contains(err.Error(), "docker login "+host) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	failing := errors.New("docker-credential-x: not found")
	r := open(t, host+"/app", Options{Credentials: func(context.Context, string) (Credential, error) { return Credential{}, failing }})
	if _, err := r.Resolve(t.Context(), "v1"); !errors.Is(err, failing) || !errdefs.IsUnauthorized(err) {
		t.Errorf("no credentials to be had: %v", err)
	}
}

// A token that a registry with Basic auth has no use for: one line, with what
// to do.
func TestTokenForBasic(t *testing.T) {
	host := serve(t, func(w http.ResponseWriter, req *http.Request) {
		if user, password, _ := req.BasicAuth(); user == "anna" && password == "s3cret" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	for name, c := range map[string]struct {
		credential Credential
		want       string
	}{
		"identity token": {Credential{RefreshToken: "1dentity"}, "wants a user and a password, and the stored login is none, perhaps a token: log in with `docker login " + host},
		"access token":   {Credential{AccessToken: "1dentity"}, "perhaps a token"},
		"no password":    {Credential{Username: "anna"}, "wants a user and a password"},
		"nothing":        {Credential{}, "not logged in"},
	} {
		_, err := open(t, host+"/app", Options{Credentials: as(c.credential)}).Resolve(t.Context(), "v1")
		if !errdefs.IsUnauthorized(err) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "1dentity") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := open(t, host+"/app", Options{Credentials: as(Credential{Username: "anna", Password: "s3cret"})}).Resolve(t.Context(), "v1"); !errdefs.IsNotFound(err) {
		t.Errorf("password: %v", err)
	}
}

// Credentials do not follow a redirect to another origin, even on the same
// machine, and do not show in an error; nor does a signed URL.
func TestRedirect(t *testing.T) {
	var seen []http.Header
	m := memory{}
	blob := m.blob(50_000)
	gone := m.blob(10)
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		seen = append(seen, req.Header.Clone())
		if req.URL.Query().Get("X-Signature") != "s1gned" || strings.HasSuffix(req.URL.Path, gone.Digest.Encoded()) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = w.Write(m[blob.Digest])
	}))
	defer storage.Close()
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if user, password, _ := req.BasicAuth(); user != "anna" || password != "s3cret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, req, storage.URL+"/"+filepath.Base(req.URL.Path)[len("sha256:"):]+"?X-Signature=s1gned", http.StatusTemporaryRedirect)
	}))
	defer registry.Close()
	r := open(t, strings.TrimPrefix(registry.URL, "http://")+"/app", Options{Credentials: as(Credential{Username: "anna", Password: "s3cret"})})
	if got, err := read(t, r, blob); err != nil || int64(len(got)) != blob.Size {
		t.Fatal(len(got), err)
	}
	_, err := r.ReaderAt(t.Context(), gone)
	if !errdefs.IsPermissionDenied(err) || strings.Contains(err.Error(), "s1gned") {
		t.Error(err)
	}
	if len(seen) != 2 {
		t.Fatalf("%d requests at the storage", len(seen))
	}
	for _, header := range seen {
		if header.Get("Authorization") != "" {
			t.Error("the storage was sent the registry's credentials")
		}
	}
	storage.Close()
	_, err = r.ReaderAt(t.Context(), blob)
	if err == nil || strings.Contains(err.Error(), "s1gned") || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
}

// Everywhere that `docker login` may have put credentials.
func TestDockerCredentials(t *testing.T) {
	dir, bin := t.TempDir(), t.TempDir()
	before := config.Dir()
	config.SetDir(dir)
	t.Cleanup(func() { config.SetDir(before) })
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	helper := "#!/bin/sh\nread host\ncase $host in\n" +
		"helped.test) echo '{\"ServerURL\":\"helped.test\",\"Username\":\"helga\",\"Secret\":\"h3lped\"}' ;;\n" +
		"token.test) echo '{\"ServerURL\":\"token.test\",\"Username\":\"<token>\",\"Secret\":\"1dentity\"}' ;;\n" +
		"broken.test) echo 'the keyring is locked'; exit 1 ;;\n" +
		"leaking.test) echo '{\"Username\":\"u\",\"Secret\":\"l3aked\\\"l3aked\"}'; exit 1 ;;\n" +
		"chatty.test) echo 'the keyring is locked, secret: l3aked'; exit 1 ;;\n" +
		"*) echo 'credentials not found in native keychain'; exit 1 ;;\nesac\n"
	write := func(file, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(bin, "docker-credential-formattest"), helper, 0o700)
	file := filepath.Join(dir, "config.json")
	hosts := []string{"docker.io", "index.docker.io", "registry-1.docker.io", "plain.test:5000", "helped.test", "token.test", "inline.test", "none.test"}
	lookup := func() map[string]string {
		t.Helper()
		source := DockerCredentials()
		got := map[string]string{}
		for _, host := range hosts {
			c, err := source(t.Context(), host)
			if err != nil {
				t.Errorf("%s: %v", host, err)
			}
			if c != (Credential{}) {
				got[host] = strings.Trim(c.Username+" "+c.Password+" "+c.RefreshToken, " ")
			}
		}
		return got
	}
	auths := `"auths":{"https://index.docker.io/v1/":{"auth":"aHViOmh1YnB3"},"plain.test:5000":{"auth":"cGF1bDpwbGExbg=="}}`
	for name, c := range map[string]struct {
		config, env string
		want        map[string]string
	}{
		"none": {`{"auths":{"other.test":{}}}`, "", map[string]string{}},
		"auths": {`{` + auths + `}`, "", map[string]string{
			"docker.io": "hub hubpw", "index.docker.io": "hub hubpw", "registry-1.docker.io": "hub hubpw", "plain.test:5000": "paul pla1n",
		}},
		"credHelpers": {`{"credHelpers":{"helped.test":"formattest"},"auths":{"plain.test:5000":{"auth":"cGF1bDpwbGExbg=="}}}`, "", map[string]string{
			"helped.test": "helga h3lped", "plain.test:5000": "paul pla1n",
		}},
		"credsStore": {`{"credsStore":"formattest"}`, "", map[string]string{"helped.test": "helga h3lped", "token.test": "1dentity"}},
		"identitytoken": {`{"auths":{"inline.test":{"auth":"PHRva2VuPjo=","identitytoken":"1nline"},"plain.test:5000":{"auth":"cGF1bDpwbGExbg=="}}}`, "", map[string]string{
			"inline.test": "<token>  1nline", "plain.test:5000": "paul pla1n",
		}},
		"credsStore before auths": {`{"credsStore":"formattest",` + auths + `}`, "", map[string]string{"helped.test": "helga h3lped", "token.test": "1dentity"}},
		"DOCKER_AUTH_CONFIG": {`{"credsStore":"formattest"}`, `{"auths":{"plain.test:5000":{"auth":"ZW52OjNudg=="}}}`, map[string]string{
			"helped.test": "helga h3lped", "token.test": "1dentity", "plain.test:5000": "env 3nv",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			write(file, c.config, 0o600)
			t.Setenv("DOCKER_AUTH_CONFIG", c.env)
			got := lookup()
			for _, host := range hosts {
				if got[host] != c.want[host] {
					t.Errorf("%s: got %q, want %q", host, got[host], c.want[host])
				}
			}
		})
	}
	write(file, `{"credsStore":"formattest"}`, 0o600)
	if _, err := DockerCredentials()(t.Context(), "broken.test"); err == nil || !strings.Contains(err.Error(), "the keyring is locked") {
		t.Errorf("a broken helper: %v", err)
	}
	for _, host := range []string{"leaking.test", "chatty.test"} {
		_, err := DockerCredentials()(t.Context(), host)
		for cause := err; cause != nil; cause = errors.Unwrap(cause) {
			if strings.Contains(cause.Error(), "l3aked") {
				t.Errorf("%s: %v", host, cause)
			}
		}
		if err == nil || !strings.Contains(err.Error(), "exit status 1") {
			t.Errorf("%s: %v", host, err)
		}
	}
	write(file, `{"credsStore":"formattest-missing"}`, 0o600)
	if _, err := DockerCredentials()(t.Context(), "helped.test"); err == nil || !strings.Contains(err.Error(), `"docker-credential-formattest-missing": executable file not found`) {
		t.Errorf("a missing helper: %v", err)
	}
	write(file, `{"auths":`, 0o600)
	if _, err := DockerCredentials()(t.Context(), "plain.test:5000"); err == nil {
		t.Error("a broken config.json is no error")
	}
}

func TestCredentialsFrom(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir()) // has nothing
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "login.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	find, err := CredentialsFrom(write(`{"auths": {"https://index.docker.io/v1/": {"auth": "YTpi"}, "a.io:5000": {"auth": "Yzpk"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]Credential{
		"docker.io": {Username: "a", Password: "b"}, "registry-1.docker.io": {Username: "a", Password: "b"},
		"a.io:5000": {Username: "c", Password: "d"}, "a.io": {},
	} {
		if got, err := find(t.Context(), host); err != nil || got != want {
			t.Errorf("%s: %+v, %v", host, got, err)
		}
	}
	if _, err := CredentialsFrom(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := CredentialsFrom(write(`{"auths": 1}`)); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a file that is none of docker's: %v", err)
	}
}
