// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// repository is one of a registry's, read and written with plain HTTP
// requests: nothing of the product judges the product.
type repository struct{ addr, name string }

// newRepository is a repository of the test's own in the shared registry.
func newRepository(t *testing.T, name string) repository {
	t.Helper()
	return repositoryIn(t, registry, name)
}

func repositoryIn(t *testing.T, reg *engines.Registry, name string) repository {
	t.Helper()
	path := strings.NewReplacer("/", "-", "_", "-", "#", "-").Replace(strings.ToLower(t.Name()))
	return repository{reg.Addr, path + "/" + name}
}

// ref names an image in the repository as docker does.
func (r repository) ref(tag string) string { return r.addr + "/" + r.name + ":" + tag }

// acceptAll is every document that an image has.
var acceptAll = strings.Join([]string{ociIndex, ociManifest, dockerList, dockerManifest}, ", ")

// request returns the answer to one request, its body read to the end.
func (r repository) request(t *testing.T, method, path, mediaType string, body []byte) (*http.Response, []byte) {
	t.Helper()
	target := path
	if strings.HasPrefix(path, "/") {
		target = "http://" + r.addr + "/v2/" + r.name + path
	}
	request, err := http.NewRequestWithContext(t.Context(), method, target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", acceptAll)
	if mediaType != "" {
		request.Header.Set("Content-Type", mediaType)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, answer
}

// has reports whether the repository has a manifest of that tag or digest.
func (r repository) has(t *testing.T, ref string) bool {
	t.Helper()
	response, _ := r.request(t, http.MethodGet, "/manifests/"+ref, "", nil)
	return response.StatusCode == http.StatusOK
}

// document returns an index or a manifest and the media type it is served as.
func (r repository) document(t *testing.T, ref string) (body []byte, mediaType string) {
	t.Helper()
	response, body := r.request(t, http.MethodGet, "/manifests/"+ref, "", nil)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("manifest %s: %s: %s", ref, response.Status, body)
	}
	return body, response.Header.Get("Content-Type")
}

// documents is the text of every index and manifest of an image.
func (r repository) documents(t *testing.T, ref string) string {
	t.Helper()
	body, _ := r.document(t, ref)
	text := string(body) + "\n"
	var d document
	if err := json.Unmarshal(body, &d); err != nil {
		t.Fatal(err)
	}
	for _, entry := range d.Manifests {
		text += r.documents(t, entry.Digest.String())
	}
	return text
}

// digestOf is what a tag points to.
func (r repository) digestOf(t *testing.T, tag string) digest.Digest {
	t.Helper()
	body, _ := r.document(t, tag)
	return digest.FromBytes(body)
}

func (r repository) blob(t *testing.T, d digest.Digest) []byte {
	t.Helper()
	response, body := r.request(t, http.MethodGet, "/blobs/"+d.String(), "", nil)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("blob %s: %s: %s", d, response.Status, body)
	}
	return body
}

// put stores a document under a tag, or under its digest when tag is empty.
func (r repository) put(t *testing.T, tag, mediaType string, body []byte) digest.Digest {
	t.Helper()
	d := digest.FromBytes(body)
	if tag == "" {
		tag = d.String()
	}
	response, answer := r.request(t, http.MethodPut, "/manifests/"+tag, mediaType, body)
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("put manifest %s: %s: %s", tag, response.Status, answer)
	}
	return d
}

// putBlob stores a blob.
func (r repository) putBlob(t *testing.T, body []byte) digest.Digest {
	t.Helper()
	d := digest.FromBytes(body)
	response, answer := r.request(t, http.MethodPost, "/blobs/uploads/", "", nil)
	if response.StatusCode != http.StatusAccepted {
		t.Fatalf("upload: %s: %s", response.Status, answer)
	}
	location, err := response.Location()
	if err != nil {
		t.Fatal(err)
	}
	query := location.Query()
	query.Set("digest", d.String())
	location.RawQuery = query.Encode()
	response, answer = r.request(t, http.MethodPut, location.String(), "application/octet-stream", body)
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("upload %s: %s: %s", d, response.Status, answer)
	}
	return d
}

// tags lists the repository's tags; none when there is no such repository.
func (r repository) tags(t *testing.T) []string {
	t.Helper()
	response, body := r.request(t, http.MethodGet, "/tags/list", "", nil)
	if response.StatusCode == http.StatusNotFound {
		return nil
	}
	var list struct{ Tags []string }
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatalf("tags: %v: %s", err, body)
	}
	return list.Tags
}
