// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/manifest-format/manifest-format/format/emission"
	"github.com/manifest-format/manifest-format/integration/engines"
)

// buildxHome has buildx use builders of these daemons, and a context.
func buildxHome(t *testing.T, nodes ...*engines.Buildkitd) *engines.Home {
	t.Helper()
	home := engines.NewHome(t, registry.Addr)
	var builder []engines.BuildxNode
	for n, node := range nodes {
		builder = append(builder, engines.BuildxNode{Buildkitd: node})
		if len(nodes) > 1 {
			builder[n].Platforms = bothPlatforms[n]
		}
	}
	home.UseBuildkitd(t, builder...)
	if err := os.CopyFS(filepath.Join(home.Dir, "context"), twoPlatforms(t, scratch)); err != nil {
		t.Fatal(err)
	}
	return home
}

// TestBuildxImageType asks for a profile under BuildKit's own type, so that
// what buildx does for that type works: tags, --push, the files it writes.
func TestBuildxImageType(t *testing.T) {
	t.Parallel()
	repo, home := newRepository(t, "app"), buildxHome(t, exporting)
	home.Run(t, "buildx", "build", "--platform", strings.Join(bothPlatforms, ","), "-t", repo.ref("1"), "-t", repo.ref("2"), "--push",
		"-o", "type=image,manifest-format=docker", "--metadata-file", "metadata.json", "--iidfile", "iid", "context")
	image := check(t, repo, "1", "docker")
	if second := repo.digestOf(t, "2"); second != image.root {
		t.Errorf("the second tag is at %s, the first at %s", second, image.root)
	}
	// buildx adds provenance by itself.
	for platform, manifest := range image.images {
		if image.referring[manifest] != 1 {
			t.Errorf("%d statements refer to the image for %s", image.referring[manifest], platform)
		}
	}
	iid, err := os.ReadFile(filepath.Join(home.Dir, "iid"))
	if err != nil || string(iid) != image.root.String() {
		t.Errorf("--iidfile has %q (%v), want %s", iid, err, image.root)
	}
	file, err := os.ReadFile(filepath.Join(home.Dir, "metadata.json"))
	if err != nil {
		t.Fatal(err)
	}
	var metadata map[string]any
	if err := json.Unmarshal(file, &metadata); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"containerimage.digest": image.root.String(), "image.name": repo.ref("1") + "," + repo.ref("2"),
	} {
		if metadata[key] != want {
			t.Errorf("--metadata-file has %v for %s, want %s", metadata[key], key, want)
		}
	}
	emissions, err := emission.FromMetadata(file)
	if err != nil || len(emissions) != 1 || emissions[0].Root.Digest != image.root {
		t.Errorf("--metadata-file tells of %+v (%v)", emissions, err)
	}
}

// TestBuildxSingleManifest has the keys that an image without an index has.
func TestBuildxSingleManifest(t *testing.T) {
	t.Parallel()
	repo, home := newRepository(t, "app"), buildxHome(t, exporting)
	home.Run(t, "buildx", "build", "--platform", "linux/amd64", "--provenance=false", "-t", repo.ref("1"), "--push",
		"-o", "type=image,manifest-format=docker", "--iidfile", "iid", "context")
	image := check(t, repo, "1", "docker")
	iid, err := os.ReadFile(filepath.Join(home.Dir, "iid"))
	if err != nil || string(iid) != image.configs["linux/amd64"].String() {
		t.Errorf("--iidfile has %q (%v), want the config's digest, %s", iid, err, image.configs["linux/amd64"])
	}
}

// TestBuildxTwoOutputs has outputs of our type and of BuildKit's in one build.
func TestBuildxTwoOutputs(t *testing.T) {
	t.Parallel()
	repo, home := newRepository(t, "app"), buildxHome(t, exporting)
	home.Run(t, "buildx", "build", "--platform", strings.Join(bothPlatforms, ","), "--metadata-file", "metadata.json",
		"-o", "type=manifest-format,push=true,for=docker,name="+repo.ref("first"),
		"-o", "type=image,push=true,name="+repo.ref("stock"),
		"-o", "type=manifest-format,push=true,"+`"name=`+repo.ref("second")+","+repo.ref("third")+`"`,
		"context")
	docker, oci := check(t, repo, "first", "docker"), check(t, repo, "second", "oci")
	check(t, repo, "stock", "oci")
	if third := repo.digestOf(t, "third"); third != oci.root {
		t.Errorf("one of two names is at %s, the other at %s", oci.root, third)
	}
	file, err := os.ReadFile(filepath.Join(home.Dir, "metadata.json"))
	if err != nil {
		t.Fatal(err)
	}
	emissions, err := emission.FromMetadata(file)
	if err != nil || len(emissions) != 2 || emissions[0].Root.Digest != docker.root || emissions[1].Root.Digest != oci.root {
		t.Errorf("--metadata-file tells of %+v (%v), want %s and %s", emissions, err, docker.root, oci.root)
	}
}

// TestBake bakes with the output as text and as an object, the tags of the
// target and --push, and two emissions of one target.
func TestBake(t *testing.T) {
	t.Parallel()
	repo, home := newRepository(t, "app"), buildxHome(t, exporting)
	file := fmt.Sprintf(`
group "default" { targets = ["text", "object", "several"] }
target "text" {
  context = "context"
  platforms = ["linux/amd64", "linux/arm64"]
  tags = [%q]
  output = ["type=image,manifest-format=docker"]
}
target "object" {
  inherits = ["text"]
  tags = []
  output = [{ type = "manifest-format", name = "%s,%s", for = "docker", push = "true" }]
}
target "several" {
  inherits = ["text"]
  tags = []
  output = [{ type = "manifest-format", push = "true", "emit.1.name" = %q, "emit.1.for" = "docker", "emit.2.name" = %q }]
}
`, repo.ref("text"), repo.ref("object"), repo.ref("alias"), repo.ref("several-docker"), repo.ref("several-oci"))
	if err := os.WriteFile(filepath.Join(home.Dir, "docker-bake.hcl"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	home.Run(t, "buildx", "bake", "--push", "--allow=fs.read=*")
	want := check(t, repo, "text", "docker").images
	for tag, format := range map[string]string{"object": "docker", "alias": "docker", "several-docker": "docker", "several-oci": "oci"} {
		got := check(t, repo, tag, format)
		if format == "docker" && fmt.Sprint(got.images) != fmt.Sprint(want) {
			t.Errorf("%s has the images %v, text %v", tag, got.images, want)
		}
	}
}

// TestBuilderOfTwoNodes builds each platform on a daemon of its own. What
// buildx merges of Docker images is a Docker list.
func TestBuilderOfTwoNodes(t *testing.T) {
	t.Parallel()
	second := engines.StartBuildkitd(t, engines.BuildkitdOptions{Exporter: true})
	repo, home := newRepository(t, "app"), buildxHome(t, exporting, second)
	home.Run(t, "buildx", "build", "--platform", strings.Join(bothPlatforms, ","), "--provenance=false", "-t", repo.ref("1"), "--push",
		"-o", "type=image,manifest-format=docker", "context")
	image := check(t, repo, "1", "docker")
	if len(image.images) != 2 {
		t.Errorf("the merged list has the images %v", image.images)
	}
}

// TestArchives exports to the client, as a tar and blob by blob, and converts
// what comes back into a registry to look at it.
func TestArchives(t *testing.T) {
	t.Parallel()
	repo, home := newRepository(t, "app"), buildxHome(t, exporting)
	both := strings.Join(bothPlatforms, ",")
	for tag, test := range map[string]struct {
		output, source, format, platforms string
		attested                          bool
	}{
		"docker-in-oci-tar": {"type=oci,manifest-format=docker,dest=a.tar", "archive://a.tar", "docker", both, true},
		"oci-in-oci-tar":    {"type=oci,manifest-format=oci,dest=b.tar", "archive://b.tar", "oci", both, true},
		"docker-in-layout":  {"type=oci,manifest-format=docker,tar=false,dest=c", "oci-layout://c", "docker", both, false},
		"docker-to-load":    {"type=docker,manifest-format=docker,dest=d.tar", "archive://d.tar", "docker", "linux/amd64", false},
		"oci-to-load":       {"type=docker,manifest-format=oci,dest=e.tar", "archive://e.tar", "oci", "linux/amd64", false},
	} {
		args := []string{"build", "--platform", test.platforms, "-o", test.output}
		if test.attested {
			// By default buildx asks for an attestation that archives leave out.
			args = append(args, "--attest", "type=provenance,mode=max")
		}
		home.Run(t, "buildx", append(args, "context")...)
		shown := invocation{home: home, args: []string{"inspect", test.source}}.must(t).stdout
		if strings.Contains(shown, "attestation") != test.attested {
			t.Errorf("%s: has an attestation where none can be, or none:\n%s", tag, shown)
		}
		copied := convertIn(t, home, test.format, test.source, repo.ref(tag))
		if len(copied.Changes) > 0 {
			t.Errorf("%s: not in the format asked for: %+v", tag, copied.Changes)
		}
		check(t, repo, tag, test.format)
	}
	_, err := home.Try(t, "buildx", "build", "--platform", both, "-o", "type=docker,manifest-format=docker,dest=g.tar", "context")
	if err == nil {
		t.Error("a list was exported for docker load")
	}
}
