// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Secured is an engine behind TLS, for clients that show a certificate.
type Secured struct {
	// Host is its address, as DOCKER_HOST takes it: tcp://127.0.0.1:…
	Host string
	// Certificates is a folder as DOCKER_CERT_PATH names one, with ca.pem,
	// cert.pem and key.pem.
	Certificates string
}

// Secure makes the engine reachable through TLS until the test ends. It does
// what `dockerd --tlsverify` does, which takes no port that the kernel chooses.
func (d *Dockerd) Secure(tb TB) Secured {
	tb.Helper()
	dir := tb.TempDir()
	files := newCertificate(tb, dir)
	must := func(err error) {
		if err != nil {
			tb.Fatalf("dockerd behind TLS: %v", err)
		}
	}
	must(os.Rename(files.certificate, filepath.Join(dir, "cert.pem")))
	must(os.Rename(files.key, filepath.Join(dir, "key.pem")))
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	must(err)
	authority, err := os.ReadFile(files.ca)
	must(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12,
	})
	must(err)
	tb.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // the test has ended
			}
			go join(client, strings.TrimPrefix(d.Host, "unix://"))
		}
	}()
	return Secured{Host: "tcp://" + listener.Addr().String(), Certificates: dir}
}

// join connects a client with a socket until one of them has ended.
func join(client net.Conn, socket string) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("unix", socket) //nolint:noctx // it ends with the client
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}
