// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// TestContainerBuilder has buildx run our daemon in a container, emit from
// there, and load into the engine that the container is of.
func TestContainerBuilder(t *testing.T) {
	t.Parallel()
	needRoot(t)
	repo, home := newRepository(t, "app"), engines.NewHome(t, registry.Addr)
	engine := engines.StartDockerd(t, engines.DockerdOptions{})
	home.UseContainer(t, engine, engine.ImportBuildkit(t, engines.Binary(t, "buildkitd")))
	if shown := home.Run(t, "buildx", "inspect").Stdout; !strings.Contains(shown, "manifest-format:") {
		t.Errorf("buildx sees no label of the builder:\n%s", shown)
	}
	base := shell(t, "zstd")
	home.Buildx(t, running(t, base), "--tag", repo.ref("pushed"), "--push", "--output", "type=image,manifest-format=docker")
	pushed := check(t, repo, "pushed", "docker")
	if n := pushed.referring[pushed.images["linux/amd64"]]; n != 1 {
		t.Errorf("%d statements refer to the image, want buildx's own", n)
	}
	// As `docker build` does: into the engine. And what an engine has, it pushes.
	for _, format := range []string{"docker", "oci"} {
		tag := repo.ref("loaded-" + format)
		home.Buildx(t, running(t, base), "--tag", tag, "--output", "type=docker,context=default,manifest-format="+format)
		want := fmt.Sprintf("%s on x86_64\n", t.Name())
		if got := home.Docker(t, engine, "run", "--rm", "--network", "none", tag).Stdout; got != want {
			t.Errorf("a container of the image loaded as %s printed %q, want %q", format, got, want)
		}
		home.Docker(t, engine, "push", "--quiet", tag)
		check(t, repo, "loaded-"+format, format)
	}
}

// everyProgram is a step that runs the programs of our daemon's image. The
// emulator has no netfilter, which iptables asks for its version too; and a
// program of Go's that starts another can stand still in it for good, so each
// has a minute, and then another try. (busybox' timeout would run its own xz.)
const everyProgram = `set -e; export GODEBUG=asyncpreemptoff=1; \
	run() { for n in 1 2 3; do timeout -s KILL 60 dash -c 'exec "$@"' dash "$@" </dev/null >/tmp/said 2>&1 && { cat /tmp/said; return; }; done; cat /tmp/said; return 1; }; \
	for p in buildkitd buildctl buildkit-runc git pigz xz fuse-overlayfs unshare; do run $p --version; done; \
	run ssh -V; run openssl version; run git init /tmp/repository; test -x /usr/sbin/iptables; test -s /etc/ssl/certs/ca-certificates.crt; \
	export CNI_COMMAND=VERSION; for p in bridge firewall host-local loopback; do run buildkit-cni-$p; done; \
	echo all of them "for linux/$(uname -m)"
`

// TestBuildkitdImage makes the image of our daemon as `make image` does, and
// uses it: as buildx does, and every program in it on each processor. To build
// for another processor than the machine's costs a minute and is left to CI.
func TestBuildkitdImage(t *testing.T) {
	t.Parallel()
	needRoot(t)
	layout, platforms := filepath.Join(t.TempDir(), "layout"), bothPlatforms
	if os.Getenv("CI") == "" {
		platforms = []string{"linux/" + runtime.GOARCH}
	}
	args := []string{layout}
	for _, platform := range platforms {
		args = append(args, strings.TrimPrefix(platform, "linux/"))
	}
	cmd := exec.CommandContext(t.Context(), "../.ci/image", args...)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("image: %v\n%s", err, output)
	}
	checkLayout(t, layout)
	repo := newRepository(t, "buildkitd")
	convert(t, "oci", "oci-layout://"+layout, repo.ref("1"))
	image := check(t, repo, "1", "oci")
	if len(image.images) != len(platforms) || len(image.attested) != len(platforms) {
		t.Errorf("it has the images %v and attestations of %v", image.images, image.attested)
	}

	t.Run("programs", func(t *testing.T) {
		t.Parallel()
		emulating := engines.StartBuildkitd(t, engines.BuildkitdOptions{Emulate: true})
		out, err := emulating.Try(t, engines.Build{
			Context:   fstest.MapFS{"Dockerfile": {Data: []byte("FROM " + repo.ref("1") + "\nRUN " + everyProgram)}},
			Platforms: platforms, Output: "type=image,name=programs",
		})
		if err != nil || strings.Count(out.Stderr, "all of them for linux/") != len(platforms) {
			t.Errorf("%v\n%s", err, out.Stderr)
		}
	})
	t.Run("buildx", func(t *testing.T) {
		t.Parallel()
		home := engines.NewHome(t, registry.Addr)
		home.UseContainer(t, engines.StartDockerd(t, engines.DockerdOptions{}), repo.ref("1"))
		app := newRepository(t, "app")
		home.Buildx(t, running(t, shell(t, "gzip")), "--tag", app.ref("1"), "--push", "--output", "type=image,manifest-format=docker")
		check(t, app, "1", "docker")
	})
}
