// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/crypto/bcrypt"
)

// RegistryOptions say which registry to start. The zero value is the CNCF
// distribution v3, open to all, without TLS.
type RegistryOptions struct {
	// V2 starts Debian's docker-registry 2.8 in place of distribution v3.
	V2 bool
	// Users are names with their passwords. With none, nobody has to log in.
	Users map[string]string
	// Token sends users to a token server, in place of asking for their passwords.
	Token bool
	// Readers are those of Users who may only pull. Only a token server knows them.
	Readers []string
	// TLS serves HTTPS with a certificate for 127.0.0.1 and localhost.
	TLS bool
}

// Registry is a running registry. It answers 404 to the referrers API, deletes
// when asked, and takes an index whose children are not there and layers that
// are elsewhere.
type Registry struct {
	*process
	// Addr is its host and port.
	Addr string
	// CA is the file with the certificate authority to trust, when it serves TLS.
	CA string
	// Tokens is its token server, nil for a registry without.
	Tokens *Tokens
	// Data is the folder that its storage is in, laid out as distribution does.
	Data string
}

var registryReady = regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)

// StartRegistry starts a registry that ends with the test.
func StartRegistry(tb TB, o RegistryOptions) *Registry {
	tb.Helper()
	dir := tb.TempDir()
	type object map[string]any
	listen := object{"addr": "127.0.0.1:0"}
	reg := &Registry{Data: filepath.Join(dir, "data")}
	validation := object{"urls": object{"allow": []string{"^https?://"}}}
	config := object{
		"version": "0.1",
		// The address it listens on is told at level info.
		"log": object{"level": "info", "accesslog": object{"disabled": true}},
		"storage": object{
			"filesystem": object{"rootdirectory": reg.Data},
			"delete":     object{"enabled": true},
		},
		"http":       listen,
		"validation": object{"manifests": validation},
	}
	if o.TLS {
		server := newCertificate(tb, dir)
		reg.CA = server.ca
		listen["tls"] = object{"certificate": server.certificate, "key": server.key}
	}
	switch {
	case o.Token:
		reg.Tokens = startTokens(tb, dir, o)
		config["auth"] = object{"token": object{
			"realm": reg.Tokens.realm, "service": tokenService, "issuer": tokenIssuer, "rootcertbundle": reg.Tokens.certificate,
		}}
	case len(o.Users) > 0:
		config["auth"] = object{"htpasswd": object{"realm": "test", "path": writeHtpasswd(tb, dir, o.Users)}}
	}
	program := "registry"
	if o.V2 {
		program = "debian/usr/bin/docker-registry"
	} else {
		validation["indexes"] = object{"platforms": "none"}
	}

	// YAML is a superset of JSON.
	document, err := json.Marshal(config)
	if err != nil {
		tb.Fatalf("registry: %v", err)
	}
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, document, 0o600); err != nil {
		tb.Fatalf("registry: %v", err)
	}
	var match []string
	reg.process, match = start(tb, daemon{
		path:  Binary(tb, program),
		args:  []string{"serve", file},
		env:   []string{"HOME=" + dir, "OTEL_TRACES_EXPORTER=none"},
		ready: registryReady,
	})
	reg.Addr = match[0]
	return reg
}

// Ref is the name of an image in the registry: `app:1` gives `127.0.0.1:PORT/app:1`.
func (r *Registry) Ref(name string) string { return r.Addr + "/" + name }

// URL is the registry's root, without a slash at its end.
func (r *Registry) URL() string {
	if r.CA != "" {
		return "https://" + r.Addr
	}
	return "http://" + r.Addr
}

func writeHtpasswd(tb TB, dir string, users map[string]string) string {
	tb.Helper()
	var lines []byte
	for name, password := range users {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			tb.Fatalf("registry: %v", err)
		}
		lines = fmt.Appendf(lines, "%s:%s\n", name, hash)
	}
	file := filepath.Join(dir, "htpasswd")
	if err := os.WriteFile(file, lines, 0o600); err != nil {
		tb.Fatalf("registry: %v", err)
	}
	return file
}
