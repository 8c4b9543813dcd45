// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"strings"
	"testing"
)

// TestKilledBuildkitd starts a builder again that was killed, which knows what
// it has built.
func TestKilledBuildkitd(t *testing.T) {
	t.Parallel()
	bk := StartBuildkitd(t, BuildkitdOptions{})
	build := Build{Context: small, Platforms: []string{"linux/amd64"}, Output: "type=image,name=app"}
	bk.Build(t, build)
	pid := bk.Pid()
	bk.Kill(t)
	if _, err := bk.Try(t, build); err == nil {
		t.Error("a builder that was killed builds")
	}
	bk.Restart(t)
	if bk.Pid() == pid {
		t.Errorf("it still has the process id %d", pid)
	}
	out, err := bk.Try(t, build)
	if err != nil || !strings.Contains(out.Stderr, "CACHED") {
		t.Errorf("it has forgotten what it built: %v\n%s", err, out.Stderr)
	}
	expectGone(t, bk.process, func() { bk.Stop(t) })
}

// TestWorkers runs a step on each kind of worker, and on both processors.
func TestWorkers(t *testing.T) {
	requireRoot(t, "runc")
	containerd := StartContainerd(t, ContainerdOptions{})
	for name, test := range map[string]struct {
		o         BuildkitdOptions
		platforms []string
	}{
		"oci":        {BuildkitdOptions{}, []string{"linux/amd64"}},
		"containerd": {BuildkitdOptions{Containerd: containerd}, []string{"linux/amd64"}},
		"emulating":  {BuildkitdOptions{Emulate: true}, []string{"linux/amd64", "linux/arm64"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bk := StartBuildkitd(t, test.o)
			files := Shell(t)
			files["Dockerfile"].Data = []byte(ShellDockerfile + "RUN echo \"for $TARGETARCH on $(uname -m)\"\n")
			out, err := bk.Try(t, Build{Context: files, Platforms: test.platforms, Output: "type=image,name=app"})
			if err != nil {
				t.Fatalf("%v\n%s", err, out.Stderr)
			}
			for _, platform := range test.platforms {
				want := map[string]string{"linux/amd64": "for amd64 on x86_64", "linux/arm64": "for arm64 on aarch64"}[platform]
				if !strings.Contains(out.Stderr, want) {
					t.Errorf("no step ran %s:\n%s", want, out.Stderr)
				}
			}
			if test.o.Containerd == nil {
				expectGone(t, bk.process, func() { bk.Stop(t) })
			}
		})
	}
}

// TestRuntimes runs an image in every engine.
func TestRuntimes(t *testing.T) {
	requireRoot(t, "runc")
	reg := StartRegistry(t, RegistryOptions{})
	StartBuildkitd(t, BuildkitdOptions{}).Build(t, Build{
		Context: Shell(t), Platforms: []string{"linux/amd64", "linux/arm64"}, Output: Push(reg.Ref("shell:1")),
	})
	for name, run := range Runtimes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := run(t, reg.Ref("shell:1"), "/bin/sh", "-c", "echo in $(uname)"); got != "in Linux\n" {
				t.Errorf("it printed %q", got)
			}
		})
	}
}
