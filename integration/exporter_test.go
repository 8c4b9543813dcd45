// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/manifest-format/manifest-format/format/emission"
	"github.com/manifest-format/manifest-format/integration/engines"
)

// emit builds with the exporter and returns what it says of each emission.
func emit(t *testing.T, b engines.Build) []emission.Emission {
	t.Helper()
	return emissionsOf(t, exporting.Build(t, b))
}

// emissionsOf is what the builder says of each emission.
func emissionsOf(t *testing.T, built engines.Built) []emission.Emission {
	t.Helper()
	emissions, err := emission.FromMetadata(built.Metadata)
	if err != nil {
		t.Fatal(err)
	}
	return emissions
}

// emitTwice is an output with one emission in OCI and one for Docker.
func emitTwice(oci, docker string, attributes ...string) string {
	return strings.Join(append([]string{
		"type=manifest-format,push=true,emit.1.for=oci,emit.1.name=" + oci + ",emit.2.for=docker,emit.2.name=" + docker,
	}, attributes...), ",")
}

// twoPlatforms is a context whose layers are the test's own.
func twoPlatforms(t *testing.T, from string) fstest.MapFS {
	t.Helper()
	return fstest.MapFS{
		"Dockerfile": {Data: []byte(from + "\nARG TARGETARCH\nCOPY common.txt /common.txt\nCOPY ${TARGETARCH}.txt /arch.txt\nENV A=b\nCMD [\"/none\"]\n")},
		"common.txt": {Data: []byte("common of " + t.Name() + "\n")},
		"amd64.txt":  {Data: []byte("amd64 of " + t.Name() + "\n")},
		"arm64.txt":  {Data: []byte("arm64 of " + t.Name() + "\n")},
	}
}

var bothPlatforms = []string{"linux/amd64", "linux/arm64"}

// TestOneBuildTwoFormats emits one build to two repositories of one registry,
// with attestations, and has a checker that knows neither BuildKit nor the
// product read both. What convert makes of the one is the other.
func TestOneBuildTwoFormats(t *testing.T) {
	t.Parallel()
	modern, legacy := newRepository(t, "modern"), newRepository(t, "legacy")
	emissions := emit(t, engines.Build{
		Context:   twoPlatforms(t, scratch),
		Platforms: bothPlatforms,
		Options:   []string{"attest:provenance=mode=max"},
		Output:    emitTwice(modern.ref("1"), legacy.ref("1")),
	})
	oci, docker := check(t, modern, "1", "oci"), check(t, legacy, "1", "docker")
	if len(emissions) != 2 {
		t.Fatalf("told of %d emissions, want 2", len(emissions))
	}
	for n, want := range []struct {
		checked
		profile, mediaType, name string
	}{{oci, "oci", ociIndex, modern.ref("1")}, {docker, "docker", dockerList, legacy.ref("1")}} {
		got := emissions[n]
		if got.Root.Digest != want.root || got.Root.MediaType != want.mediaType || got.Profile != want.profile ||
			!slices.Equal(got.Names, []string{want.name}) || !got.Pushed || len(got.Losses) > 0 {
			t.Errorf("emission %d is said to be %+v, want %s for %s at %s", n, got, want.root, want.profile, want.name)
		}
	}
	for platform, image := range oci.images {
		if oci.attested[image] != 1 {
			t.Errorf("OCI: %d statements for %s, want 1 in the index", oci.attested[image], platform)
		}
		if docker.configs[platform] != oci.configs[platform] {
			t.Errorf("the config for %s is %s in OCI and %s in Docker", platform, oci.configs[platform], docker.configs[platform])
		}
	}
	for platform, image := range docker.images {
		if docker.referring[image] != 1 {
			t.Errorf("Docker: %d statements refer to the image for %s, want 1", docker.referring[image], platform)
		}
	}
	if len(emissions[1].Referrers) != len(bothPlatforms) {
		t.Errorf("told of the referrers %v", emissions[1].Referrers)
	}
	if converted := convert(t, "docker", modern.ref("1"), modern.ref("converted")).Root.Digest; converted != docker.root {
		t.Errorf("convert makes %s of the OCI image, the exporter %s", converted, docker.root)
	}
}

// TestExporterSameBytesAsBuildKit builds with the stock BuildKit and its own
// exporter, and with ours: the same digests, of indexes and of manifests.
func TestExporterSameBytesAsBuildKit(t *testing.T) {
	t.Parallel()
	for name, platforms := range map[string][]string{"one platform": {"linux/amd64"}, "two platforms": bothPlatforms} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := newRepository(t, "app")
			b := engines.Build{Context: bytesContext, Platforms: platforms, Options: []string{"build-arg:SOURCE_DATE_EPOCH=1700000000"}}
			// Two daemons see the files of two contexts, each with its times.
			const times = "rewrite-timestamp=true"
			b.Output = emitTwice(repo.ref("ours-oci"), repo.ref("ours-docker"), times)
			emissions := emit(t, b)
			for n, types := range []string{"true", "false"} {
				b.Output = engines.Push(repo.ref("stock-"+types), "oci-mediatypes="+types, times)
				if want, got := buildkit.Build(t, b).Digest, emissions[n].Root.Digest.String(); got != want {
					t.Errorf("for %s it is %s, BuildKit's own exporter makes %s", emissions[n].Profile, got, want)
				}
			}
			b.Output = emitTwice(repo.ref("again-oci"), repo.ref("again-docker"), times)
			for n, again := range emit(t, b) {
				if again.Root.Digest != emissions[n].Root.Digest {
					t.Errorf("built again for %s it is %s, not %s", again.Profile, again.Root.Digest, emissions[n].Root.Digest)
				}
			}
		})
	}
}

// TestExporterRecompressesZstd has BuildKit make gzip of the zstd that Docker
// V2.2 has no type for, whether it is the build's own or a base image's. An
// OCI emission of the same build keeps it.
func TestExporterRecompressesZstd(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	bake(t, repo, "base", scratch, nil, "compression=zstd")
	for name, b := range map[string]engines.Build{
		"own":  {Context: twoPlatforms(t, scratch), Output: emitTwice(repo.ref("own-oci"), repo.ref("own-docker"), "compression=zstd")},
		"base": {Context: twoPlatforms(t, "FROM "+repo.ref("base")), Output: emitTwice(repo.ref("base-oci"), repo.ref("base-docker"))},
	} {
		b.Platforms = bothPlatforms
		emissions := emit(t, b)
		check(t, repo, name+"-oci", "oci")
		check(t, repo, name+"-docker", "docker")
		if documents := repo.documents(t, name+"-oci"); !strings.Contains(documents, zstdLayer) {
			t.Errorf("%s: the OCI emission lost its zstd:\n%s", name, documents)
		}
		if told := len(emissions[1].Notes) > 0; told != (name == "own") {
			t.Errorf("%s: the notes are %v; what was asked for and not done is told, and nothing else", name, emissions[1].Notes)
		}
	}
}

// TestExporterLosses annotates at every level: an OCI emission has it all, and
// a Docker one tells of each that it lost.
func TestExporterLosses(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	b := engines.Build{Context: twoPlatforms(t, scratch), Platforms: bothPlatforms}
	b.Output = emitTwice(repo.ref("oci"), repo.ref("docker"), annotations...)
	emissions := emit(t, b)
	oci := check(t, repo, "oci", "oci")
	check(t, repo, "docker", "docker")
	if text := repo.documents(t, "oci"); strings.Count(text, `"level"`) != 5 {
		t.Errorf("the OCI image of %s has other annotations than one of the index, two of entries and two of manifests:\n%s", oci.root, text)
	}
	var lost []string
	for _, loss := range emissions[1].Losses {
		lost = append(lost, loss.Path)
	}
	slices.Sort(lost)
	want := []string{"/annotations/level", "/manifests/0/annotations/level", "/manifests/0/annotations/level", "/manifests/1/annotations/level", "/manifests/1/annotations/level"}
	if !slices.Equal(lost, want) || len(emissions[0].Losses) > 0 {
		t.Errorf("lost %q, want %q, and nothing in OCI: %v", lost, want, emissions[0].Losses)
	}

	t.Run("labels", func(t *testing.T) {
		b.Output = "type=manifest-format,push=true,for=docker,annotations=labels,name=" + repo.ref("labels") + ",annotation.level=manifest"
		if losses := emit(t, b)[0].Losses; len(losses) > 0 {
			t.Errorf("lost %v", losses)
		}
		labelled := check(t, repo, "labels", "docker")
		config := string(repo.blob(t, labelled.configs["linux/arm64"]))
		if !strings.Contains(config, `"level":"manifest"`) {
			t.Errorf("the annotation is no label of the config: %s", config)
		}
	})
	t.Run("refused", func(t *testing.T) {
		// The OCI emission loses nothing, and is not pushed either.
		b.Output = emitTwice(repo.ref("never-oci"), repo.ref("never-docker"), append([]string{"on-loss=fail"}, annotations...)...)
		said := expectBuildFails(t, exporting, b)
		if !strings.Contains(said, "emit for docker: something would be lost: annotation") {
			t.Errorf("said:\n%s", said)
		}
		for _, tag := range repo.tags(t) {
			if strings.HasPrefix(tag, "never") {
				t.Errorf("%s was pushed", tag)
			}
		}
	})
}

// expectBuildFails returns what buildctl prints of a build that must fail.
func expectBuildFails(t *testing.T, bk *engines.Buildkitd, b engines.Build) string {
	t.Helper()
	out, err := bk.Try(t, b)
	if err == nil {
		t.Fatalf("%s was built", b.Output)
	}
	return out.Stderr
}

// TestExporterRefusals asks for what makes no sense: told before the build
// starts, in a line, and nothing is pushed.
func TestExporterRefusals(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	// At once: BuildKit's client takes five seconds to tell of each.
	var refused sync.WaitGroup
	for output, want := range map[string]string{
		"type=manifest-format,nam=" + repo.ref("a"):                                                     `no attribute "nam": did you mean "name"?`,
		"type=image,manifest-format=dcoker,push=true,name=" + repo.ref("b"):                             `no such profile, "dcoker"`,
		"type=image,manifest-format=docker,push=true,unpak=true,name=" + repo.ref("c"):                  `no attribute "unpak": did you mean "unpack"?`,
		"type=manifest-format,push=true,for=docker,attestations=keep,name=" + repo.ref("d"):             "docker cannot keep attestations",
		"type=manifest-format,push=true,platform=linux/s390x,name=" + repo.ref("e"):                     "linux/s390x",
		"type=manifest-format,push=true,single=true,name=" + repo.ref("f"):                              "linux/amd64, linux/arm64",
		"type=manifest-format,push=true,emit.1.name=" + repo.ref("g") + ",emit.2.name=" + repo.ref("g"): "two emissions have the name",
	} {
		refused.Go(func() {
			out, err := exporting.Try(t, engines.Build{Context: twoPlatforms(t, scratch), Platforms: bothPlatforms, Output: output})
			if err == nil || !strings.Contains(out.Stderr, want) {
				t.Errorf("%s: %v\n%s\ndoes not say %s", output, err, out.Stderr, want)
			}
			started := strings.Contains(out.Stderr, "load build definition")
			if late := strings.Contains(want, "linux/") || strings.Contains(want, "keep"); started != late {
				t.Errorf("%s: was the build started: %t\n%s", output, started, out.Stderr)
			}
		})
	}
	refused.Wait()
	if tags := repo.tags(t); len(tags) > 0 {
		t.Errorf("pushed %v", tags)
	}
}

// TestExporterShapes emits parts of a build of two platforms.
func TestExporterShapes(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	emissions := emit(t, engines.Build{
		Context: twoPlatforms(t, scratch), Platforms: bothPlatforms, Options: []string{"attest:provenance=mode=min"},
		Output: fmt.Sprintf("type=manifest-format,push=true,for=docker,emit.1.name=%s,\"emit.1.platform=linux/arm64\",emit.1.single=true,"+
			"emit.2.name=%s,emit.2.attestations=drop", repo.ref("lambda"), repo.ref("all")),
	})
	single := check(t, repo, "lambda", "docker")
	if _, ok := single.images["linux/arm64"]; !ok || len(single.images) != 1 || emissions[0].Root.MediaType != dockerManifest {
		t.Errorf("the first is %s with the images %v, want linux/arm64 alone", emissions[0].Root.MediaType, single.images)
	}
	if n := single.referring[single.images["linux/arm64"]]; n != 1 {
		t.Errorf("%d statements refer to the single image", n)
	}
	all := check(t, repo, "all", "docker")
	if len(all.images) != 2 || len(emissions[1].Losses) != 2 || len(emissions[1].Referrers) > 0 {
		t.Errorf("the second has the images %v, lost %v and has the referrers %v", all.images, emissions[1].Losses, emissions[1].Referrers)
	}
}

// TestExporterCaches imports the cache that an emission carries, and one that
// a build exports beside its emissions.
func TestExporterCaches(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	bake(t, repo, "base", scratch, nil, "compression=zstd")
	b := engines.Build{Context: twoPlatforms(t, "FROM "+repo.ref("base")), Platforms: []string{"linux/amd64"}}
	b.Output = emitTwice(repo.ref("oci"), repo.ref("docker"))
	b.Flags = []string{"--export-cache", "type=inline", "--export-cache", "type=registry,mode=max,ref=" + repo.ref("cache")}
	emit(t, b)
	b.Flags = nil
	for _, tag := range []string{"oci", "docker", "cache"} {
		fresh := engines.StartBuildkitd(t, engines.BuildkitdOptions{Exporter: true})
		b.Output = "type=manifest-format,push=true,for=docker,name=" + repo.ref("from-"+tag)
		b.Flags = []string{"--import-cache", "type=registry,ref=" + repo.ref(tag)}
		out, err := fresh.Try(t, b)
		if err != nil {
			t.Fatalf("%v\n%s", err, out.Stderr)
		}
		if !strings.Contains(out.Stderr, "CACHED") {
			t.Errorf("the cache in %s is not used:\n%s", tag, out.Stderr)
		}
		check(t, repo, "from-"+tag, "docker")
	}
}

// TestExporterLazyBase builds on an image of one registry for another: of a
// base nobody ran, the layers go from registry to registry.
func TestExporterLazyBase(t *testing.T) {
	t.Parallel()
	base := newRepository(t, "base")
	bake(t, base, "1", scratch, nil)
	other := engines.StartRegistry(t, engines.RegistryOptions{})
	target := repositoryIn(t, other, "app")
	fresh := engines.StartBuildkitd(t, engines.BuildkitdOptions{Exporter: true})
	fresh.Build(t, engines.Build{
		Context:   fstest.MapFS{"Dockerfile": {Data: []byte("FROM " + base.ref("1") + "\nLABEL only=config\n")}},
		Platforms: bothPlatforms,
		Output:    emitTwice(target.ref("oci"), target.ref("docker")),
	})
	check(t, target, "oci", "oci")
	check(t, target, "docker", "docker")
}
