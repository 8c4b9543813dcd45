// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"encoding/json"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// scanner writes a bill of materials that lists one package, as BuildKit asks
// its scanners to.
// https://github.com/moby/buildkit/blob/master/docs/attestations/sbom-protocol.md
const scanner = `#!/bin/sh
set -e
test -f "$BUILDKIT_SCAN_SOURCE/ran"
cat >"$BUILDKIT_SCAN_DESTINATION/app.spdx.json" <<'DOCUMENT'
{
  "_type": "https://in-toto.io/Statement/v0.1",
  "predicateType": "https://spdx.dev/Document",
  "predicate": {"spdxVersion": "SPDX-2.3", "name": "app", "packages": [{"name": "found-by-the-scanner"}]}
}
DOCUMENT
`

// TestExporterSBOM has a scanner look at what was built, and finds its bill of
// materials and the provenance in the index of the OCI image, and referring to
// the Docker one.
func TestExporterSBOM(t *testing.T) {
	t.Parallel()
	needRoot(t)
	base, tools := shell(t, "gzip"), newRepository(t, "scanner").ref("1")
	files := engines.Shell(t)
	files["Dockerfile"].Data = []byte(engines.ShellDockerfile + "COPY --chmod=755 scan /bin/scan\nENTRYPOINT [\"/bin/scan\"]\n")
	files["scan"] = &fstest.MapFile{Data: []byte(scanner)}
	buildkit.Build(t, engines.Build{Context: files, Output: engines.Push(tools)})

	// The statements name their subject in either shape of an attestation.
	for name, attribute := range map[string]string{"an index of images alone": "oci-artifact=false", "artifacts": "oci-artifact=true"} {
		t.Run(name, func(t *testing.T) {
			repo := newRepository(t, "app")
			emit(t, engines.Build{
				Context: running(t, base), Options: []string{"attest:sbom=generator=" + tools, "attest:provenance=mode=max"},
				Output: emitTwice(repo.ref("oci"), repo.ref("docker"), attribute),
			})
			oci, docker := check(t, repo, "oci", "oci"), check(t, repo, "docker", "docker")
			want := []string{"https://slsa.dev/provenance/v1", "https://spdx.dev/Document"}
			for platform, image := range docker.images {
				if n := oci.attested[oci.images[platform]]; n != len(want) {
					t.Errorf("%d statements in the index speak of the OCI image for %s, want %d", n, platform, len(want))
				}
				if got := predicates(t, repo, image); !slices.Equal(got, want) {
					t.Errorf("statements on %q refer to the Docker image for %s, want %q", got, platform, want)
				}
			}
		})
	}
}

// predicates are what the statements that refer to an image are about.
func predicates(t *testing.T, r repository, image digest.Digest) (types []string) {
	t.Helper()
	body, _ := r.document(t, "sha256-"+image.Encoded())
	for _, referrer := range objects(decode(t, body)["manifests"]) {
		manifest, _ := r.document(t, referrer["digest"].(string))
		for _, layer := range objects(decode(t, manifest)["layers"]) {
			var statement struct{ PredicateType string }
			if err := json.Unmarshal(r.blob(t, digest.Digest(layer["digest"].(string))), &statement); err != nil {
				t.Fatal(err)
			}
			types = append(types, statement.PredicateType)
		}
	}
	slices.Sort(types)
	return types
}
