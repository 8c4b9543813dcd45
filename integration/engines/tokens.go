// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// tokenService and tokenIssuer are agreed on between a registry and its token server.
	tokenService = "registry"
	tokenIssuer  = "tokens"
	// tokenLife is short, so that nothing works for longer than it should.
	tokenLife = time.Minute
)

// Tokens is the token server of a registry: it runs in the test's own process.
// It answers both ways of asking, GET with a password and OAuth2's POST.
// https://distribution.github.io/distribution/spec/auth/
type Tokens struct {
	realm       string
	certificate string // file with what signed its tokens
	users       map[string]string
	readers     []string
	key         *ecdsa.PrivateKey
	chain       string

	mu     sync.Mutex
	grants []Grant
}

// Grant is a token that was given out.
type Grant struct {
	// Method is GET or POST.
	Method string
	// User is empty for nobody.
	User string
	// Scopes are as they were granted: repository:NAME:pull,push.
	Scopes []string
}

// Grants lists all tokens that were given out.
func (s *Tokens) Grants() []Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.grants)
}

// startTokens starts the token server of a registry, for its users.
func startTokens(tb TB, dir string, o RegistryOptions) *Tokens {
	tb.Helper()
	s := &Tokens{users: o.Users, readers: o.Readers, certificate: filepath.Join(dir, "tokens.pem")}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at cleanup
	if err == nil {
		err = s.makeKey()
	}
	if err != nil {
		tb.Fatalf("token server: %v", err)
	}
	s.realm = "http://" + listener.Addr().String() + "/token"
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	tb.Cleanup(func() { _ = server.Close() })
	return s
}

// makeKey makes the key that signs tokens, and a certificate for the registry to know it by.
func (s *Tokens) makeKey() (err error) {
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: tokenIssuer},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, s.key.Public(), s.key)
	if err != nil {
		return err
	}
	s.chain = base64.StdEncoding.EncodeToString(der)
	return os.WriteFile(s.certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

// ServeHTTP answers a request for a token.
func (s *Tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, ok := s.authenticate(r)
	if r.URL.Path != "/token" || r.FormValue("service") != tokenService || !ok {
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"the test refuses"}]}`, http.StatusUnauthorized)
		return
	}
	grant := Grant{Method: r.Method, User: user}
	access := []scope{}
	for _, list := range r.Form["scope"] {
		for text := range strings.FieldsSeq(list) {
			if granted, ok := s.authorize(user, text); ok {
				access = append(access, granted)
				grant.Scopes = append(grant.Scopes, granted.String())
			}
		}
	}
	token, err := s.sign(user, access)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.mu.Lock()
	s.grants = append(s.grants, grant)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"token": token, "access_token": token,
		"expires_in": int(tokenLife.Seconds()), "issued_at": time.Now().UTC().Format(time.RFC3339),
	})
}

// authenticate finds out who asks. Nobody may ask too, and gets nothing.
func (s *Tokens) authenticate(r *http.Request) (user string, ok bool) {
	if user, password, basic := r.BasicAuth(); basic {
		return user, password != "" && s.users[user] == password
	}
	if r.Method != http.MethodPost {
		return "", true
	}
	user, password := r.FormValue("username"), r.FormValue("password")
	return user, r.FormValue("grant_type") == "password" && password != "" && s.users[user] == password
}

// scope is what a token lets its bearer do.
type scope struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

func (s scope) String() string {
	return s.Type + ":" + s.Name + ":" + strings.Join(s.Actions, ",")
}

// authorize grants of a scope what the user may.
func (s *Tokens) authorize(user, text string) (scope, bool) {
	first, last := strings.Index(text, ":"), strings.LastIndex(text, ":")
	if first == last || user == "" {
		return scope{}, false
	}
	granted := scope{Type: text[:first], Name: text[first+1 : last]}
	for action := range strings.SplitSeq(text[last+1:], ",") {
		if action == "pull" || !slices.Contains(s.readers, user) {
			granted.Actions = append(granted.Actions, action)
		}
	}
	return granted, len(granted.Actions) > 0
}

// sign makes a JSON Web Token of ES256: RFC 7515, RFC 7518.
func (s *Tokens) sign(user string, access []scope) (string, error) {
	now := time.Now()
	var parts []string
	for _, part := range []map[string]any{
		{"typ": "JWT", "alg": "ES256", "x5c": []string{s.chain}},
		{
			"iss": tokenIssuer, "sub": user, "aud": tokenService, "jti": rand.Text(), "access": access,
			"exp": now.Add(tokenLife).Unix(), "nbf": now.Add(-tokenLife).Unix(), "iat": now.Unix(),
		},
	} {
		body, err := json.Marshal(part)
		if err != nil {
			return "", fmt.Errorf("token: %w", err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(body))
	}
	signed := strings.Join(parts, ".")
	sum := sha256.Sum256([]byte(signed))
	x, y, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	signature := append(x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
