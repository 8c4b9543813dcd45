// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"strings"
	"testing"
)

// TestBuilders builds with buildx, on each kind of builder.
func TestBuilders(t *testing.T) {
	requireRoot(t, "runc")
	reg := StartRegistry(t, RegistryOptions{})
	for name, use := range map[string]func(t *testing.T, home *Home){
		"remote": func(t *testing.T, home *Home) {
			t.Helper()
			home.UseBuildkitd(t, BuildxNode{Buildkitd: StartBuildkitd(t, BuildkitdOptions{})})
		},
		"container": func(t *testing.T, home *Home) {
			t.Helper()
			d := StartDockerd(t, DockerdOptions{})
			home.UseContainer(t, d, d.ImportBuildkit(t, Binary(t, "buildkitd-stock")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := NewHome(t, reg.Addr)
			use(t, home)
			files := Shell(t)
			files["Dockerfile"].Data = []byte(ShellDockerfile + "RUN echo built >/built\n")
			home.Buildx(t, files, "--tag", reg.Ref(name+":1"), "--push")
			if got := home.Run(t, "crane", "manifest", reg.Ref(name+":1")).Stdout; !strings.Contains(got, "attestation-manifest") {
				t.Errorf("pushed\n%s", got)
			}
		})
	}
}
