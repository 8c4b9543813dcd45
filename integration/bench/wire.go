// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// traffic is what went over the wire: bodies only, not headers.
type traffic struct {
	Requests int64 // all of them, those that were refused too
	Up, Down int64 // bytes
}

// wire counts what passes to any of the registries behind it.
type wire struct {
	requests, up, down atomic.Int64
}

func (w *wire) traffic() traffic {
	return traffic{Requests: w.requests.Load(), Up: w.up.Load(), Down: w.down.Load()}
}

// proxy puts a counting proxy before the registry at addr, and returns its
// address. The Host header passes unchanged, so that the registry sends clients
// back to the proxy. It ends with tb.
func (w *wire) proxy(tb engines.TB, addr string) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is there at once
	if err != nil {
		tb.Fatalf("proxy: %v", err)
	}
	target := &url.URL{Scheme: "http", Host: addr}
	server := &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			w.requests.Add(1)
			if r.Out.Body != nil && r.Out.Body != http.NoBody {
				r.Out.Body = &countedBody{r.Out.Body, &w.up}
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			if resp.Body != http.NoBody {
				resp.Body = &countedBody{resp.Body, &w.down}
			}
			return nil
		},
		Transport: newClient().Transport,
		// A client that has read enough breaks off: that is its right.
		ErrorLog: log.New(io.Discard, "", 0),
	}}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	tb.Cleanup(func() {
		if err := server.Close(); err != nil {
			tb.Logf("proxy: %v", err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			tb.Logf("proxy: %v", err)
		}
	})
	return listener.Addr().String()
}

// countedBody counts what is read.
type countedBody struct {
	io.ReadCloser
	count *atomic.Int64
}

// Read implements [io.Reader].
func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.count.Add(int64(n))
	return n, err
}
