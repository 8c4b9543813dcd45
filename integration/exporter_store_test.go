// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// buildctl runs buildctl against a daemon.
func buildctl(t *testing.T, bk *engines.Buildkitd, args ...string) engines.Output {
	t.Helper()
	return engines.NewHome(t).Run(t, "buildctl", append([]string{"--addr", bk.Addr}, args...)...)
}

// documentsOf are the digests of an image's root, manifests and configs.
func documentsOf(image checked) []digest.Digest {
	all := []digest.Digest{image.root}
	for platform, manifest := range image.images {
		all = append(all, manifest, image.configs[platform])
	}
	return all
}

// TestExporterHistory prunes all that a daemon has: the documents of a build
// stay readable for as long as its record is there.
func TestExporterHistory(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	bk := engines.StartBuildkitd(t, engines.BuildkitdOptions{Exporter: true})
	for _, format := range []string{"docker", "oci"} {
		bk.Build(t, engines.Build{
			Context: twoPlatforms(t, scratch), Platforms: bothPlatforms, Options: []string{"attest:provenance=mode=max"},
			Output: "type=manifest-format,push=true,for=" + format + ",name=" + repo.ref(format),
		})
	}
	buildctl(t, bk, "prune", "--all")
	docker, oci := check(t, repo, "docker", "docker"), check(t, repo, "oci", "oci")
	documents := append(documentsOf(docker), documentsOf(oci)...)
	for _, d := range documents {
		if got := buildctl(t, bk, "debug", "get", d.String()).Stdout; digest.FromString(got) != d {
			t.Errorf("after prune the daemon has\n%s\nfor %s", got, d)
		}
	}
	home := engines.NewHome(t)
	home.UseBuildkitd(t, engines.BuildxNode{Buildkitd: bk})
	if list := home.Run(t, "buildx", "history", "ls").Stdout; strings.Count(list, "Completed") != 2 {
		t.Errorf("the history has\n%s", list)
	}
	shown := home.Run(t, "buildx", "history", "inspect").Stdout
	if !strings.Contains(shown, "linux/arm64") {
		t.Errorf("the last build was\n%s", shown)
	}

	buildctl(t, bk, "prune-histories")
	buildctl(t, bk, "prune", "--all")
	for _, d := range documents {
		if out, err := home.Try(t, "buildctl", "--addr", bk.Addr, "debug", "get", d.String()); err == nil {
			t.Errorf("the record is gone, and %s is still there:\n%s", d, out.Stdout)
		}
	}
}

// TestExporterContainerd emits into a containerd: both images are there under
// their names, complete, also after a prune, and run from what was unpacked.
func TestExporterContainerd(t *testing.T) {
	t.Parallel()
	needRoot(t)
	c := engines.StartContainerd(t, engines.ContainerdOptions{})
	bk := engines.StartBuildkitd(t, engines.BuildkitdOptions{Exporter: true, Containerd: c})
	ctr := func(args ...string) string {
		return c.Ctr(t, append([]string{"--namespace", engines.BuildkitNamespace}, args...)...).Stdout
	}
	from := shell(t, "zstd")
	built := bk.Build(t, engines.Build{
		Context: running(t, from), Options: []string{"attest:provenance=mode=max"},
		Output: "type=manifest-format,unpack=true,name-canonical=true,emit.1.for=docker,emit.1.name=example.com/app:docker," +
			"emit.2.for=oci,emit.2.name=example.com/app:oci,emit.3.name=example.com/app:unnamed,emit.3.store=false," +
			"emit.4.for=docker,emit.4.attestations=drop,emit.4.dangling-name-prefix=dangling",
	})
	names := ctr("images", "ls")
	for _, want := range []string{
		"example.com/app:docker ", "example.com/app:oci ", "example.com/app:docker@" + built.Digest + " ", "dangling@" + built.Digest + " ", dockerList + " ", ociIndex + " ",
	} {
		if !strings.Contains(names, want) {
			t.Errorf("containerd has no %s:\n%s", want, names)
		}
	}
	if strings.Contains(names, "unnamed") {
		t.Errorf("an image was named with store=false:\n%s", names)
	}
	var referrers []string
	for _, e := range emissionsOf(t, built) {
		for _, referrer := range e.Referrers {
			referrers = append(referrers, referrer.Digest.String())
		}
	}
	buildctl(t, bk, "prune", "--all")
	buildctl(t, bk, "prune-histories")
	bk.Stop(t)
	// To remove a name has containerd collect what nothing holds any more.
	ctr("images", "rm", "--sync", "example.com/app:docker@"+built.Digest, "dangling@"+built.Digest)
	held := ctr("content", "ls")
	for _, referrer := range referrers {
		if !strings.Contains(held, referrer) {
			t.Errorf("the referrer %s of the Docker image is gone:\n%s", referrer, held)
		}
	}
	if len(referrers) != 1 {
		t.Errorf("told of the referrers %v", referrers)
	}
	for _, format := range []string{"docker", "oci"} {
		name := "example.com/app:" + format
		if got := ctr("images", "check", "name=="+name); !strings.Contains(got, " complete (") || !strings.Contains(got, "true") {
			t.Errorf("containerd holds less than all of %s, or has not unpacked it:\n%s", name, got)
		}
		if got, want := ctr("run", "--rm", name, "container-"+format), fmt.Sprintf("%s on x86_64\n", t.Name()); got != want {
			t.Errorf("a container of %s printed %q, want %q", name, got, want)
		}
	}
}
