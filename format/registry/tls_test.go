// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// secured is a TLS server that records how it was spoken to.
type secured struct {
	host string
	ca   []byte // PEM

	mu       sync.Mutex
	protos   []string
	presents int // requests with a client certificate
}

// newSecured serves an index, and a blob by redirect to elsewhere.
func newSecured(t *testing.T, elsewhere string) *secured {
	t.Helper()
	s := &secured{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.mu.Lock()
		s.protos = append(s.protos, req.Proto)
		if len(req.TLS.PeerCertificates) > 0 {
			s.presents++
		}
		s.mu.Unlock()
		if strings.Contains(req.URL.Path, "/blobs/") && elsewhere != "" {
			http.Redirect(w, req, "https://"+elsewhere+req.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		_, _ = w.Write([]byte("{}"))
	}))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	s.host = strings.TrimPrefix(server.URL, "https://")
	s.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return s
}

// write writes a file of a test.
func write(t *testing.T, body []byte, path ...string) string {
	t.Helper()
	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// clientCertificate makes a certificate for a client.
func clientCertificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "anna"},
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// A registry on loopback is found to speak TLS, whichever way its authority is
// made known, and over HTTP/2.
func TestTLS(t *testing.T) {
	s := newSecured(t, "")
	file := write(t, s.ca, t.TempDir(), "ca.pem")
	certs := t.TempDir()
	write(t, s.ca, certs, s.host, "ca.crt")
	for name, o := range map[string]Options{
		"CAFile":   {CAFile: file},
		"CertsDir": {CertsDir: certs},
	} {
		r := open(t, s.host+"/app", o)
		for range 2 {
			if _, err := r.Resolve(t.Context(), "v1"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, proto := range s.protos {
		if proto != "HTTP/2.0" {
			t.Errorf("spoke %s", proto)
		}
	}
	if len(s.protos) != 4 {
		t.Errorf("%d requests", len(s.protos))
	}
	_, err := open(t, s.host+"/app", Options{CertsDir: t.TempDir()}).Resolve(t.Context(), "v1")
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "--tls-ca") {
		t.Errorf("without its authority: %v", err)
	}
	_, err = Open(s.host+"/app", Options{CAFile: write(t, []byte("no PEM"), t.TempDir(), "ca.pem")})
	if !errdefs.IsInvalidArgument(err) {
		t.Errorf("no PEM: %v", err)
	}
}

// A TLS registry on loopback needs no configuration to be told from a plain
// one, and a plain one is still found where certificates are configured.
func TestSchemeOfLoopback(t *testing.T) {
	s := newSecured(t, "")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.ca)
	network := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer network.CloseIdleConnections()
	w := &wire{next: network}
	r := open(t, s.host+"/app", Options{Transport: w})
	for range 3 {
		if _, err := r.Resolve(t.Context(), "v1"); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.take(); got != "GET GET GET GET" {
		t.Errorf("requests: %s", got)
	}

	host, _ := startRegistry(t)
	m := memory{}
	r = open(t, host+"/app", Options{CAFile: write(t, s.ca, t.TempDir(), "ca.pem")})
	manifest := m.manifest(t, nil, m.blob(1000))
	m.push(t, r, manifest, "v1")
	if _, err := r.Resolve(t.Context(), "v1"); err != nil {
		t.Error(err)
	}

	_, err := open(t, s.host+"/app", Options{PlainHTTP: true}).Resolve(t.Context(), "v1")
	if err == nil {
		t.Error("plain HTTP alone was asked for, and TLS was spoken")
	}
}

// Off loopback, a plain registry is not spoken to without being told so.
func TestPlainRegistry(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	r := open(t, "example.test/app", Options{Retries: -1, Transport: &wire{fault: func(req *http.Request) (*http.Response, error) {
		req = req.Clone(req.Context())
		req.URL.Host = strings.TrimPrefix(server.URL, "http://")
		return http.DefaultTransport.RoundTrip(req)
	}}})
	_, err := r.Resolve(t.Context(), "v1")
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "--plain-http") {
		t.Error(err)
	}
}

// A client certificate is shown to its registry, and not to where that
// redirects to.
func TestClientCertificate(t *testing.T) {
	storage := newSecured(t, "")
	s := newSecured(t, storage.host)
	certs := t.TempDir()
	cert, key := clientCertificate(t)
	write(t, s.ca, certs, s.host, "ca.crt")
	write(t, cert, certs, s.host, "client.cert")
	write(t, key, certs, s.host, "client.key")
	r := open(t, s.host+"/app", Options{CertsDir: certs, CAFile: write(t, storage.ca, t.TempDir(), "ca.pem")})
	m := memory{}
	blob := m.add("application/octet-stream", []byte("{}"))
	if got, err := read(t, r, blob); err != nil || !bytes.Equal(got, m[blob.Digest]) {
		t.Fatal(got, err)
	}
	if s.presents != 1 || storage.presents != 0 || len(storage.protos) != 1 {
		t.Errorf("shown to the registry %d times, to the storage %d times of %d", s.presents, storage.presents, len(storage.protos))
	}
	if err := os.Remove(filepath.Join(certs, s.host, "client.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.host+"/app", Options{CertsDir: certs}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a certificate without its key: %v", err)
	}
}
