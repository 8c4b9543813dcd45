// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/manifest-format/manifest-format/format"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// script answers requests one after the other, without a network, so that a
// test can wait in a synctest bubble.
type script []func(*http.Request) (*http.Response, error)

// wire returns a wire that follows the script, the last line of it for ever.
func (s script) wire() *wire {
	n := 0
	return &wire{fault: func(req *http.Request) (*http.Response, error) {
		step := s[min(n, len(s)-1)]
		n++
		return step(req)
	}}
}

// status is a step of a script.
func status(code int, header ...string) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) { return answer(req, code, header...), nil }
}

// broken is a step in which the connection breaks.
func broken(*http.Request) (*http.Response, error) { return nil, syscall.ECONNRESET }

// document is a step that answers with an empty index.
func document(req *http.Request) (*http.Response, error) {
	resp := answer(req, http.StatusOK, "Content-Type", ocispec.MediaTypeImageIndex)
	resp.Body = io.NopCloser(strings.NewReader("{}"))
	return resp, nil
}

func TestRetry(t *testing.T) {
	date := func(req *http.Request) (*http.Response, error) {
		return answer(req, 503, "Retry-After", time.Now().Add(40*time.Second).UTC().Format(http.TimeFormat)), nil
	}
	for _, c := range []struct {
		name     string
		script   script
		options  Options
		requests string
		min, max time.Duration
		class    error
		text     string
	}{
		{name: "429 in seconds", script: script{status(429, "Retry-After", "7"), document}, requests: "GET GET", min: 7 * time.Second, max: 8 * time.Second},
		{name: "503 with a date", script: script{date, document}, requests: "GET GET", min: 39 * time.Second, max: 41 * time.Second},
		{name: "503 without", script: script{status(503), status(502), document}, requests: "GET GET GET", min: 200 * time.Millisecond, max: 2 * time.Second},
		{name: "connection broke", script: script{document, broken, document}, requests: "GET GET GET", min: 100 * time.Millisecond, max: time.Second},
		{name: "429 for ever", script: script{status(429)}, requests: "GET GET GET GET GET GET", min: time.Second, max: 30 * time.Second, class: errdefs.ErrResourceExhausted, text: "too many requests (429)"},
		{name: "429 and 30 s for ever", script: script{status(429, "Retry-After", "30")}, requests: "GET GET GET GET", min: 90 * time.Second, max: 2 * time.Minute, class: errdefs.ErrResourceExhausted, text: "asks to wait 30s"},
		{name: "429 for too long", script: script{status(429, "Retry-After", "3600")}, requests: "GET", class: errdefs.ErrResourceExhausted, text: "asks to wait 1h0m0s"},
		{name: "own patience", script: script{status(503)}, options: Options{Retries: 1}, requests: "GET GET", max: time.Second, class: errdefs.ErrUnavailable, text: "503 Service Unavailable"},
		{name: "none", script: script{status(503)}, options: Options{Retries: -1}, requests: "GET", class: errdefs.ErrUnavailable},
		{name: "404", script: script{status(404)}, requests: "GET", class: errdefs.ErrNotFound, text: "no such tag"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := c.script.wire()
				c.options.Transport, c.options.PlainHTTP = w, true
				r := open(t, "example.test/app", c.options)
				if c.name == "connection broke" {
					_, _ = r.Resolve(t.Context(), "first")
				}
				begin := time.Now()
				_, err := r.Resolve(t.Context(), "v1")
				took := time.Since(begin)
				if !errors.Is(err, c.class) || err != nil && !strings.Contains(err.Error(), c.text) {
					t.Errorf("error: %v", err)
				}
				if got := w.take(); got != c.requests {
					t.Errorf("requests: %s", got)
				}
				if took < c.min || took > c.max {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

// A context that ends ends the waiting.
func TestRetryCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var warnings []string
		r := open(t, "example.test/app", Options{
			Transport: script{status(503, "Retry-After", "60")}.wire(),
			Warn:      func(text string) { warnings = append(warnings, text) },
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		begin := time.Now()
		_, err := r.Resolve(ctx, "v1")
		if !errors.Is(err, context.Canceled) || time.Since(begin) != 3*time.Second {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0], "503 Service Unavailable, trying again in 1m0s") {
			t.Errorf("warnings: %q", warnings)
		}
	})
}

// A blob is sent whole, in a new session, when a registry was busy for it or
// the connection broke; and not once more when only the answer was lost.
func TestUploadAgain(t *testing.T) {
	for _, c := range []struct {
		name string
		// fail answers the first PUT, of which body has been read or not.
		fail     func(req *http.Request, send func() (*http.Response, error)) (*http.Response, error)
		requests string
	}{
		{"busy", func(req *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
			return answer(req, 503), nil
		}, "HEAD POST PUT DELETE HEAD POST PUT"},
		{"broke", func(req *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
			_, _ = io.CopyN(io.Discard, req.Body, 1000)
			return nil, syscall.ECONNRESET
		}, "HEAD POST PUT DELETE HEAD POST PUT"},
		{"answer lost", func(_ *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			if resp, err := send(); err == nil {
				resp.Body.Close()
			}
			return nil, io.ErrUnexpectedEOF
		}, "HEAD POST PUT DELETE HEAD"},
	} {
		t.Run(c.name, func(t *testing.T) {
			host, root := startRegistry(t)
			failed := false
			w := &wire{}
			w.fault = func(req *http.Request) (*http.Response, error) {
				if req.Method != http.MethodPut || failed {
					return nil, nil
				}
				failed = true
				return c.fail(req, func() (*http.Response, error) { return http.DefaultTransport.RoundTrip(req) })
			}
			r := open(t, host+"/app", Options{Transport: w})
			m := memory{}
			desc := m.blob(500_000)
			action, err := r.CopyBlob(t.Context(), m, desc, nil)
			if err != nil || action != format.ActionCopy {
				t.Fatal(action, err)
			}
			if got := w.take(); got != c.requests {
				t.Errorf("requests: %s", got)
			}
			if got, err := read(t, r, desc); err != nil || !bytes.Equal(got, m[desc.Digest]) {
				t.Error(len(got), err)
			}
			if n := uploads(t, root, "app"); n != 0 {
				t.Errorf("%d uploads left open", n)
			}
		})
	}
}

// The end of a streamed upload, too, survives a busy registry.
func TestWriterCommitAgain(t *testing.T) {
	host, _ := startRegistry(t)
	failed := false
	w := &wire{fault: func(req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodPut && !failed {
			failed = true
			return answer(req, 429), nil
		}
		return nil, nil
	}}
	r := open(t, host+"/app", Options{Transport: w})
	writer, err := r.Writer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write([]byte("layer")); err != nil {
		t.Fatal(err)
	}
	if err := writer.Commit(t.Context(), 5, ""); err != nil {
		t.Error(err)
	}
	if got := w.take(); got != "POST PATCH PUT HEAD PUT" {
		t.Errorf("requests: %s", got)
	}
}

// A Writer that cannot be opened must not be taken for one that is locked.
func TestWriterUnavailable(t *testing.T) {
	r := open(t, "example.test/app", Options{Transport: script{status(503)}.wire(), Retries: -1})
	_, err := r.Writer(t.Context())
	if !errdefs.IsAborted(err) || errdefs.IsUnavailable(err) {
		t.Error(err)
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"5": 5 * time.Second, "0": 0, "-1": -1, "": -1, "soon": -1, "99999999999": -1,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second,
		"Fri, 02 Jan 2026 03:00:00 GMT": 0,
	} {
		got, ok := retryAfter(answer(nil, 429, "Retry-After", value), now)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %s %v", value, got, ok)
		}
	}
}

// A request that is given up because another failed is canceled, not broken:
// net/http returns the failure of the other.
func TestGivenUpIsNotBroken(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}))
	defer server.Close()
	transport, _, err := newTransport(strings.TrimPrefix(server.URL, "http://"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(errors.New("another request failed")) })
	req, err := http.NewRequestWithContext(once(ctx), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
	}
	if !errors.Is(err, context.Canceled) || !permanent(err) {
		t.Errorf("got %v, want it canceled", err)
	}
}
