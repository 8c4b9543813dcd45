// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/manifest-format/manifest-format/format"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"pgregory.net/rapid"
)

// serve serves what a test wants a registry to answer.
func serve(t *testing.T, handler http.HandlerFunc) (host string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// cut is a ResponseWriter that ends the connection after some bytes.
type cut struct {
	http.ResponseWriter
	left int
}

// Write implements [io.Writer].
func (c *cut) Write(p []byte) (int, error) {
	if len(p) > c.left {
		_, _ = c.ResponseWriter.Write(p[:c.left])
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

// A download that breaks off goes on where it was, by a Range request, or from
// the start where the registry has none.
func TestDownloadResumes(t *testing.T) {
	m := memory{}
	blob := m.blob(5 << 20)
	body := m[blob.Digest]
	for name, ranges := range map[string]bool{"ranges": true, "no ranges": false} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			host := serve(t, func(w http.ResponseWriter, req *http.Request) {
				asked = append(asked, req.Header.Get("Range"))
				if len(asked) <= 3 {
					w = &cut{w, 600_000 * len(asked)}
				}
				if !ranges {
					req.Header.Del("Range")
				}
				http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(body))
			})
			got, err := read(t, open(t, host+"/app", Options{}), blob)
			if err != nil || !bytes.Equal(got, body) {
				t.Fatal(len(got), err)
			}
			if len(asked) != 4 || asked[0] != "" || !strings.HasPrefix(asked[1], "bytes=") {
				t.Errorf("asked for %q", asked)
			}
		})
	}
}

// A download that never comes to its end ends in an error that says how far it
// came.
func TestDownloadGivesUp(t *testing.T) {
	m := memory{}
	blob := m.blob(2000)
	var asked atomic.Int32
	host := serve(t, func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		http.ServeContent(&cut{w, 0}, req, "", time.Time{}, bytes.NewReader(m[blob.Digest]))
	})
	r := open(t, host+"/app", Options{Retries: 1})
	_, err := read(t, r, blob)
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "broke off after 0 of 2000 bytes") {
		t.Error(err)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// What a registry sends is measured, whatever it says of its length.
func TestDownloadOfAnotherSize(t *testing.T) {
	m := memory{}
	blob := m.blob(100_000)
	for name, more := range map[string]int{"longer": 10, "shorter": -10} {
		for _, chunked := range []bool{true, false} {
			body := make([]byte, int(blob.Size)+more)
			host := serve(t, func(w http.ResponseWriter, req *http.Request) {
				if offset := strings.TrimPrefix(req.Header.Get("Range"), "bytes="); offset != "" {
					w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
					return
				}
				if !chunked {
					w.Header().Set("Content-Length", fmt.Sprint(len(body)))
				}
				_, _ = w.Write(body)
			})
			if _, err := read(t, open(t, host+"/app", Options{}), blob); !errors.Is(err, format.ErrCorrupt) {
				t.Errorf("%s, chunked %v: %v", name, chunked, err)
			}
		}
	}
}

// The digest of a signed Schema 1 manifest is not that of its bytes: it is not
// corrupt, and by tag it can be looked at.
func TestSchema1(t *testing.T) {
	body := []byte(`{"schemaVersion":1,"name":"app","signatures":[{"protected":"e30"}]}`)
	name := digest.FromString("the payload")
	w := &wire{fault: func(req *http.Request) (*http.Response, error) {
		resp := answer(req, 200, "Content-Type", format.MediaTypeDockerSchema1Signed, "Docker-Content-Digest", name.String())
		resp.Body = io.NopCloser(bytes.NewReader(body))
		return resp, nil
	}}
	r := open(t, "example.test/app", Options{Transport: w})
	desc, err := r.Resolve(t.Context(), "v1")
	if err != nil || desc.MediaType != format.MediaTypeDockerSchema1Signed {
		t.Fatal(desc, err)
	}
	if got, err := read(t, r, desc); err != nil || !bytes.Equal(got, body) {
		t.Errorf("by tag: %q, %v", got, err)
	}
	_, resolveErr := r.Resolve(t.Context(), name.String())
	desc.Digest, desc.Size = name, 10
	_, readErr := r.ReaderAt(t.Context(), desc)
	for _, err := range []error{resolveErr, readErr} {
		if !errors.Is(err, format.ErrNotFixable) || errors.Is(err, format.ErrCorrupt) || !strings.Contains(err.Error(), "Schema 1") {
			t.Errorf("by digest: %v", err)
		}
	}
}

// A document is what its digest says, not what a header does.
func TestResolveCorrupt(t *testing.T) {
	m := memory{}
	manifest := m.manifest(t, nil)
	header := http.Header{}
	body := m[manifest.Digest]
	host := serve(t, func(w http.ResponseWriter, req *http.Request) {
		for key, values := range header {
			w.Header()[key] = values
		}
		_, _ = w.Write(body)
	})
	r := open(t, host+"/app", Options{})
	header.Set("Docker-Content-Digest", m.blob(1).Digest.String())
	header.Set("Content-Type", "application/json; charset=utf-8")
	if _, err := r.Resolve(t.Context(), "v1"); !errors.Is(err, format.ErrCorrupt) {
		t.Errorf("another digest in the header: %v", err)
	}
	header.Del("Docker-Content-Digest")
	if got, err := r.Resolve(t.Context(), "v1"); err != nil || got.Digest != manifest.Digest || got.MediaType != manifest.MediaType {
		t.Errorf("none in the header: %v %v", got, err)
	}
	if _, err := r.Resolve(t.Context(), m.blob(2).Digest.String()); !errors.Is(err, format.ErrCorrupt) {
		t.Errorf("another digest than asked for: %v", err)
	}
	other := manifest
	other.Digest = m.blob(3).Digest
	if _, err := r.ReaderAt(t.Context(), other); !errors.Is(err, format.ErrCorrupt) {
		t.Errorf("read by another digest: %v", err)
	}
	sha512 := "sha512:" + strings.Repeat("0", 128)
	header.Set("Docker-Content-Digest", sha512)
	if _, err := r.Resolve(t.Context(), "v1"); !errors.Is(err, format.ErrCorrupt) {
		t.Errorf("another digest by another algorithm: %v", err)
	}
	body = make([]byte, maxDocument+1)
	if _, err := r.Resolve(t.Context(), "v1"); !errors.Is(err, format.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

func TestDocumentType(t *testing.T) {
	for _, c := range []struct{ header, body, want string }{
		{ocispec.MediaTypeImageIndex, "{}", ocispec.MediaTypeImageIndex},
		{ocispec.MediaTypeImageIndex + "; charset=utf-8", "", ocispec.MediaTypeImageIndex},
		{"text/plain", `{"mediaType":"application/vnd.docker.distribution.manifest.v2+json"}`, format.MediaTypeDockerManifest},
		{"", `{"manifests":[]}`, ocispec.MediaTypeImageIndex},
		{"application/json", `{"config":{},"layers":[]}`, ocispec.MediaTypeImageManifest},
		{"application/json", `{"schemaVersion":1}`, format.MediaTypeDockerSchema1},
		{"application/json", `{"schemaVersion":1,"signatures":[]}`, format.MediaTypeDockerSchema1Signed},
		{"text/html", "<html>", "text/html"},
	} {
		if got := documentType(c.header, []byte(c.body)); got != c.want {
			t.Errorf("%s %s: %s", c.header, c.body, got)
		}
	}
}

// A registry with the referrers API is asked there, page by page, and is left
// to keep its own index.
func TestReferrersAPI(t *testing.T) {
	m := memory{}
	image := m.manifest(t, nil)
	first, second := m.manifest(t, &image), m.manifest(t, &image)
	var requests []string
	host := serve(t, func(w http.ResponseWriter, req *http.Request) {
		requests = append(requests, req.Method)
		page := first
		switch {
		case req.Method == http.MethodPut:
			w.Header().Set("OCI-Subject", image.Digest.String())
			w.WriteHeader(http.StatusCreated)
			return
		case req.URL.Query().Get("page") == "2":
			page = second
		default:
			w.Header().Set("Link", fmt.Sprintf(`<%s?page=2>; rel="next"`, req.URL.Path))
		}
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		fmt.Fprintf(w, `{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, page.MediaType, page.Digest, page.Size)
	})
	r := open(t, host+"/app", Options{})
	if err := r.PutRoot(t.Context(), first, m[first.Digest]); err != nil {
		t.Fatal(err)
	}
	got, err := r.Referrers(t.Context(), image)
	if diff := cmp.Diff([]ocispec.Descriptor{first, second}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if want := "PUT GET GET"; strings.Join(requests, " ") != want {
		t.Errorf("requests: %s", requests)
	}
}

// A list that goes on for ever comes to an end.
func TestEndlessTags(t *testing.T) {
	w := &wire{fault: func(req *http.Request) (*http.Response, error) {
		resp := answer(req, 200, "Link", "</v2/app/tags/list?more>")
		resp.Body = io.NopCloser(strings.NewReader(`{"tags":["a"]}`))
		return resp, nil
	}}
	_, err := open(t, "example.test/app", Options{Transport: w}).Tags(t.Context())
	if !errdefs.IsResourceExhausted(err) {
		t.Error(err)
	}
}

// Of referrers, neither their number nor their size nor that of the pages, full
// or empty, is the registry's choice.
func TestEndlessReferrers(t *testing.T) {
	one := fmt.Sprintf(`{"mediaType":%q,"digest":"sha256:%064d","size":9,"annotations":{"k":"%%s"}},`, ocispec.MediaTypeImageManifest, 1)
	few := fmt.Sprintf(one, "v")
	for name, c := range map[string]struct {
		page string // referrers, each with a comma after it
		want string
		most int // requests
	}{
		"many":        {strings.Repeat(few, 2500), "more than 10000 referrers", 5},
		"large":       {fmt.Sprintf(one, strings.Repeat("v", 3<<20)), "bytes of referrers", 22},
		"page":        {fmt.Sprintf(one, strings.Repeat("v", 5<<20)), "", 1},
		"empty pages": {"", "too many pages", maxReferrerPages},
	} {
		t.Run(name, func(t *testing.T) {
			w := &wire{fault: func(req *http.Request) (*http.Response, error) {
				resp := answer(req, 200, "Link", "</v2/app/referrers/x?more>", "Content-Type", ocispec.MediaTypeImageIndex)
				resp.Body = io.NopCloser(strings.NewReader(`{"manifests":[` + strings.TrimSuffix(c.page, ",") + `]}`))
				return resp, nil
			}}
			m := memory{}
			got, err := open(t, "example.test/app", Options{Transport: w}).Referrers(t.Context(), m.manifest(t, nil))
			if err == nil || !strings.Contains(err.Error(), c.want) || c.want != "" && !errdefs.IsResourceExhausted(err) {
				t.Errorf("%d referrers, %v", len(got), err)
			}
			if n := len(w.requests); n > c.most {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// What a person reads when a registry says no: one line, with the name of what
// was asked for, the reason, and no secret.
func TestErrors(t *testing.T) {
	said := `{"errors":[{"code":%q,"message":"line one\nline two https://u:p4ss@example.test/x?token=s3cret"}]}`
	for _, c := range []struct {
		status int
		code   string
		class  error
		text   string
	}{
		{401, "UNAUTHORIZED", errdefs.ErrUnauthenticated, "access refused (401): log in with `docker login example.test`"},
		{403, "DENIED", errdefs.ErrPermissionDenied, "access denied (403): line one line two https://example.test/x"},
		{404, "NAME_UNKNOWN", errdefs.ErrNotFound, "no such repository"},
		{404, "MANIFEST_UNKNOWN", errdefs.ErrNotFound, "no such tag"},
		{429, "TOOMANYREQUESTS", errdefs.ErrResourceExhausted, "too many requests (429), also after waiting: line one line two https://example.test/x"},
		{400, "DIGEST_INVALID", format.ErrCorrupt, "the registry computed another digest than the content's name"},
		{400, "SIZE_INVALID", format.ErrCorrupt, "the registry counted another size than the descriptor's"},
		{413, "", errdefs.ErrResourceExhausted, "larger than the registry accepts (413): line one line two https://example.test/x"},
		{405, "UNSUPPORTED", errdefs.ErrNotImplemented, "the registry does not support this (405 Method Not Allowed): line one line two https://example.test/x"},
		{500, "UNKNOWN", errdefs.ErrUnavailable, "the registry answered 500 Internal Server Error: line one line two https://example.test/x"},
		{400, "MANIFEST_INVALID", errdefs.ErrInvalidArgument, "the registry answered 400 Bad Request: line one line two https://example.test/x"},
	} {
		r := open(t, "example.test/app", Options{Retries: -1, Transport: &wire{fault: func(req *http.Request) (*http.Response, error) {
			resp := answer(req, c.status)
			resp.Body = io.NopCloser(strings.NewReader(fmt.Sprintf(said, c.code)))
			return resp, nil
		}}})
		_, err := r.Resolve(t.Context(), "v1")
		if !errors.Is(err, c.class) || err.Error() != "example.test/app:v1: "+c.text {
			t.Errorf("%d %s: %v", c.status, c.code, err)
		}
		var known *Error
		if !errors.As(err, &known) || known.StatusCode != c.status {
			t.Errorf("%d %s: %#v", c.status, c.code, known)
		}
	}
}

func TestUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	listener.Close()
	_, err = open(t, closed+"/app", Options{}).Resolve(t.Context(), "v1")
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "connection refused: no registry listens at "+closed) {
		t.Error(err)
	}
	w := &wire{fault: func(*http.Request) (*http.Response, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Name: "nowhere.test", IsNotFound: true}}
	}}
	_, err = open(t, "nowhere.test/app", Options{Transport: w}).Resolve(t.Context(), "v1")
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "no such host: nowhere.test") || w.take() != "GET" {
		t.Error(err)
	}
}

// A warning is passed on once.
func TestWarnings(t *testing.T) {
	var warnings []string
	w := &wire{fault: func(req *http.Request) (*http.Response, error) {
		resp, err := document(req)
		resp.Header["Warning"] = []string{`299 - "this tag goes away"`, `110 - "stale"`, `299 - unquoted`}
		return resp, err
	}}
	r := open(t, "example.test/app", Options{Transport: w, Warn: func(text string) { warnings = append(warnings, text) }})
	for range 2 {
		if _, err := r.Resolve(t.Context(), "v1"); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"example.test: this tag goes away"}, warnings); diff != "" {
		t.Error(diff)
	}
}

// No URL's user or query is left in any text.
func TestRedact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-z0-9/ .:"']{0,12}`)
		secret := rapid.StringMatching(`S[A-Z0-9!%=&@:]{4,12}`).Draw(t, "secret")
		text := word.Draw(t, "before") + rapid.SampledFrom([]string{
			"https://" + secret + "@host.test/path",
			"http://user:" + secret + "@host.test",
			"https://host.test/path?sig=" + secret,
			"HTTPS://host.test?" + secret + "#x",
		}).Draw(t, "url") + " " + word.Draw(t, "after")
		if got := redact(text); strings.Contains(got, secret) || strings.ContainsAny(got, "\n\r") || !strings.Contains(got, "://host.test") {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

// The cache forgets the oldest.
func TestDocumentCache(t *testing.T) {
	var c documentCache
	m := memory{}
	first, second, third := m.blob(maxDocument), m.blob(maxDocument-1), m.blob(2)
	for _, desc := range []ocispec.Descriptor{first, second, first, third} {
		c.put(desc.Digest, m[desc.Digest])
	}
	for desc, want := range map[*ocispec.Descriptor]bool{&first: false, &second: true, &third: true} {
		if _, ok := c.get(desc.Digest); ok != want {
			t.Errorf("%d bytes: kept %v", desc.Size, ok)
		}
	}
}
