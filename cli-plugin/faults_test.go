// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/integration/scripts"
)

// faults are registries that are broken in one way.
var faults = map[string]http.HandlerFunc{
	"401":     refuse(http.StatusUnauthorized, "UNAUTHORIZED", "authentication required"),
	"403":     refuse(http.StatusForbidden, "DENIED", "requested access to the resource is denied"),
	"429":     refuse(http.StatusTooManyRequests, "TOOMANYREQUESTS", "you have reached your pull rate limit"),
	"hostile": refuse(http.StatusForbidden, "DENIED", "\x1b[2Jno\nsuch"),
	// One that is short of room, and says so to everyone.
	"warning": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Warning", `299 - "the disk is nearly full"`)
		w.WriteHeader(http.StatusNotFound)
	},
	// Another manifest than the digest that was asked for.
	"mismatch": func(w http.ResponseWriter, r *http.Request) {
		_, ref, _ := strings.Cut(r.URL.Path, "/manifests/")
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		if digest.Digest(ref).Validate() == nil {
			w.Header().Set("Docker-Content-Digest", ref)
		}
		fmt.Fprint(w, `{"schemaVersion":2}`)
	},
}

// refuse answers everything with one of the distribution specification's errors.
func refuse(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		}
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "3600")
		}
		w.WriteHeader(status)
		body, _ := json.Marshal(map[string]any{"errors": []any{map[string]string{"code": code, "message": message}}})
		_, _ = w.Write(body)
	}
}

// serveFault starts a registry with the fault, and returns its host.
func serveFault(s scripts.Scope, fault http.HandlerFunc) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" && r.Method == http.MethodGet {
			w.WriteHeader(http.StatusOK)
			return
		}
		fault(w, r)
	}))
	s.Cleanup(server.CloseClientConnections)
	s.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}
