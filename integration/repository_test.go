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
func newRepository(tb testing.TB, name string) repository {
	tb.Helper()
	return repositoryIn(tb, registry, name)
}

func repositoryIn(tb testing.TB, reg *engines.Registry, name string) repository {
	tb.Helper()
	path := strings.NewReplacer("/", "-", "_", "-", "#", "-").Replace(strings.ToLower(tb.Name()))
	return repository{reg.Addr, path + "/" + name}
}

// ref names an image in the repository as docker does.
func (r repository) ref(tag string) string { return r.addr + "/" + r.name + ":" + tag }

// acceptAll is every document that an image has.
var acceptAll = strings.Join([]string{ociIndex, ociManifest, dockerList, dockerManifest}, ", ")

// request returns the answer to one request, its body read to the end.
func (r repository) request(tb testing.TB, method, path, mediaType string, body []byte) (*http.Response, []byte) {
	tb.Helper()
	target := path
	if strings.HasPrefix(path, "/") {
		target = "http://" + r.addr + "/v2/" + r.name + path
	}
	request, err := http.NewRequestWithContext(tb.Context(), method, target, bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	request.Header.Set("Accept", acceptAll)
	if mediaType != "" {
		request.Header.Set("Content-Type", mediaType)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return response, answer
}

// has reports whether the repository has a manifest of that tag or digest.
func (r repository) has(tb testing.TB, ref string) bool {
	tb.Helper()
	response, _ := r.request(tb, http.MethodGet, "/manifests/"+ref, "", nil)
	return response.StatusCode == http.StatusOK
}

// document returns an index or a manifest and the media type it is served as.
func (r repository) document(tb testing.TB, ref string) (body []byte, mediaType string) {
	tb.Helper()
	response, body := r.request(tb, http.MethodGet, "/manifests/"+ref, "", nil)
	if response.StatusCode != http.StatusOK {
		tb.Fatalf("manifest %s: %s: %s", ref, response.Status, body)
	}
	return body, response.Header.Get("Content-Type")
}

// documents is the text of every index and manifest of an image.
func (r repository) documents(tb testing.TB, ref string) string {
	tb.Helper()
	body, _ := r.document(tb, ref)
	text := string(body) + "\n"
	var d document
	if err := json.Unmarshal(body, &d); err != nil {
		tb.Fatal(err)
	}
	for _, entry := range d.Manifests {
		text += r.documents(tb, entry.Digest.String())
	}
	return text
}

// digestOf is what a tag points to.
func (r repository) digestOf(tb testing.TB, tag string) digest.Digest {
	tb.Helper()
	body, _ := r.document(tb, tag)
	return digest.FromBytes(body)
}

func (r repository) blob(tb testing.TB, d digest.Digest) []byte {
	tb.Helper()
	response, body := r.request(tb, http.MethodGet, "/blobs/"+d.String(), "", nil)
	if response.StatusCode != http.StatusOK {
		tb.Fatalf("blob %s: %s: %s", d, response.Status, body)
	}
	return body
}

// put stores a document under a tag, or under its digest when tag is empty.
func (r repository) put(tb testing.TB, tag, mediaType string, body []byte) digest.Digest {
	tb.Helper()
	d := digest.FromBytes(body)
	if tag == "" {
		tag = d.String()
	}
	response, answer := r.request(tb, http.MethodPut, "/manifests/"+tag, mediaType, body)
	if response.StatusCode != http.StatusCreated {
		tb.Fatalf("put manifest %s: %s: %s", tag, response.Status, answer)
	}
	return d
}

// putBlob stores a blob.
func (r repository) putBlob(tb testing.TB, body []byte) digest.Digest {
	tb.Helper()
	d := digest.FromBytes(body)
	response, answer := r.request(tb, http.MethodPost, "/blobs/uploads/", "", nil)
	if response.StatusCode != http.StatusAccepted {
		tb.Fatalf("upload: %s: %s", response.Status, answer)
	}
	location, err := response.Location()
	if err != nil {
		tb.Fatal(err)
	}
	query := location.Query()
	query.Set("digest", d.String())
	location.RawQuery = query.Encode()
	response, answer = r.request(tb, http.MethodPut, location.String(), "application/octet-stream", body)
	if response.StatusCode != http.StatusCreated {
		tb.Fatalf("upload %s: %s: %s", d, response.Status, answer)
	}
	return d
}

// tags lists the repository's tags; none when there is no such repository.
func (r repository) tags(tb testing.TB) []string {
	tb.Helper()
	response, body := r.request(tb, http.MethodGet, "/tags/list", "", nil)
	if response.StatusCode == http.StatusNotFound {
		return nil
	}
	var list struct{ Tags []string }
	if err := json.Unmarshal(body, &list); err != nil {
		tb.Fatalf("tags: %v: %s", err, body)
	}
	return list.Tags
}
