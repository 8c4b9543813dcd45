// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/manifest-format/manifest-format/format"
)

// short is a silence for tests.
const short = 300 * time.Millisecond

// stalling serves what may stall, which ends with the test.
func stalling(t *testing.T, handler func(w http.ResponseWriter, req *http.Request, stall func())) (host string) {
	t.Helper()
	over := make(chan struct{})
	host = serve(t, func(w http.ResponseWriter, req *http.Request) {
		handler(w, req, func() { <-over })
	})
	t.Cleanup(func() { close(over) })
	return host
}

// A download that stalls is gone on with elsewhere in the blob, and given up
// when that does not help.
func TestStalledDownload(t *testing.T) {
	t.Parallel()
	m := memory{}
	blob := m.blob(3 << 20)
	body := m[blob.Digest]
	for name, stalls := range map[string]int32{"once": 1, "for ever": 1000} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			host := stalling(t, func(w http.ResponseWriter, req *http.Request, stall func()) {
				if asked.Add(1) > stalls {
					http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(body))
					return
				}
				w.Header().Set("Content-Length", "3145728")
				_, _ = w.Write(body[:100_000])
				_ = http.NewResponseController(w).Flush()
				stall()
			})
			warned := make(chan string, 10)
			r := open(t, host+"/app", Options{silence: short, Warn: func(text string) { warned <- text }})
			begin := time.Now()
			got, err := read(t, r, blob)
			if stalls == 1 {
				if err != nil || !bytes.Equal(got, body) || asked.Load() != 2 {
					t.Errorf("asked %d times, got %d bytes, %v", asked.Load(), len(got), err)
				}
				if text := <-warned; !strings.Contains(text, "silent for 300ms, trying again") {
					t.Error(text)
				}
				return
			}
			if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "broke off after 100000 of 3145728 bytes: the server was silent for 300ms") {
				t.Error(err)
			}
			if n := asked.Load(); n != 1+silenceRetries || time.Since(begin) > 20*time.Second {
				t.Errorf("asked %d times in %s", n, time.Since(begin))
			}
		})
	}
}

// A registry that never answers is given up, whatever is asked.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	m := memory{}
	image := m.manifest(t, nil)
	host := stalling(t, func(_ http.ResponseWriter, _ *http.Request, stall func()) { stall() })
	r := open(t, host+"/app", Options{silence: short, Retries: 1})
	_, tagErr := r.Resolve(t.Context(), "v1")
	_, blobErr := r.ReaderAt(t.Context(), m.blob(10))
	_, referrersErr := r.Referrers(t.Context(), image)
	for _, err := range []error{tagErr, blobErr, referrersErr} {
		if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "the server was silent for 300ms") {
			t.Error(err)
		}
	}
}

// An upload that is not taken is sent again: where the connection takes no
// more, and where HTTP/2's flow control does not.
func TestStalledUpload(t *testing.T) {
	t.Parallel()
	m := memory{}
	blob := m.blob(32 << 20) // more than the kernel takes
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			over := make(chan struct{})
			var puts, received atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				switch {
				case req.Proto != proto:
					t.Errorf("spoke %s", req.Proto)
				case req.Method == http.MethodHead:
					w.WriteHeader(http.StatusNotFound)
				case req.Method == http.MethodPost:
					w.Header().Set("Location", "/v2/app/blobs/uploads/1")
					w.WriteHeader(http.StatusAccepted)
				case req.Method == http.MethodPut && puts.Add(1) == 1:
					<-over
				case req.Method == http.MethodPut:
					n, _ := io.Copy(io.Discard, req.Body)
					received.Store(n)
					w.WriteHeader(http.StatusCreated)
				}
			}))
			o := Options{silence: short}
			if server.EnableHTTP2 = proto == "HTTP/2.0"; server.EnableHTTP2 {
				server.StartTLS()
				o.CAFile = write(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), t.TempDir(), "ca.pem")
			} else {
				server.Start()
			}
			t.Cleanup(server.Close)
			t.Cleanup(func() { close(over) })
			action, err := open(t, server.Listener.Addr().String()+"/app", o).CopyBlob(t.Context(), m, blob, nil)
			if err != nil || action != format.ActionCopy || puts.Load() != 2 || received.Load() != blob.Size {
				t.Errorf("%s, %d tries, %d bytes, %v", action, puts.Load(), received.Load(), err)
			}
		})
	}
}

// It is no silence where the peer waits for us, or commits what it was sent.
func TestOwnSilence(t *testing.T) {
	t.Parallel()
	m := memory{}
	blob := m.blob(24 << 20)
	host := serve(t, func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		switch req.Method {
		case http.MethodGet:
			_, _ = w.Write(m[blob.Digest])
		case http.MethodPut:
			time.Sleep(2 * short)
			w.WriteHeader(http.StatusCreated)
		default:
			w.Header().Set("Location", "/v2/app/blobs/uploads/1")
			w.WriteHeader(http.StatusAccepted)
		}
	})
	r := open(t, host+"/app", Options{silence: short, Retries: -1})
	writer, err := r.Writer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := writer.Write([]byte("layer")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * short)
	}
	if err := writer.Commit(t.Context(), 10, ""); err != nil {
		t.Error(err)
	}
	from, err := r.ReaderAt(t.Context(), blob)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	stream, half := content.NewReader(from), make([]byte, blob.Size/2)
	for range 2 {
		if _, err := io.ReadFull(stream, half); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * short)
	}
}
