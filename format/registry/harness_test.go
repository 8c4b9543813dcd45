// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// startRegistry runs distribution's registry with its data in a directory of
// the test's, and returns its address and that directory.
func startRegistry(t *testing.T) (host, root string) {
	t.Helper()
	binary, err := filepath.Abs("../../bin/registry")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		if binary, err = exec.LookPath("registry"); err != nil {
			t.Fatal("no registry binary: run `make tools`")
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host = listener.Addr().String()
	listener.Close()
	root = t.TempDir()
	config := filepath.Join(t.TempDir(), "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}, delete: {enabled: true}}\nhttp: {addr: %q}\n", root, host)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	command := exec.Command(binary, "serve", config)
	command.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("registry: %s", log.String()[max(0, log.Len()-4000):])
		}
	})
	for range 200 {
		resp, err := http.Get("http://" + host + "/v2/")
		if err == nil {
			resp.Body.Close()
			return host, root
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("the registry does not answer: %s", log.String())
	return "", ""
}

// open opens a repository without anyone's credentials.
func open(t *testing.T, name string, o Options) *Repository {
	t.Helper()
	if o.Credentials == nil {
		o.Credentials = func(context.Context, string) (Credential, error) { return Credential{}, nil }
	}
	r, err := Open(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wire records requests, and can answer in place of the network.
type wire struct {
	next  http.RoundTripper
	fault func(req *http.Request) (*http.Response, error) // nil, nil: none

	mu       sync.Mutex
	requests []string
}

// RoundTrip implements [http.RoundTripper].
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.requests = append(w.requests, req.Method+" "+req.URL.Path)
	w.mu.Unlock()
	if w.fault != nil {
		if resp, err := w.fault(req); resp != nil || err != nil {
			return resp, err
		}
	}
	next := w.next
	if next == nil {
		next = http.DefaultTransport
	}
	return next.RoundTrip(req)
}

// take returns the methods of the requests so far, and forgets them.
func (w *wire) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var methods []string
	for _, r := range w.requests {
		method, _, _ := strings.Cut(r, " ")
		methods = append(methods, method)
	}
	w.requests = nil
	return strings.Join(methods, " ")
}

// answer makes a response for a fault.
func answer(req *http.Request, status int, header ...string) *http.Response {
	resp := &http.Response{
		StatusCode: status, Status: fmt.Sprint(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: req,
	}
	for i := 0; i+1 < len(header); i += 2 {
		resp.Header.Set(header[i], header[i+1])
	}
	return resp
}

// memory is content in memory, a source of blobs.
type memory map[digest.Digest][]byte

// ReaderAt implements [content.Provider].
func (m memory) ReaderAt(_ context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	body, ok := m[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("%s: %w", desc.Digest, errdefs.ErrNotFound)
	}
	return &documentReader{Reader: bytes.NewReader(body)}, nil
}

// add puts content into m.
func (m memory) add(mediaType string, body []byte) ocispec.Descriptor {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	m[desc.Digest] = body
	return desc
}

// blob adds a layer of size random bytes.
func (m memory) blob(size int) ocispec.Descriptor {
	body := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(size), byte(len(m))})
	_, _ = source.Read(body)
	return m.add(ocispec.MediaTypeImageLayerGzip, body)
}

// manifest adds an OCI manifest of a config and layers.
func (m memory) manifest(t *testing.T, subject *ocispec.Descriptor, layers ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	doc := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Subject: subject, Layers: layers}
	doc.SchemaVersion = 2
	doc.Config = m.add(ocispec.MediaTypeImageConfig, fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","n":%d}`, len(m)))
	return m.document(t, doc.MediaType, doc)
}

// document adds a document.
func (m memory) document(t *testing.T, mediaType string, doc any) ocispec.Descriptor {
	t.Helper()
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return m.add(mediaType, body)
}

// push puts a manifest, with all that it names, under a tag.
func (m memory) push(t *testing.T, r *Repository, root ocispec.Descriptor, refs ...string) {
	t.Helper()
	var doc ocispec.Manifest
	if err := json.Unmarshal(m[root.Digest], &doc); err != nil {
		t.Fatal(err)
	}
	if root.MediaType == ocispec.MediaTypeImageManifest {
		for _, blob := range append(doc.Layers, doc.Config) {
			if _, err := r.CopyBlob(t.Context(), m, blob, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := r.PutRoot(t.Context(), root, m[root.Digest], refs...); err != nil {
		t.Fatal(err)
	}
}

// read reads content as a stream.
func read(t *testing.T, from content.Provider, desc ocispec.Descriptor) ([]byte, error) {
	t.Helper()
	return content.ReadBlob(t.Context(), from, desc)
}

// uploads counts the uploads that a registry has data of and that have not
// ended. distribution itself leaves a hash state behind of one that was
// cancelled.
func uploads(t *testing.T, root, repository string) int {
	t.Helper()
	data, err := filepath.Glob(filepath.Join(root, "docker/registry/v2/repositories", repository, "_uploads/*/data"))
	if err != nil {
		t.Fatal(err)
	}
	return len(data)
}
