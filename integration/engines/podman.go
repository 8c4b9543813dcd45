// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"path/filepath"
	"regexp"
)

var podmanReady = regexp.MustCompile(`API service listening on`)

// StartPodman starts Podman's service, with a storage of its own, which speaks
// as a Docker Engine does. It ends with the test and needs root. plainHTTP are
// as in [NewHome].
func StartPodman(tb TB, plainHTTP ...string) *Dockerd {
	tb.Helper()
	requireRoot(tb, "podman")
	home := NewHome(tb, plainHTTP...)
	socket := filepath.Join(shortDir(tb), "podman.sock")
	p := &Dockerd{Host: "unix://" + socket}
	p.process, _ = start(tb, daemon{
		path: Binary(tb, "podman"), args: []string{"--log-level=info", "system", "service", "--time=0", p.Host}, env: home.Env,
		ready: podmanReady, mounts: []string{home.Dir},
	})
	return p
}
