// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"
)

// An upload goes where the registry is, or nowhere.
func TestUploadElsewhere(t *testing.T) {
	m := memory{}
	blob := m.blob(10)
	for location, want := range map[string]string{
		"https://attacker.test/upload":          "another host, attacker.test",
		"http://registry.test/upload":           "",
		"https://registry.test:8443/upload":     "another host, registry.test:8443",
		"https://u:p@registry.test/upload?x=y":  "",
		"/v2/app/upload?state=1":                "",
		"https://registry.test:443/upload?a=b ": "",
	} {
		var put *http.Request
		w := &wire{fault: func(req *http.Request) (*http.Response, error) {
			switch req.Method {
			case http.MethodHead:
				return answer(req, 404), nil
			case http.MethodPost:
				return answer(req, 202, "Location", strings.TrimSpace(location)), nil
			}
			put = req
			return answer(req, 201), nil
		}}
		_, err := open(t, "registry.test/app", Options{Transport: w}).CopyBlob(t.Context(), m, blob, nil)
		if want != "" {
			if put != nil || !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", location, err)
			}
		} else if err != nil || put.URL.Host != "registry.test" || put.URL.Scheme != "https" || put.URL.User != nil || put.URL.Query().Get("digest") == "" {
			t.Errorf("%s: %v %v", location, put, err)
		}
	}
}

// A redirect takes content no further than a Location does, and no retry is
// made of it; one on the registry's own host is followed.
func TestUploadRedirect(t *testing.T) {
	m := memory{}
	blob := m.blob(100_000)
	manifest := m.manifest(t, nil)
	var stolen atomic.Int64
	attacker := serve(t, func(w http.ResponseWriter, req *http.Request) {
		n, _ := io.Copy(io.Discard, req.Body)
		stolen.Add(n)
		w.WriteHeader(http.StatusCreated)
	})
	for name, c := range map[string]struct{ target, want string }{
		"another host": {"http://" + attacker + "/sink", "another host, http://" + attacker},
		"itself":       {"/v2/app/there", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var puts, got atomic.Int64
			host := serve(t, func(w http.ResponseWriter, req *http.Request) {
				switch {
				case req.Method == http.MethodHead:
					w.WriteHeader(http.StatusNotFound)
				case req.Method == http.MethodPost:
					w.Header().Set("Location", "/v2/app/blobs/uploads/1")
					w.WriteHeader(http.StatusAccepted)
				case req.Method == http.MethodPut && req.URL.Path != "/v2/app/there":
					puts.Add(1)
					http.Redirect(w, req, c.target, http.StatusTemporaryRedirect)
				case req.Method == http.MethodPut:
					n, _ := io.Copy(io.Discard, req.Body)
					got.Add(n)
					w.WriteHeader(http.StatusCreated)
				}
			})
			r := open(t, host+"/app", Options{Credentials: as(Credential{Username: "anna", Password: "s3cret"})})
			_, blobErr := r.CopyBlob(t.Context(), m, blob, nil)
			rootErr := r.PutRoot(t.Context(), manifest, m[manifest.Digest], "v1")
			for _, err := range []error{blobErr, rootErr} {
				if c.want == "" && err != nil || c.want != "" && (!errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("got %v, want %q", err, c.want)
				}
			}
			if want := blob.Size + manifest.Size; c.want == "" && got.Load() != want {
				t.Errorf("sent %d bytes, want %d", got.Load(), want)
			}
			if puts.Load() != 2 {
				t.Errorf("%d requests to put two things", puts.Load())
			}
		})
	}
	if stolen.Load() > 0 {
		t.Errorf("the other host was sent %d bytes", stolen.Load())
	}
}

// Nor does content go to another port, or from TLS to none.
func TestCheckRedirect(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"https://a.test/y", "https://a.test/x", true},
		{"https://a.test/y", "https://a.test:443/x", true},
		{"http://a.test/y", "https://a.test/x", true},
		{"https://a.test/y", "http://a.test/x", false},
		{"https://a.test/y", "https://b.test/x", false},
		{"https://a.test/y", "https://a.test:8443/x", false},
		{"https://a.test:5000/y", "https://a.test/x", false},
	} {
		via := []*http.Request{httptest.NewRequest(http.MethodPut, c.from, nil)}
		if err := checkRedirect(httptest.NewRequest(http.MethodPut, c.to, strings.NewReader("content")), via); (err == nil) != c.want {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
		if err := checkRedirect(httptest.NewRequest(http.MethodGet, c.to, nil), via); err != nil {
			t.Errorf("%s to %s without content: %v", c.from, c.to, err)
		}
	}
}
