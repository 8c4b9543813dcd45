// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/manifest-format/manifest-format/format"
)

func TestFetchForeign(t *testing.T) {
	m := memory{}
	layer := m.blob(100_000)
	var headers []http.Header
	host := serve(t, func(w http.ResponseWriter, req *http.Request) {
		headers = append(headers, req.Header.Clone())
		switch req.URL.Path {
		case "/layer":
			_, _ = w.Write(m[layer.Digest])
		case "/long":
			w.(http.Flusher).Flush()
			_, _ = w.Write(append(bytes.Clone(m[layer.Digest]), 0))
		case "/short":
			w.(http.Flusher).Flush()
			_, _ = w.Write(m[layer.Digest][1:])
		case "/length":
			_, _ = w.Write([]byte("nope"))
		case "/changed":
			_, _ = w.Write(bytes.Repeat([]byte{1}, int(layer.Size)))
		case "/moved":
			http.Redirect(w, req, "/layer", http.StatusFound)
		case "/circle":
			http.Redirect(w, req, "/circle", http.StatusFound)
		case "/login":
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		case "/file":
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	o := Options{Credentials: as(Credential{Username: "anna", Password: "s3cret"})}
	for _, c := range []struct {
		urls  string
		class error
	}{
		{"/layer", nil},
		{"/none /moved", nil},
		{"/none", errdefs.ErrNotFound},
		{"/long", format.ErrCorrupt},
		{"/short", format.ErrCorrupt},
		{"/length", format.ErrCorrupt},
		{"/changed", format.ErrCorrupt},
		{"/circle", errdefs.ErrUnavailable},
		{"/file", errdefs.ErrUnavailable},
		{"/login", errdefs.ErrNotFound},
		{"file:///etc/passwd", errdefs.ErrInvalidArgument},
		{"http://anna:s3cret@" + host + "/layer", errdefs.ErrInvalidArgument},
		{"", errdefs.ErrNotFound},
	} {
		desc := layer
		for _, u := range strings.Fields(c.urls) {
			if strings.HasPrefix(u, "/") {
				u = "http://" + host + u
			}
			desc.URLs = append(desc.URLs, u)
		}
		var got []byte
		body, err := FetchForeign(t.Context(), desc, o)
		if err == nil {
			got, err = io.ReadAll(body)
			body.Close()
		}
		if !errors.Is(err, c.class) {
			t.Errorf("%s: %v", c.urls, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: a secret in %v", c.urls, err)
		}
		if c.class == nil && !bytes.Equal(got, m[layer.Digest]) {
			t.Errorf("%s: %d bytes", c.urls, len(got))
		}
	}
	for _, header := range headers {
		if header.Get("Authorization") != "" || header.Get("Cookie") != "" {
			t.Errorf("credentials sent: %v", header)
		}
	}
}
