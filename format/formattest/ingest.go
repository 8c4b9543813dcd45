// SPDX-License-Identifier: Apache-2.0

package formattest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// Writer implements [content.Ingester].
func (s *Store) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	if o.Ref == "" {
		return nil, fmt.Errorf("a writer needs a ref: %w", errdefs.ErrInvalidArgument)
	}
	if err := s.called(Call{Op: OpWriter, Digest: o.Desc.Digest, Ref: o.Ref}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.blobs[o.Desc.Digest]; ok {
		return nil, fmt.Errorf("blob %s: %w", o.Desc.Digest, errdefs.ErrAlreadyExists)
	}
	in := s.ingests[o.Ref]
	if in == nil {
		now := time.Now()
		in = &ingest{status: content.Status{Ref: o.Ref, StartedAt: now, UpdatedAt: now}}
		s.ingests[o.Ref] = in
	}
	if in.open {
		return nil, fmt.Errorf("ref %q is being written: %w", o.Ref, errdefs.ErrUnavailable)
	}
	in.open = true
	in.status.Total = max(o.Desc.Size, 0)
	in.status.Expected = o.Desc.Digest
	return &writer{store: s, ingest: in, ref: o.Ref, expected: o.Desc.Digest}, nil
}

// Status implements [content.IngestManager].
func (s *Store) Status(_ context.Context, ref string) (content.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in, ok := s.ingests[ref]
	if !ok {
		return content.Status{}, fmt.Errorf("ingestion %q: %w", ref, errdefs.ErrNotFound)
	}
	return in.status, nil
}

// ListStatuses implements [content.IngestManager]; a filter is a regular
// expression on refs.
func (s *Store) ListStatuses(_ context.Context, fs ...string) ([]content.Status, error) {
	var patterns []*regexp.Regexp
	for _, f := range fs {
		pattern, err := regexp.Compile(f)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, pattern)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var statuses []content.Status
	for _, ref := range slices.Sorted(maps.Keys(s.ingests)) {
		matches := func(p *regexp.Regexp) bool { return p.MatchString(ref) }
		if len(patterns) == 0 || slices.ContainsFunc(patterns, matches) {
			statuses = append(statuses, s.ingests[ref].status)
		}
	}
	return statuses, nil
}

// Abort implements [content.IngestManager].
func (s *Store) Abort(_ context.Context, ref string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.ingests[ref]; !ok {
		return fmt.Errorf("ingestion %q: %w", ref, errdefs.ErrNotFound)
	}
	delete(s.ingests, ref)
	return nil
}

type writer struct {
	store    *Store
	ref      string
	expected digest.Digest

	ingest *ingest       // nil once closed or committed; guarded by store.mu
	dgst   digest.Digest // once committed; guarded by store.mu
}

func (w *writer) Write(p []byte) (int, error) {
	if err := w.store.called(Call{Op: OpWrite, Digest: w.expected, Ref: w.ref}); err != nil {
		return 0, err
	}
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if w.ingest == nil {
		return 0, fmt.Errorf("writer of %q is closed: %w", w.ref, errdefs.ErrFailedPrecondition)
	}
	w.ingest.body = append(w.ingest.body, p...)
	w.ingest.moved()
	return len(p), nil
}

func (in *ingest) moved() {
	in.status.Offset = int64(len(in.body))
	in.status.UpdatedAt = time.Now()
}

func (w *writer) Digest() digest.Digest {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if w.ingest == nil {
		return w.dgst
	}
	return digest.FromBytes(w.ingest.body)
}

func (w *writer) Status() (content.Status, error) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if w.ingest == nil {
		return content.Status{}, fmt.Errorf("writer of %q is closed: %w", w.ref, errdefs.ErrFailedPrecondition)
	}
	return w.ingest.status, nil
}

func (w *writer) Truncate(size int64) error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if w.ingest == nil || size < 0 || size > int64(len(w.ingest.body)) {
		return fmt.Errorf("cannot truncate %q to %d: %w", w.ref, size, errdefs.ErrFailedPrecondition)
	}
	w.ingest.body = w.ingest.body[:size]
	w.ingest.moved()
	return nil
}

func (w *writer) Close() error {
	w.release()
	return nil
}

// release lets another writer take up the ingestion.
func (w *writer) release() {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if w.ingest != nil {
		w.ingest.open = false
		w.ingest = nil
	}
}

// Commit makes the bytes readable. A failed one leaves the ingestion to be
// resumed or aborted, except where the content is there already.
func (w *writer) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	defer w.release()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.store.called(Call{Op: OpCommit, Digest: cmp.Or(expected, w.expected), Ref: w.ref}); err != nil {
		return err
	}
	var info content.Info
	for _, opt := range opts {
		if err := opt(&info); err != nil {
			return err
		}
	}
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if w.ingest == nil {
		return fmt.Errorf("writer of %q is closed: %w", w.ref, errdefs.ErrFailedPrecondition)
	}
	body := w.ingest.body
	if size > 0 && size != int64(len(body)) {
		return fmt.Errorf("%q has %d bytes, expected %d: %w", w.ref, len(body), size, errdefs.ErrFailedPrecondition)
	}
	dgst := digest.FromBytes(body)
	if expected != "" {
		if err := expected.Validate(); err != nil {
			return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
		}
		dgst = expected.Algorithm().FromBytes(body)
	}
	if expected != "" && dgst != expected {
		return fmt.Errorf("%q is %s, expected %s: %w", w.ref, dgst, expected, errdefs.ErrFailedPrecondition)
	}
	w.store.writes[dgst]++
	w.dgst = dgst
	delete(w.store.ingests, w.ref)
	if _, ok := w.store.blobs[dgst]; ok {
		return fmt.Errorf("blob %s: %w", dgst, errdefs.ErrAlreadyExists)
	}
	w.store.blobs[dgst] = newBlob(dgst, body, info.Labels)
	return nil
}
