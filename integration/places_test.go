// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/schema"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// TestPlaces takes an image from a registry through a layout and an archive to
// another registry, and looks at it in each.
func TestPlaces(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	bake(t, repo, "oci", scratch, []string{"attest:provenance=mode=max"})
	root := repo.digestOf(t, "oci")
	dir := t.TempDir()
	layout, archive := filepath.Join(dir, "layout"), filepath.Join(dir, "image.tar")

	convert(t, "oci", repo.ref("oci"), "oci-layout://"+layout+":one")
	if tags := checkLayout(t, layout); tags["one"] != root {
		t.Errorf("the layout has %v, the registry %s", tags, root)
	}
	convert(t, "oci", "oci-layout://"+layout+":one", "archive://"+archive)
	back := repository{repo.addr, repo.name + "-back"}
	convert(t, "oci", "archive://"+archive, back.ref("oci"))
	if got := check(t, back, "oci", "oci"); got.root != root || len(got.attested) != 2 {
		t.Errorf("back in the registry is %s with attestations of %v, it was %s", got.root, got.attested, root)
	}

	t.Run("referrers in a layout", func(t *testing.T) {
		convert(t, "docker", "oci-layout://"+layout+":one", "oci-layout://"+layout+":two")
		if tags := checkLayout(t, layout); tags["one"] != root || tags["two"] == "" {
			t.Errorf("the layout has %v", tags)
		}
		direct := convert(t, "docker", repo.ref("oci"), repo.ref("docker"))
		check(t, repo, "docker", "docker")
		if tags := checkLayout(t, layout); tags["two"] != direct.Root.Digest {
			t.Errorf("through the layout it is %s, directly %s", tags["two"], direct.Root.Digest)
		}
	})
	t.Run("pipes", func(t *testing.T) {
		home := engines.NewHome(t, registry.Addr)
		written := invocation{home: home, args: []string{"convert", "--for", "docker", "oci-layout://" + layout + ":one", "archive://-"}}.must(t)
		piped := repository{repo.addr, repo.name + "-piped"}
		read := invocation{
			home: home, stdin: strings.NewReader(written.stdout),
			args: []string{"convert", "--for", "docker", "archive://-", piped.ref("docker")},
		}.must(t)
		got := check(t, piped, "docker", "docker")
		if !strings.Contains(read.stdout, got.root.String()) || !strings.Contains(written.stderr, got.root.String()) {
			t.Errorf("the image is %s, the programs said\n%s\n%s", got.root, written.stderr, read.stdout)
		}
	})
	t.Run("to a registry of the second generation", func(t *testing.T) {
		old := repositoryIn(t, engines.StartRegistry(t, engines.RegistryOptions{V2: true}), "app")
		convert(t, "docker", repo.ref("oci"), old.ref("docker"))
		for image, statements := range check(t, old, "docker", "docker").referring {
			if statements != 1 {
				t.Errorf("%d statements refer to %s", statements, image)
			}
		}
	})
}

// checkLayout reads an OCI layout, whole, and returns its tags.
func checkLayout(t *testing.T, dir string) map[string]digest.Digest {
	t.Helper()
	valid := func(name string, validator schema.Validator) []byte {
		body, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = validator.Validate(strings.NewReader(string(body)))
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return body
	}
	valid("oci-layout", schema.ValidatorMediaTypeLayoutHeader)
	var index document
	if err := json.Unmarshal(valid("index.json", schema.ValidatorMediaTypeImageIndex), &index); err != nil {
		t.Fatal(err)
	}
	blobs, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range blobs {
		body, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if got := digest.FromBytes(body).Encoded(); got != entry.Name() {
			t.Errorf("the blob %s of the layout is %s", entry.Name(), got)
		}
	}
	tags := map[string]digest.Digest{}
	for _, desc := range index.Manifests {
		if !slices.ContainsFunc(blobs, func(e os.DirEntry) bool { return e.Name() == desc.Digest.Encoded() }) {
			t.Errorf("%s is in the index of the layout and nowhere else", desc.Digest)
		}
		if tag := desc.Annotations["org.opencontainers.image.ref.name"]; tag != "" {
			tags[tag] = desc.Digest
		}
	}
	return tags
}

// TestEngineArchives converts what `docker save` of each Docker Engine wrote,
// and has each load what was converted.
func TestEngineArchives(t *testing.T) {
	repo := newRepository(t, "app")
	bake(t, repo, "oci", scratch, nil)
	d := startDaemons(t)
	if d == nil {
		t.Skip("Docker Engine needs root")
	}
	for name, engine := range d.docker {
		t.Run(name, func(t *testing.T) {
			home := engines.NewHome(t, registry.Addr)
			home.Docker(t, engine, "pull", "--quiet", repo.ref("oci"))
			saved := filepath.Join(home.Dir, "saved.tar")
			home.Docker(t, engine, "save", "--output", saved, repo.ref("oci"))
			home.Docker(t, engine, "rmi", repo.ref("oci"))
			for _, profile := range []string{"oci", "docker"} {
				target := repository{repo.addr, repo.name + "-" + strings.NewReplacer(" ", "-", ".", "-").Replace(name)}
				convert(t, profile, "archive://"+saved, target.ref(profile), "--platform", "linux/amd64")
				images := check(t, target, profile, profile).images
				if len(images) != 1 || images["linux/amd64"] == "" {
					t.Errorf("what was saved became images for %v", images)
				}

				loaded := filepath.Join(home.Dir, profile+".tar")
				convert(t, profile, target.ref(profile), "archive://"+loaded)
				out := home.Docker(t, engine, "load", "--input", loaded).Stdout
				image := target.ref(profile)
				if out != "Loaded image: "+image+"\n" {
					t.Fatalf("docker load of %s said: %s", profile, out)
				}
				expectEnv(t, home.Docker(t, engine, "image", "inspect", image).Stdout)
				home.Docker(t, engine, "rmi", image)
			}
		})
	}
}

// TestPlugin converts through the real docker.
func TestPlugin(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	bake(t, repo, "oci", scratch, nil)
	home := engines.NewHome(t, registry.Addr)
	home.InstallPlugin(t, "docker-manifestformat", product)
	docker := engines.DockerCLI(t)
	out := home.Run(t, docker, "manifestformat", "convert", "--for", "docker", repo.ref("oci"), repo.ref("docker"))
	got := check(t, repo, "docker", "docker")
	if want := repo.addr + "/" + repo.name + "@" + got.root.String() + "\n"; out.Stdout != want {
		t.Errorf("docker manifestformat printed %q, want %q", out.Stdout, want)
	}
	if help := home.Run(t, docker, "--help").Stdout; !strings.Contains(help, "manifestformat*") {
		t.Errorf("docker does not list the plugin:\n%s", help)
	}
	out, err := home.Try(t, docker, "manifestformat", "convert", "--for", "docker", repo.ref("none"), repo.ref("never"))
	if err == nil || !strings.Contains(out.Stderr, "no such tag") || repo.has(t, "never") {
		t.Errorf("of a tag that is not there, docker manifestformat said %v\n%s", err, out.Stderr)
	}
}
