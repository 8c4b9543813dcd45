// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// sample is an image that every host converts.
type sample struct {
	name string
	// from is the profile that it is built for, to the one that it is converted for.
	from, to   string
	options    []string // of the build
	attributes []string // of its output
	platforms  []string
	// recompressed says that layers are, which BuildKit does in a way of its own.
	recompressed bool
}

var samples = []sample{
	{name: "to docker", from: "oci", to: "docker"},
	{name: "to oci", from: "docker", to: "oci"},
	{name: "attested", from: "oci", to: "docker", options: []string{"attest:provenance=mode=max"}},
	{name: "annotated", from: "oci", to: "docker", attributes: []string{"annotation.org.opencontainers.image.title=app", "annotation-index.a=b"}},
	{name: "zstd", from: "oci", to: "docker", attributes: []string{"compression=zstd", "force-compression=true"}, recompressed: true},
	{name: "no index", from: "oci", to: "aws-lambda", platforms: []string{"linux/amd64"}},
}

// flags are those of convert for a sample.
func (s sample) flags() []string {
	var flags []string
	for _, p := range s.platforms {
		flags = append(flags, "--platform="+p)
	}
	return flags
}

// build builds the sample with our exporter, for both profiles at once.
func (s sample) build(t *testing.T, repo repository) {
	t.Helper()
	output := []string{
		"type=manifest-format,push=true",
		"emit.1.for=" + s.from + ",emit.1.name=" + repo.ref("source"),
		"emit.2.for=" + s.to + ",emit.2.name=" + repo.ref("emitted"),
	}
	for _, p := range s.platforms {
		output = append(output, "emit.2.platform="+p)
	}
	exporting.Build(t, engines.Build{
		Context: twoPlatforms(t, scratch), Platforms: bothPlatforms, Options: s.options,
		Output: strings.Join(append(output, s.attributes...), ","),
	})
}

// host converts a sample that is in a registry, and returns what came out.
type host func(t *testing.T, s sample, ref string) digest.Digest

// TestHostsAgree builds images with our exporter, and converts them in every
// host. What comes out, there and in the exporter, has the same digest.
func TestHostsAgree(t *testing.T) {
	t.Parallel()
	hosts := map[string]host{
		"in a registry": inRegistry, "in a layout": inLayout, "into an archive": intoArchive,
	}
	addContainerdHosts(t, hosts)
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			repo := newRepository(t, "app")
			s.build(t, repo)
			want := repo.digestOf(t, "emitted")
			if s.recompressed {
				want = inRegistry(t, s, repo.ref("source"))
			}
			if source := repo.digestOf(t, "source"); source == want {
				t.Fatalf("there is nothing to convert: %s", source)
			}
			for name, convert := range hosts {
				t.Run(name, func(t *testing.T) {
					if got := convert(t, s, repo.ref("source")); got != want {
						t.Errorf("it is %s, want %s", got, want)
					}
				})
			}
		})
	}
}

func inRegistry(t *testing.T, s sample, ref string) digest.Digest {
	t.Helper()
	return convert(t, s.to, ref, ref+"-converted", s.flags()...).Root.Digest
}

func inLayout(t *testing.T, s sample, ref string) digest.Digest {
	t.Helper()
	layout := "oci-layout://" + filepath.Join(t.TempDir(), "layout")
	if copied := convert(t, s.from, ref, layout+":source"); len(copied.Changes) > 0 {
		t.Errorf("to copy it changed it: %v", copied.Changes)
	}
	return convert(t, s.to, layout+":source", layout+":converted", s.flags()...).Root.Digest
}

func intoArchive(t *testing.T, s sample, ref string) digest.Digest {
	t.Helper()
	archive := "archive://" + filepath.Join(t.TempDir(), "image.tar")
	return convert(t, s.to, ref, archive, s.flags()...).Root.Digest
}

// addContainerdHosts adds the ways through containerd, where it can run.
func addContainerdHosts(t *testing.T, hosts map[string]host) {
	t.Helper()
	if os.Geteuid() != 0 && os.Getenv("CI") == "" {
		return
	}
	addEngineHost(t, hosts)
	addConverterHost(t, hosts)
	c := engines.StartContainerd(t, engines.ContainerdOptions{})
	hosts["by the watcher"] = func(t *testing.T, s sample, ref string) digest.Digest {
		t.Helper()
		rule := rule{"match": ref, "for": s.to, "to": "{{name}}-watched"}
		if len(s.platforms) > 0 {
			rule["platforms"] = strings.Join(s.platforms, ",")
		}
		namespace := "watched-" + strings.ReplaceAll(s.name, " ", "-")
		startWatcher(t, c, watcherConfig([]string{namespace}, rule))
		in(t, c, namespace, "images", "pull", "--plain-http", "--all-platforms", ref)
		engines.WaitFor(t, "the converted image", func() bool { return mediaTypeOf(t, c, namespace, ref+"-watched") != "" })
		return rootIn(t, c, namespace, ref+"-watched")
	}
	hosts["in containerd"] = func(t *testing.T, s sample, ref string) digest.Digest {
		t.Helper()
		place := "containerd://here/" + ref
		inContainerd(c, "convert", "--for", s.from, ref, place).must(t)
		inContainerd(c, append([]string{"convert", "--for", s.to, place, place + "-converted"}, s.flags()...)...).must(t)
		return rootIn(t, c, "here", ref+"-converted")
	}
}

// addEngineHost adds a Docker Engine that keeps manifests.
func addEngineHost(t *testing.T, hosts map[string]host) {
	t.Helper()
	engine := engines.StartDockerd(t, engines.DockerdOptions{})
	hosts["from an engine"] = func(t *testing.T, s sample, ref string) digest.Digest {
		t.Helper()
		place := "engine://" + ref
		into := invocation{args: []string{"convert", "--for", s.from, ref, place}, env: []string{"DOCKER_HOST=" + engine.Host}}
		into.must(t)
		pushed := invocation{args: append([]string{"push", "--quiet", "--for", s.to, ref, ref + "-pushed"}, s.flags()...), env: into.env}.must(t)
		_, dgst, _ := strings.Cut(strings.TrimSpace(pushed.stdout), "@")
		return digest.Digest(dgst)
	}
}

// addConverterHost adds a containerd that converts by itself.
func addConverterHost(t *testing.T, hosts map[string]host) {
	t.Helper()
	c := startConverting(t)
	hosts["by containerd"] = func(t *testing.T, s sample, ref string) digest.Digest {
		t.Helper()
		place := "containerd://here/" + ref
		inContainerd(c, "convert", "--for", s.from, ref, place).must(t)
		via(c, s.to, place, place+"-converted", s.flags()...).must(t)
		return rootIn(t, c, "here", ref+"-converted")
	}
}

// rootIn is the digest of an image of a containerd.
func rootIn(t *testing.T, c *engines.Containerd, namespace, name string) digest.Digest {
	t.Helper()
	out := inContainerd(c, "inspect", "--format", "{{.Root.Digest}}", "containerd://"+namespace+"/"+name).must(t)
	return digest.Digest(strings.TrimSpace(out.stdout))
}
