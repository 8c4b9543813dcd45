// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// TestExporterPasswords pushes to a registry that asks for a password: what the
// client has is asked for through its session, for the image and for what
// refers to it.
func TestExporterPasswords(t *testing.T) {
	t.Parallel()
	closed := engines.StartRegistry(t, engines.RegistryOptions{Users: map[string]string{"alice": "wonder"}})
	for name, password := range map[string]string{"without": "", "wrong": "wander", "right": "wonder"} {
		home := engines.NewHome(t)
		if password != "" {
			home.Login(t, closed.Addr, "alice", password)
		}
		out, err := exporting.Try(t, engines.Build{
			Context:   twoPlatforms(t, scratch),
			Platforms: bothPlatforms,
			Options:   []string{"attest:provenance=mode=max"},
			Output:    emitTwice(closed.Ref("app:"+name+"-oci"), closed.Ref("legacy/app:"+name+"-docker")),
			Home:      home,
		})
		if strings.Contains(out.Stdout+out.Stderr, "wonder") {
			t.Errorf("%s: the password was printed", name)
		}
		if name != "right" {
			if err == nil || !strings.Contains(out.Stderr, "401 Unauthorized") && !strings.Contains(out.Stderr, "no basic auth credentials") {
				t.Errorf("%s a password: %v\n%s", name, err, out.Stderr)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out.Stderr)
		}
		// Brought to the registry that everyone can read, and looked at there.
		repo := newRepository(t, "app")
		invocation{home: home, args: []string{"convert", "--for", "docker", closed.Ref("legacy/app:right-docker"), repo.ref("docker")}}.must(t)
		invocation{home: home, args: []string{"convert", "--for", "oci", closed.Ref("app:right-oci"), repo.ref("oci")}}.must(t)
		check(t, repo, "docker", "docker")
		check(t, repo, "oci", "oci")
		shown := invocation{home: home, args: []string{"inspect", closed.Ref("legacy/app:right-docker")}}.must(t).stdout
		if got := strings.Count(shown, "referrer: attestation"); got != len(bothPlatforms) {
			t.Errorf("%d attestations refer to the image, want %d:\n%s", got, len(bothPlatforms), shown)
		}
	}
}

// unauthorized is what BuildKit says when the registry or its token server refuses.
var unauthorized = regexp.MustCompile(`push .*(401 Unauthorized|unauthorized|insufficient_scope)`)

// TestExporterTokens pushes to a registry that sends its users to a token
// server, under a name that asks for a token of its own for each repository.
func TestExporterTokens(t *testing.T) {
	t.Parallel()
	guarded := engines.StartRegistry(t, engines.RegistryOptions{
		Token: true, Users: map[string]string{"alice": "wonder", "bob": "reader"}, Readers: []string{"bob"},
	})
	push := func(user, password string) (engines.Output, error) {
		home := engines.NewHome(t)
		if user != "" {
			home.Login(t, guarded.Addr, user, password)
		}
		return exporting.Try(t, engines.Build{
			Context: twoPlatforms(t, scratch), Platforms: bothPlatforms, Options: []string{"attest:provenance=mode=max"},
			Output: emitTwice(guarded.Ref("app:by"+user+"-oci"), guarded.Ref("legacy/app:by"+user+"-docker")), Home: home,
		})
	}
	for user, password := range map[string]string{"": "", "alice": "wander", "bob": "reader"} {
		if out, err := push(user, password); err == nil || !unauthorized.MatchString(out.Stderr) {
			t.Errorf("%q with the password %q: %v\n%s", user, password, err, out.Stderr)
		}
	}
	if out, err := push("alice", "wonder"); err != nil {
		t.Fatalf("%v\n%s", err, out.Stderr)
	}
	grants := guarded.Tokens.Grants()
	for _, scope := range []string{"repository:app:pull,push", "repository:legacy/app:pull,push"} {
		if !slices.ContainsFunc(grants, func(g engines.Grant) bool { return g.User == "alice" && slices.Contains(g.Scopes, scope) }) {
			t.Errorf("nobody asked for %s, but for %v", scope, grants)
		}
	}
	reader := engines.NewHome(t, registry.Addr, guarded.Addr)
	reader.Login(t, guarded.Addr, "bob", "reader")
	repo := newRepository(t, "app")
	for format, ref := range map[string]string{"oci": guarded.Ref("app:byalice-oci"), "docker": guarded.Ref("legacy/app:byalice-docker")} {
		if changes := convertIn(t, reader, format, ref, repo.ref(format)).Changes; len(changes) > 0 {
			t.Errorf("%s was not in its format: %+v", ref, changes)
		}
		check(t, repo, format, format)
	}
}

// TestExporterRegistrySettings pushes to a registry whose certificate nobody
// vouches for, with the daemon told whom to trust, with the build told not to
// mind, and with neither.
func TestExporterRegistrySettings(t *testing.T) {
	t.Parallel()
	secure := engines.StartRegistry(t, engines.RegistryOptions{TLS: true})
	// On 127.0.0.1 BuildKit expects no TLS.
	settings := fmt.Sprintf("[registry.%q]\nhttp = false\n", secure.Addr)
	trusting := engines.StartBuildkitd(t, engines.BuildkitdOptions{Exporter: true, Config: settings + fmt.Sprintf("ca = [%q]\n", secure.CA)})
	doubting := engines.StartBuildkitd(t, engines.BuildkitdOptions{Exporter: true, Config: settings})
	for name, test := range map[string]struct {
		bk         *engines.Buildkitd
		attributes []string
		says       string
	}{
		"daemon":  {trusting, nil, ""},
		"build":   {doubting, []string{"registry.insecure=true"}, ""},
		"neither": {doubting, nil, "x509"},
	} {
		out, err := test.bk.Try(t, engines.Build{
			Context: twoPlatforms(t, scratch), Platforms: bothPlatforms, Options: []string{"attest:provenance=mode=max"},
			Output: emitTwice(secure.Ref(name+":oci"), secure.Ref(name+":docker"), test.attributes...),
		})
		switch {
		case test.says != "" && (err == nil || !strings.Contains(out.Stderr, test.says)):
			t.Errorf("%s: %v\n%s\ndoes not say %s", name, err, out.Stderr, test.says)
		case test.says == "" && err != nil:
			t.Errorf("%s: %v\n%s", name, err, out.Stderr)
		case test.says == "":
			repo := newRepository(t, name)
			out := invocation{args: []string{"inspect", "--tls-ca", secure.CA, secure.Ref(name + ":docker")}}.must(t)
			if got := strings.Count(out.stdout, "referrer: attestation"); got != len(bothPlatforms) {
				t.Errorf("%s: %d attestations refer to the image:\n%s", name, got, out.stdout)
			}
			convert(t, "docker", secure.Ref(name+":docker"), repo.ref("docker"), "--tls-ca", secure.CA)
			check(t, repo, "docker", "docker")
		}
	}
}
