// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// TestExporterCompressions asks for each compression that BuildKit knows: an
// OCI emission has it, and a Docker one is gzip all the same, to the letter of
// V2.2. Which of them changed is a note.
func TestExporterCompressions(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	for compression, test := range map[string]struct {
		layer string
		noted bool
	}{
		"gzip":         {`layer.v1.tar+gzip"`, false},
		"estargz":      {`layer.v1.tar+gzip"`, false},
		"zstd":         {zstdLayer, true},
		"uncompressed": {`layer.v1.tar"`, true},
	} {
		emissions := emit(t, engines.Build{
			Context: twoPlatforms(t, scratch), Platforms: bothPlatforms,
			Output: emitTwice(repo.ref(compression+"-oci"), repo.ref(compression+"-docker"), "compression="+compression, "force-compression=true"),
		})
		check(t, repo, compression+"-oci", "oci")
		check(t, repo, compression+"-docker", "docker")
		if documents := repo.documents(t, compression+"-oci"); !strings.Contains(documents, test.layer) {
			t.Errorf("%s: the OCI emission has other layers:\n%s", compression, documents)
		}
		if documents := repo.documents(t, compression+"-docker"); strings.Contains(documents, "stargz") {
			t.Errorf("%s: the Docker emission speaks of it:\n%s", compression, documents)
		}
		if noted := len(emissions[1].Notes) > 0; noted != test.noted || len(emissions[0].Notes) > 0 {
			t.Errorf("%s: the notes are %v and %v", compression, emissions[0].Notes, emissions[1].Notes)
		}
	}
}

// TestExporterForeignBase builds on an image with a layer that is on no
// registry, and has both emissions say where it is. BuildKit's default, to make
// an ordinary layer of it, asks the registry for it, with its own exporter too.
func TestExporterForeignBase(t *testing.T) {
	t.Parallel()
	base, repo := newRepository(t, "base"), newRepository(t, "app")
	bake(t, base, "plain", scratch, nil)
	base.rewrite(t, "plain", "foreign", foreignEdit(t))
	emit(t, engines.Build{
		Context:   fstest.MapFS{"Dockerfile": {Data: []byte("FROM " + base.ref("foreign") + "\nLABEL only=config\n")}},
		Platforms: bothPlatforms,
		Output:    emitTwice(repo.ref("oci"), repo.ref("docker"), "prefer-nondist-layers=true"),
	})
	for format, layer := range map[string]string{"oci": ociForeign, "docker": dockerForeign} {
		check(t, repo, format, format)
		if documents := repo.documents(t, format); strings.Count(documents, layer) != len(bothPlatforms) {
			t.Errorf("for %s the layer is no foreign one:\n%s", format, documents)
		}
	}
}

// TestExporterPushByDigest pushes and tags nothing.
func TestExporterPushByDigest(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	name, _, _ := strings.Cut(repo.ref("none"), ":none")
	for _, format := range []string{"oci", "docker"} {
		emissions := emit(t, engines.Build{
			Context: twoPlatforms(t, scratch), Platforms: bothPlatforms, Options: []string{"attest:provenance=mode=max"},
			Output: "type=manifest-format,push=true,push-by-digest=true,for=" + format + ",name=" + name,
		})
		check(t, repo, emissions[0].Root.Digest.String(), format)
	}
	for _, tag := range repo.tags(t) {
		// Those that stand for the referrers API are no images' tags.
		if !strings.HasPrefix(tag, "sha256-") {
			t.Errorf("there is the tag %s", tag)
		}
	}
}
