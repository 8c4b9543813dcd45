// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// dockerCertsDir is where docker has certificates per registry:
// https://docs.docker.com/engine/security/certificates/.
const dockerCertsDir = "/etc/docker/certs.d"

// transport is everything below authentication: retries, warnings, the
// scheme of a loopback registry, and a network of which each host sees its own
// certificates only.
type transport struct {
	host   string
	retry  *retry.Transport
	warn   func(string)
	warned sync.Map // text of a warning to struct{}
}

// newTransport returns the transport for a registry host, and whether its
// requests are to be made for plain HTTP.
func newTransport(host string, o Options) (http.RoundTripper, bool, error) {
	network := o.Transport
	trusted := o.CAFile != ""
	if network == nil {
		n := &hostNetwork{caFile: o.CAFile, certsDir: o.CertsDir}
		if n.certsDir == "" {
			n.certsDir = dockerCertsDir
		}
		if _, err := n.of(host); err != nil {
			return nil, false, err
		}
		trusted = trusted || n.certsOf(host) != ""
		network = n
	}
	plain := o.PlainHTTP
	if !plain && isLoopback(host) {
		plain = !trusted
		network = newSchemeFinder(host, plain, network)
	}
	return &transport{
		host:  host,
		retry: newRetryPolicy(host, o).transport(interruptible{newAttentive(network, o)}),
		warn:  o.Warn,
	}, plain, nil
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var next http.RoundTripper = t.retry
	if isOnce(req.Context()) {
		next = t.retry.Base
	}
	resp, err := next.RoundTrip(req)
	if err == nil && t.warn != nil && req.URL.Host == t.host {
		for _, header := range resp.Header.Values("Warning") {
			t.report(header)
		}
	}
	return resp, err
}

// interruptible makes the error of a request that its caller gave up the
// context's. net/http returns the cause of the cancellation, which may be the
// failure of another request, and looks like a broken connection.
type interruptible struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (t interruptible) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil && req.Context().Err() != nil {
		return nil, req.Context().Err()
	}
	return resp, err
}

// report passes on a warning of the form that the distribution spec allows,
// `299 - "TEXT"`, the first time that it is seen.
func (t *transport) report(header string) {
	quoted, ok := strings.CutPrefix(header, "299 - ")
	if !ok {
		return
	}
	text, err := strconv.Unquote(quoted)
	if err != nil {
		return
	}
	if _, again := t.warned.LoadOrStore(text, struct{}{}); !again {
		t.warn(t.host + ": " + oneLine(text))
	}
}

// schemeFinder finds out which of HTTP and HTTPS a loopback registry speaks,
// from how it takes the first request, so that no request is made to ask.
type schemeFinder struct {
	host  string
	next  http.RoundTripper
	other string       // the scheme that requests are not made for
	state atomic.Int32 // of the scheme* values
}

const (
	schemeUnknown int32 = iota
	schemeAsMade
	schemeOther
)

// newSchemeFinder returns a finder for requests made for plain HTTP or not.
func newSchemeFinder(host string, plain bool, next http.RoundTripper) *schemeFinder {
	f := &schemeFinder{host: host, next: next, other: "http"}
	if plain {
		f.other = "https"
	}
	return f
}

// RoundTrip implements [http.RoundTripper].
func (f *schemeFinder) RoundTrip(req *http.Request) (*http.Response, error) {
	state := f.state.Load()
	if req.URL.Host != f.host || req.URL.Scheme == f.other || state == schemeAsMade {
		return f.next.RoundTrip(req)
	}
	if state == schemeOther {
		return f.inOther(req, req.Body)
	}
	resp, err := f.next.RoundTrip(req)
	if !wrongScheme(resp, err) {
		if err == nil {
			f.state.Store(schemeAsMade)
		}
		return resp, err
	}
	body := req.Body
	if body != nil && body != http.NoBody {
		if req.GetBody == nil {
			return resp, err
		}
		var bodyErr error
		if body, bodyErr = req.GetBody(); bodyErr != nil {
			return resp, err
		}
	}
	second, secondErr := f.inOther(req, body)
	if secondErr != nil && wrongScheme(second, secondErr) {
		return resp, err // it was no matter of schemes
	}
	if resp != nil {
		resp.Body.Close()
	}
	if secondErr == nil {
		f.state.Store(schemeOther)
	}
	return second, secondErr
}

// inOther sends req in the other scheme. To those above it stays a request in
// the first, to the same origin.
func (f *schemeFinder) inOther(req *http.Request, body io.ReadCloser) (*http.Response, error) {
	other := req.Clone(req.Context())
	other.URL.Scheme = f.other
	other.Body = body
	resp, err := f.next.RoundTrip(other)
	if err == nil {
		resp.Request = req
	}
	return resp, err
}

// wrongScheme tells the answer of a server that was spoken to in the wrong
// scheme: over TLS, what is no TLS record; in plain HTTP, 400 or no HTTP.
func wrongScheme(resp *http.Response, err error) bool {
	if err == nil {
		return resp.StatusCode == http.StatusBadRequest && resp.TLS == nil
	}
	var record tls.RecordHeaderError
	var op *net.OpError
	if errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch) {
		return true
	}
	return !permanent(err) && !(errors.As(err, &op) && op.Op == "dial")
}

// isLoopback reports whether host, with or without a port, is this machine.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}

// hostNetwork sends each request through the network of its host, so that a
// client certificate is shown to the registry alone and not to the storage it
// redirects to.
type hostNetwork struct {
	caFile   string
	certsDir string // empty: no certificates of hosts
}

// RoundTrip implements [http.RoundTripper].
func (n *hostNetwork) RoundTrip(req *http.Request) (*http.Response, error) {
	t, err := n.of(req.URL.Host)
	if err != nil {
		return nil, err
	}
	return t.RoundTrip(req)
}

// networkKey is what a network depends on.
type networkKey struct{ caFile, certs string }

// networks has one network per set of certificates for the whole process, as
// net/http has one: the two repositories of a conversion share connections.
var networks struct {
	sync.Mutex
	known map[networkKey]*http.Transport
}

// certsOf returns the directory of a host's certificates, if it has one.
func (n *hostNetwork) certsOf(host string) string {
	if n.certsDir == "" || !filepath.IsLocal(host) {
		return ""
	}
	dir := filepath.Join(n.certsDir, host)
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

// of returns the network for host.
func (n *hostNetwork) of(host string) (*http.Transport, error) {
	key := networkKey{caFile: n.caFile, certs: n.certsOf(host)}
	networks.Lock()
	defer networks.Unlock()
	if t, ok := networks.known[key]; ok {
		return t, nil
	}
	config, err := newTLSConfig(key)
	if err != nil {
		return nil, err
	}
	t := newNetwork(config)
	if networks.known == nil {
		networks.known = map[networkKey]*http.Transport{}
	}
	networks.known[key] = t
	return t, nil
}

// newNetwork returns a transport for large bodies to few hosts. Its timeouts
// are for silence; a registry may take minutes to commit a large blob.
func newNetwork(config *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if tcp, ok := conn.(*net.TCPConn); ok {
				return bulkConn{tcp}, nil
			}
			return conn, err
		},
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   20 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		ResponseHeaderTimeout: 10 * time.Minute,
		ReadBufferSize:        64 << 10,
		WriteBufferSize:       64 << 10,
		DisableCompression:    true,
	}
}

// newTLSConfig reads certificates.
func newTLSConfig(key networkKey) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	var files []string
	if key.caFile != "" {
		files = append(files, key.caFile)
	}
	if key.certs != "" {
		authorities, err := filepath.Glob(filepath.Join(key.certs, "*.crt"))
		if err != nil {
			return nil, err
		}
		files = append(files, authorities...)
	}
	for _, file := range files {
		if err := trust(config, file); err != nil {
			return nil, err
		}
	}
	if key.certs == "" {
		return config, nil
	}
	certs, err := filepath.Glob(filepath.Join(key.certs, "*.cert"))
	if err != nil {
		return nil, err
	}
	for _, file := range certs {
		pair, err := tls.LoadX509KeyPair(file, strings.TrimSuffix(file, ".cert")+".key")
		if err != nil {
			return nil, fmt.Errorf("client certificate %s: %w%.0w", file, err, errdefs.ErrInvalidArgument)
		}
		config.Certificates = append(config.Certificates, pair)
	}
	return config, nil
}

// trust adds the authorities of a PEM file to those of the system.
func trust(config *tls.Config, file string) error {
	pem, err := os.ReadFile(file)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return fmt.Errorf("certificate authority %s: %w%.0w", file, err, errdefs.ErrInvalidArgument)
	}
	if config.RootCAs == nil {
		if config.RootCAs, err = x509.SystemCertPool(); err != nil {
			return fmt.Errorf("the system's certificate authorities: %w", err)
		}
	}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("certificate authority %s: no PEM certificate in it%.0w", file, errdefs.ErrInvalidArgument)
	}
	return nil
}

// bulkConn writes bodies in large pieces. net/http's are of 32 KiB: between two
// registries on one machine, pieces of 1 MiB cost a third less CPU.
type bulkConn struct{ *net.TCPConn }

const bulkPiece = 1 << 20

// bulkBuffers has the pieces.
var bulkBuffers sync.Pool

// ReadFrom implements [io.ReaderFrom].
func (c bulkConn) ReadFrom(r io.Reader) (int64, error) {
	buf, ok := bulkBuffers.Get().(*[bulkPiece]byte)
	if !ok {
		buf = new([bulkPiece]byte)
	}
	defer bulkBuffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{c.TCPConn}, r, buf[:])
}
