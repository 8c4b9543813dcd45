// SPDX-License-Identifier: Apache-2.0

package refusing

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/format"
)

const (
	manifest = "application/vnd.oci.image.manifest.v1+json"
	index    = "application/vnd.oci.image.index.v1+json"
	config   = `"config":{"mediaType":"application/vnd.oci.image.config.v1+json"}`
	empty    = `"config":{"mediaType":"application/vnd.oci.empty.v1+json"}`
)

func TestRefusal(t *testing.T) {
	for _, test := range []struct{ target, mediaType, body, want string }{
		{"ghcr", manifest, `{"mediaType":"` + manifest + `",` + config + `}`, ""},
		{"zot", format.MediaTypeDockerManifest, `{}`, "media-type"},
		{"aws-ecr", manifest, `{` + config + `}`, "top-level-media-type"},
		{"aws-ecr", manifest, `{"mediaType":"x","config":{"annotations":{}}}`, "config-annotations"},
		{"aws-ecr", manifest, `{"mediaType":"x",` + empty + `,"layers":[{"mediaType":"a;b"}]}`, "type-parameter"},
		{"aws-ecr", manifest, `{"mediaType":"x",` + empty + `,"subject":{"platform":{}}}`, "subject-platform"},
		{"aws-lambda", index, `{"manifests":[]}`, "single-manifest"},
		{"gitlab", manifest, `{` + empty + `,"artifactType":"application/vnd.docker.attestation.manifest.v1+json"}`, "attestation-form"},
		{"gitlab", manifest, `{` + config + `,"subject":{"digest":"sha256:a"}}`, "subject-present"},
		{"gitlab", manifest, `{` + empty + `}`, "artifact-type"},
		{"alibaba-acr", manifest, `{` + empty + `}`, "image-config"},
		{"quay", format.MediaTypeDockerManifest, `{` + config + `,"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar"}]}`, "mixed-formats"},
		{"docker-engine-20.10", manifest, `{"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd"}]}`, "layer-compression"},
		{"distribution-3", manifest, `{"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","urls":["x"]}]}`, "layer-urls"},
		{"ghcr", manifest, `{"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":99000000000}]}`, "layer-size"},
		{"distribution-3", manifest, `{"a":"` + strings.Repeat("x", 4<<20) + `"}`, "document-size"},
		{"ghcr", manifest, `{`, "media-type"},
	} {
		p, ok := format.LookupProfile(test.target)
		if !ok {
			t.Fatalf("no profile %s", test.target)
		}
		if got := refusal(p, test.mediaType, []byte(test.body), func(digest.Digest) bool { return false }); got != test.want {
			t.Errorf("%s refuses %.80s for %q, not for %q", test.target, test.body, got, test.want)
		}
	}
}

func TestRegistry(t *testing.T) {
	p, _ := format.LookupProfile("zot")
	r := New(p)
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	do := func(method, path, mediaType, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", mediaType)
		res, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(answer)
	}
	blob := digest.FromString("hello").String()
	for _, step := range []struct {
		method, path, mediaType, body string
		status                        int
		says                          string
	}{
		{http.MethodGet, "/v2/", "", "", 200, ""},
		{http.MethodHead, "/v2/app/blobs/" + blob, "", "", 404, ""},
		{http.MethodPost, "/v2/app/blobs/uploads/?digest=" + blob, "", "hell", 400, "DIGEST_INVALID"},
		{http.MethodPost, "/v2/app/blobs/uploads/", "", "", 202, ""},
		{http.MethodPatch, "/v2/app/blobs/uploads/2", "", "hel", 202, ""},
		{http.MethodPut, "/v2/app/blobs/uploads/2?digest=" + blob, "", "lo", 201, ""},
		{http.MethodGet, "/v2/app/blobs/" + blob, "", "", 200, "hello"},
		{http.MethodPut, "/v2/app/manifests/1", format.MediaTypeDockerManifest, "{}", 415, "MANIFEST_INVALID"},
		{http.MethodGet, "/v2/app/manifests/1", "", "", 404, "MANIFEST_UNKNOWN"},
		{http.MethodPut, "/v2/app/manifests/1", manifest, "{}", 201, ""},
		{http.MethodGet, "/v2/app/manifests/" + digest.FromString("{}").String(), "", "", 200, "{}"},
		{http.MethodGet, "/v2/app/referrers/x", "", "", 404, ""},
	} {
		status, answer := do(step.method, step.path, step.mediaType, step.body)
		if status != step.status || !strings.Contains(answer, step.says) {
			t.Errorf("%s %s: %d %s, want %d %s", step.method, step.path, status, answer, step.status, step.says)
		}
	}
	if got := r.Refusals(); len(got) != 1 || got[0] != "media-type" {
		t.Errorf("refused for %q", got)
	}
}
