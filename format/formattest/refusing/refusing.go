// SPDX-License-Identifier: Apache-2.0

// Package refusing is a registry in memory that refuses on push what a profile
// says that its target refuses, with the target's own status and error. What
// it refuses it finds out by itself, with nothing of the engine: so it can judge
// what the engine makes.
package refusing

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/format"
)

// Registry is an http.Handler with the part of the distribution API that
// clients push and pull with.
type Registry struct {
	profile format.Profile

	mu        sync.Mutex
	uploads   map[string][]byte
	blobs     map[digest.Digest][]byte
	manifests map[string]stored // by "REPOSITORY@DIGEST" and "REPOSITORY:TAG"
	refusals  []string
	next      int
}

type stored struct {
	mediaType string
	body      []byte
}

// New returns an empty registry that is as particular as the target of p.
func New(p format.Profile) *Registry {
	return &Registry{profile: p, uploads: map[string][]byte{}, blobs: map[digest.Digest][]byte{}, manifests: map[string]stored{}}
}

// Refusals are the ids of the rules for which something was refused, in order.
func (r *Registry) Refusals() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.refusals...)
}

// maxBody is as much of a request as is read.
const maxBody = 64 << 20

// ServeHTTP implements [http.Handler].
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		fail(w, http.StatusRequestEntityTooLarge, "SIZE_INVALID", err.Error())
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	path, ok := strings.CutPrefix(req.URL.Path, "/v2/")
	switch {
	case ok && path == "":
		w.WriteHeader(http.StatusOK)
	case strings.Contains(path, "/blobs/uploads/"):
		r.upload(w, req, body)
	case strings.Contains(path, "/blobs/"):
		_, d, _ := strings.Cut(path, "/blobs/")
		blob, found := r.blobs[digest.Digest(d)]
		serve(w, req, stored{"application/octet-stream", blob}, found, "BLOB_UNKNOWN")
	case strings.Contains(path, "/manifests/") && req.Method == http.MethodPut:
		name, reference, _ := strings.Cut(path, "/manifests/")
		r.put(w, req, name, reference, body)
	case strings.Contains(path, "/manifests/"):
		name, reference, _ := strings.Cut(path, "/manifests/")
		m, found := r.manifests[key(name, reference)]
		serve(w, req, m, found, "MANIFEST_UNKNOWN")
	default:
		fail(w, http.StatusNotFound, "NOT_FOUND", "not found")
	}
}

// key is how a manifest is stored under a tag or a digest.
func key(name, reference string) string {
	if digest.Digest(reference).Validate() == nil {
		return name + "@" + reference
	}
	return name + ":" + reference
}

func serve(w http.ResponseWriter, req *http.Request, content stored, found bool, code string) {
	if !found {
		fail(w, http.StatusNotFound, code, "not found")
		return
	}
	w.Header().Set("Content-Type", content.mediaType)
	w.Header().Set("Content-Length", fmt.Sprint(len(content.body)))
	w.Header().Set("Docker-Content-Digest", digest.FromBytes(content.body).String())
	if req.Method == http.MethodGet {
		_, _ = w.Write(content.body)
	}
}

// fail answers as the distribution specification has it.
func fail(w http.ResponseWriter, status int, code, message string) {
	body, _ := json.Marshal(map[string]any{"errors": []any{map[string]string{"code": code, "message": message}}})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// upload takes a blob: at once, in one piece after a POST, or in several.
func (r *Registry) upload(w http.ResponseWriter, req *http.Request, body []byte) {
	path := req.URL.Path
	if req.Method == http.MethodPost {
		r.next++
		path += fmt.Sprint(r.next)
	}
	whole := append(r.uploads[path], body...)
	r.uploads[path] = whole
	d := digest.Digest(req.URL.Query().Get("digest"))
	if d == "" {
		w.Header().Set("Location", path)
		w.Header().Set("Range", fmt.Sprintf("0-%d", max(len(whole)-1, 0)))
		w.WriteHeader(http.StatusAccepted)
		return
	}
	delete(r.uploads, path)
	if d.Validate() != nil || d.Algorithm().FromBytes(whole) != d {
		fail(w, http.StatusBadRequest, "DIGEST_INVALID", "provided digest did not match uploaded content")
		return
	}
	r.blobs[d] = whole
	name, _, _ := strings.Cut(path, "/blobs/")
	w.Header().Set("Location", name+"/blobs/"+d.String())
	w.WriteHeader(http.StatusCreated)
}

// fallback is the tag of an index of referrers where a registry has no API for
// them.
var fallback = regexp.MustCompile(`^sha256-[0-9a-f]{64}$`)

// put stores a manifest, if the target would.
func (r *Registry) put(w http.ResponseWriter, req *http.Request, name, reference string, body []byte) {
	mediaType := req.Header.Get("Content-Type")
	there := func(d digest.Digest) bool { _, ok := r.manifests[key(name, d.String())]; return ok }
	rule := refusal(r.profile, mediaType, body, there)
	if r.profile.Kind == format.KindService && fallback.MatchString(reference) {
		rule = "" // a service reads the image, and not what refers to it
	}
	if rule != "" {
		r.refusals = append(r.refusals, rule)
		a := answerOf(r.profile, rule)
		fail(w, a.status, a.code, a.message)
		return
	}
	d := digest.FromBytes(body)
	m := stored{mediaType, body}
	r.manifests[key(name, d.String())] = m
	r.manifests[key(name, reference)] = m
	w.Header().Set("Docker-Content-Digest", d.String())
	w.WriteHeader(http.StatusCreated)
}

// answer is what a client is told.
type answer struct {
	status        int
	code, message string
}

// answers are the status and code of targets that are known to use others than
// 400 MANIFEST_INVALID. Each is in the profile's own facts.
var answers = map[string]answer{
	"aws-ecr":         {status: http.StatusMethodNotAllowed, code: "UNSUPPORTED"},
	"heroku-registry": {status: http.StatusMethodNotAllowed, code: "UNSUPPORTED"},
	"heroku":          {status: http.StatusMethodNotAllowed, code: "UNSUPPORTED"},
	"zot":             {status: http.StatusUnsupportedMediaType, code: "MANIFEST_INVALID"},
	"alibaba-acr":     {status: http.StatusForbidden, code: "DENIED"},
}

func answerOf(p format.Profile, rule string) answer {
	a, ok := answers[p.Name]
	if !ok {
		a = answer{status: http.StatusBadRequest, code: "MANIFEST_INVALID"}
	}
	a.message = "manifest invalid: " + rule
	for _, f := range p.Facts {
		if f.About == rule && f.Error != "" {
			a.message = f.Error
			break
		}
	}
	return a
}
