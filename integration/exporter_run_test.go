// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// needRoot skips a test that runs containers, but not in CI.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 && os.Getenv("CI") == "" {
		t.Skip("running containers needs root")
	}
}

// shell pushes an image with a shell as OCI, its layers compressed as asked,
// and returns its name.
func shell(t *testing.T, compression string) string {
	t.Helper()
	ref := newRepository(t, "shell").ref(compression)
	buildkit.Build(t, engines.Build{
		Context: engines.Shell(t), Platforms: bothPlatforms,
		Output: engines.Push(ref, "compression="+compression, "force-compression=true"),
	})
	return ref
}

// running is a context that runs a step on from, whose output is in the image.
func running(t *testing.T, from string) fstest.MapFS {
	t.Helper()
	return fstest.MapFS{"Dockerfile": {Data: []byte("FROM " + from + "\nRUN echo \"" + t.Name() + " on $(uname -m)\" >/ran\nCMD [\"cat\", \"/ran\"]\n")}}
}

// TestEmittedImagesRun runs steps for two processors, emits the result in both
// formats, and runs the images in every engine, each with nothing in its store.
func TestEmittedImagesRun(t *testing.T) {
	t.Parallel()
	needRoot(t)
	emulating := engines.StartBuildkitd(t, engines.BuildkitdOptions{Exporter: true, Emulate: true})
	repo := newRepository(t, "app")
	for _, compression := range []string{"gzip", "zstd"} {
		emulating.Build(t, engines.Build{
			Context: running(t, shell(t, compression)), Platforms: bothPlatforms, Options: []string{"attest:provenance=mode=max"},
			Output: emitTwice(repo.ref(compression+"-oci"), repo.ref(compression+"-docker")),
		})
		for _, format := range []string{"oci", "docker"} {
			image := check(t, repo, compression+"-"+format, format)
			if got := lastLayer(t, repo, image.images["linux/arm64"]); !strings.Contains(got, t.Name()+" on aarch64") {
				t.Errorf("%s, %s: what ran for linux/arm64 left %q", compression, format, got)
			}
		}
	}
	for name, run := range engines.Runtimes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Of the four, those two that differ most; and one for an engine
			// that knows no zstd.
			tags := []string{"zstd-docker", "zstd-oci"}
			if name == "docker 20.10" {
				tags = []string{"zstd-docker", "gzip-oci"}
			}
			for _, tag := range tags {
				if got, want := run(t, repo.ref(tag)), "TestEmittedImagesRun on x86_64\n"; got != want {
					t.Errorf("a container of %s printed %q, want %q", tag, got, want)
				}
			}
		})
	}
}

// lastLayer is the last layer of an image, as a tar.
func lastLayer(t *testing.T, r repository, image digest.Digest) string {
	t.Helper()
	body, _ := r.document(t, image.String())
	layers := objects(decode(t, body)["layers"])
	last := layers[len(layers)-1]
	compression := "gzip"
	if strings.HasSuffix(last["mediaType"].(string), "zstd") {
		compression = "zstd"
	}
	plain, err := decompress(compression, r.blob(t, digest.Digest(last["digest"].(string))))
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}
