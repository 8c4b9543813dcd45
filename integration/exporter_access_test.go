// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
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
