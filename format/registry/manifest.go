// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/manifest-format/manifest-format/format"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// maxPages bounds a list that a registry would go on for ever.
	maxPages = 10_000
	// maxReferrerPages does so for referrers, of which a page is larger: up to
	// maxDocument, as an index of the tag schema.
	maxReferrerPages = 1000
	// maxReferrers and maxReferrersSize are as much as is kept of them.
	maxReferrers     = 10_000
	maxReferrersSize = 16 * maxDocument
)

// PutRoot puts a manifest or an index under each of refs, tags or its own
// digest, and by digest if there is none. The registry refuses it if something
// that it names is not there. A manifest with a subject becomes one of its
// referrers, through the tag schema if the registry has no referrers API;
// writers of one process do not lose one another's there, those of two may:
// a tag has no lock. Idempotent.
func (r *Repository) PutRoot(ctx context.Context, desc ocispec.Descriptor, body []byte, refs ...string) error {
	name := r.named(desc.Digest.String())
	if err := desc.Digest.Validate(); err != nil {
		return &Error{Ref: r.Name(), Text: fmt.Sprintf("%q is no digest", desc.Digest), class: errdefs.ErrInvalidArgument, cause: err}
	}
	if int64(len(body)) != desc.Size {
		return r.corrupt(name, "the content is %d bytes, not %d", len(body), desc.Size)
	}
	if got := desc.Digest.Algorithm().FromBytes(body); got != desc.Digest {
		return r.corrupt(name, "the content's digest is %s", got)
	}
	if desc.Size > maxDocument {
		return &Error{Ref: name, Text: fmt.Sprintf("larger than %d bytes", maxDocument), class: format.ErrTooLarge}
	}
	defer lockSubject(r.Name(), body)()
	if len(refs) == 0 {
		refs = []string{desc.Digest.String()}
	}
	for _, ref := range refs {
		if ref != desc.Digest.String() && !r.isTag(ref) {
			return &Error{Ref: r.Name(), Text: fmt.Sprintf("%q is no tag", ref), class: errdefs.ErrInvalidArgument}
		}
	}
	for _, ref := range refs {
		if err := r.oras.PushReference(ctx, desc, bytes.NewReader(body), ref); err != nil {
			return r.fail(r.named(ref), "repository", err)
		}
	}
	return nil
}

// subjects has a lock per subject that this process writes referrers of, so
// that two Repositories do not both add to the index that each has read.
var subjects struct {
	sync.Mutex
	known map[string]*sync.Mutex
}

// lockSubject locks the subject of a document, if it has one, and returns what
// unlocks it.
func lockSubject(name string, body []byte) (unlock func()) {
	var doc struct {
		Subject *struct {
			Digest digest.Digest `json:"digest"`
		} `json:"subject"`
	}
	if json.Unmarshal(body, &doc) != nil || doc.Subject == nil {
		return func() {}
	}
	key := name + "@" + doc.Subject.Digest.String()
	subjects.Lock()
	if subjects.known == nil {
		subjects.known = map[string]*sync.Mutex{}
	}
	lock, ok := subjects.known[key]
	if !ok {
		lock = new(sync.Mutex)
		subjects.known[key] = lock
	}
	subjects.Unlock()
	lock.Lock()
	return lock.Unlock
}

// Referrers returns the manifests whose subject is desc, from the referrers
// API or else the tag schema; none is no error. More than 10,000 of them, or
// more than 64 MiB, are of class ErrResourceExhausted.
func (r *Repository) Referrers(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var all []ocispec.Descriptor
	ref, size := r.named(desc.Digest.String()), 0
	err := r.oras.Referrers(ctx, desc, "", func(page []ocispec.Descriptor) error {
		if len(all)+len(page) > maxReferrers {
			return &Error{Ref: ref, Text: fmt.Sprintf("more than %d referrers", maxReferrers), class: errdefs.ErrResourceExhausted}
		}
		for _, d := range page {
			size += textSize(d)
		}
		if size > maxReferrersSize {
			return &Error{Ref: ref, Text: fmt.Sprintf("more than %d bytes of referrers", maxReferrersSize), class: errdefs.ErrResourceExhausted}
		}
		all = append(all, page...)
		return nil
	})
	if err != nil {
		return nil, r.fail(ref, "repository", err)
	}
	return all, nil
}

// textSize returns the size of what is of any length in a descriptor.
func textSize(d ocispec.Descriptor) int {
	n := len(d.MediaType) + len(d.ArtifactType) + len(d.Digest) + len(d.Data)
	for key, value := range d.Annotations {
		n += len(key) + len(value)
	}
	for _, u := range d.URLs {
		n += len(u)
	}
	return n
}

// Tags returns the repository's tags in the registry's order.
func (r *Repository) Tags(ctx context.Context) ([]string, error) {
	var all []string
	err := r.oras.Tags(ctx, "", func(page []string) error {
		all = append(all, page...)
		return nil
	})
	if err != nil {
		return nil, r.fail(r.Name(), "repository", err)
	}
	return all, nil
}
