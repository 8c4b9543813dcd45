// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// repository speaks to a repository of a registry that asks for no password,
// with as few requests as the protocol allows and without any retry: it makes
// the fixtures, looks at the results, and is what the limit is measured with.
type repository struct {
	client *http.Client
	host   string
	name   string
}

// newClient returns a client that keeps enough connections for parallel copies.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 64,
		ReadBufferSize:      256 << 10,
		WriteBufferSize:     256 << 10,
		DisableCompression:  true,
	}}
}

// parseReference splits HOST/NAME:TAG.
func parseReference(client *http.Client, s string) (repository, string, error) {
	host, rest, _ := strings.Cut(s, "/")
	name, tag, ok := strings.Cut(rest, ":")
	if !ok {
		return repository{}, "", fmt.Errorf("%q is not HOST/NAME:TAG", s)
	}
	return repository{client: client, host: host, name: name}, tag, nil
}

// at names an image in the repository as it is reached at host.
func (r repository) at(host, tag string) string { return host + "/" + r.name + ":" + tag }

// do makes a request and returns the response if its status is want.
func (r repository) do(ctx context.Context, method, target string, header http.Header, body io.Reader, size int64, want int) (*http.Response, error) {
	if strings.HasPrefix(target, "/") {
		target = "http://" + r.host + "/v2/" + r.name + target
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header
	}
	if body != nil {
		req.ContentLength = size
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != want {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		resp.Body.Close()
		return nil, fmt.Errorf("%s %s: %s, not %d: %s", method, target, resp.Status, want, text)
	}
	return resp, nil
}

var accepted = http.Header{"Accept": {
	ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest,
	format.MediaTypeDockerManifestList, format.MediaTypeDockerManifest,
}}

// document reads a manifest or an index.
func (r repository) document(ctx context.Context, ref string) (body []byte, mediaType string, err error) {
	resp, err := r.do(ctx, http.MethodGet, "/manifests/"+ref, accepted, nil, 0, http.StatusOK)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return body, resp.Header.Get("Content-Type"), err
}

// putDocument writes a manifest or an index under a tag or its digest.
func (r repository) putDocument(ctx context.Context, ref, mediaType string, body []byte) error {
	header := http.Header{"Content-Type": {mediaType}}
	resp, err := r.do(ctx, http.MethodPut, "/manifests/"+ref, header, bytes.NewReader(body), int64(len(body)), http.StatusCreated)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// blob opens a blob. The caller closes it.
func (r repository) blob(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	resp, err := r.do(ctx, http.MethodGet, "/blobs/"+d.String(), nil, nil, 0, http.StatusOK)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// has fails if the blob is not there with that size.
func (r repository) has(ctx context.Context, desc ocispec.Descriptor) error {
	resp, err := r.do(ctx, http.MethodHead, "/blobs/"+desc.Digest.String(), nil, nil, 0, http.StatusOK)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.ContentLength != desc.Size {
		return fmt.Errorf("%s in %s: %d bytes, not %d", desc.Digest, r.name, resp.ContentLength, desc.Size)
	}
	return nil
}

// mount links a blob from another repository of the registry.
func (r repository) mount(ctx context.Context, d digest.Digest, from string) error {
	query := url.Values{"mount": {d.String()}, "from": {from}}
	resp, err := r.do(ctx, http.MethodPost, "/blobs/uploads/?"+query.Encode(), nil, nil, 0, http.StatusCreated)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// startUpload opens an upload session and returns its location.
func (r repository) startUpload(ctx context.Context) (*url.URL, error) {
	resp, err := r.do(ctx, http.MethodPost, "/blobs/uploads/", nil, nil, 0, http.StatusAccepted)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	return resp.Location()
}

// finishUpload ends a session, with what body has, which may be nothing.
func (r repository) finishUpload(ctx context.Context, session *url.URL, d digest.Digest, body io.Reader, size int64) error {
	query := session.Query()
	query.Set("digest", d.String())
	session.RawQuery = query.Encode()
	resp, err := r.do(ctx, http.MethodPut, session.String(), octets(), body, size, http.StatusCreated)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// upload writes a blob whose digest is known.
func (r repository) upload(ctx context.Context, desc ocispec.Descriptor, body io.Reader) error {
	session, err := r.startUpload(ctx)
	if err != nil {
		return err
	}
	return r.finishUpload(ctx, session, desc.Digest, body, desc.Size)
}

// stream writes a blob that write makes, and returns its digest and size.
func (r repository) stream(ctx context.Context, write func(io.Writer) error) (ocispec.Descriptor, error) {
	session, err := r.startUpload(ctx)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	pr, pw := io.Pipe()
	hash, count := sha256.New(), new(counter)
	go func() { pw.CloseWithError(write(io.MultiWriter(hash, count, pw))) }()
	resp, err := r.do(ctx, http.MethodPatch, session.String(), octets(), pr, -1, http.StatusAccepted)
	pr.CloseWithError(err)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	resp.Body.Close()
	if session, err = resp.Location(); err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{Digest: digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(hash.Sum(nil))), Size: int64(*count)}
	return desc, r.finishUpload(ctx, session, desc.Digest, nil, 0)
}

func octets() http.Header { return http.Header{"Content-Type": {"application/octet-stream"}} }

// counter counts what is written to it.
type counter int64

// Write implements [io.Writer].
func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
