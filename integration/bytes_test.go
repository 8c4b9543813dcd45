// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"testing"
	"testing/fstest"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// bytesContext has a layer for all platforms, one of their own, and a base.
var bytesContext = fstest.MapFS{
	"Dockerfile": {Data: []byte(`FROM scratch AS base
COPY common.txt /common.txt
FROM base
ARG TARGETARCH
COPY ${TARGETARCH}.txt /arch.txt
ENV GREETING="hello <&> wörld"
LABEL org.opencontainers.image.title="bytes"
HEALTHCHECK CMD ["/probe"]
ENTRYPOINT ["/app"]
`)},
	"common.txt": {Data: []byte("for all of them\n")},
	"amd64.txt":  {Data: []byte("linux/amd64\n")},
	"arm64.txt":  {Data: []byte("linux/arm64\n")},
}

// TestSameBytesAsBuildKit builds one image twice, as OCI and as Docker, and
// converts each into the other: BuildKit's own digests must come out, the
// index's among them.
func TestSameBytesAsBuildKit(t *testing.T) {
	t.Parallel()
	for name, platforms := range map[string][]string{
		"one platform":  {"linux/amd64"},
		"two platforms": {"linux/amd64", "linux/arm64"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := newRepository(t, "app")
			built := map[string]string{}
			for profile, types := range map[string]string{"oci": "true", "docker": "false"} {
				built[profile] = buildkit.Build(t, engines.Build{
					Context:   bytesContext,
					Platforms: platforms,
					Options:   []string{"build-arg:SOURCE_DATE_EPOCH=1700000000"},
					Output:    engines.Push(repo.ref(profile), "oci-mediatypes="+types),
				}).Digest
			}
			if built["oci"] == built["docker"] {
				t.Fatalf("BuildKit made the same image twice: %s", built["oci"])
			}
			for from, to := range map[string]string{"oci": "docker", "docker": "oci"} {
				result := convert(t, to, repo.ref(from), repo.ref("from-"+from))
				if got := repo.digestOf(t, "from-"+from).String(); got != built[to] {
					converted, _ := repo.document(t, "from-"+from)
					native, _ := repo.document(t, to)
					t.Errorf("%s to %s gives %s:\n%s\nBuildKit made %s:\n%s", from, to, got, converted, built[to], native)
				}
				if len(result.Losses) > 0 {
					t.Errorf("%s to %s lost %v", from, to, result.Losses)
				}
				back := convert(t, from, repo.ref("from-"+from), repo.ref(from+"-and-back"))
				if got := back.Root.Digest.String(); got != built[from] {
					t.Errorf("%s to %s and back gives %s, not %s", from, to, got, built[from])
				}
			}
		})
	}
}
