// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"context"
	"fmt"
	"hash"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Stage is a Store over a source that must not be written to: it reads from
// the source, keeps the small documents that [Convert] writes in memory, and
// passes recompressed layers on. Convert into a Stage, look at the result,
// then [Copy] out of it: until then the destination has no new document, and
// a registry has every blob before the manifest that names it.
//
// Documents and configs read from the source are kept too, so that each is
// fetched once. A Stage is safe for concurrent use.
type Stage struct {
	src    content.Provider
	layers content.Ingester

	mu   sync.Mutex
	docs map[digest.Digest][]byte
	made map[digest.Digest]bool // of docs, those written here
}

// NewStage returns a Stage that reads from src and writes recompressed layers
// into layers, which must be where Copy goes afterwards: they are not read
// back. If layers is nil they are measured and thrown away, as a dry
// run does.
func NewStage(src content.Provider, layers content.Ingester) *Stage {
	if layers == nil {
		layers = discard{}
	}
	return &Stage{src: src, layers: layers, docs: map[digest.Digest][]byte{}, made: map[digest.Digest]bool{}}
}

// small reports whether content of that type is kept in memory.
func small(desc ocispec.Descriptor) bool {
	t, _ := ParseMediaType(desc.MediaType)
	if desc.MediaType == mediaTypeEmptyArtifactPayload {
		return true
	}
	return (isDocument(desc.MediaType) || t.Kind == KindConfig) && desc.Size >= 0 && desc.Size <= maxConfigSize
}

// ReaderAt implements [content.Provider].
func (s *Stage) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	key := desc.Digest
	s.mu.Lock()
	body, ok := s.docs[key]
	s.mu.Unlock()
	if ok {
		return NewReaderAt(body), nil
	}
	if !small(desc) {
		return s.src.ReaderAt(ctx, desc)
	}
	body, err := readVerified(ctx, s.src, desc, maxConfigSize)
	if err != nil {
		return nil, err
	}
	s.keep(key, body)
	return NewReaderAt(body), nil
}

// has reports whether the content was written here: then no place has it that
// the source's content could be linked from.
func (s *Stage) has(d digest.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made[d]
}

func (s *Stage) keep(key digest.Digest, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.docs[key] = body
}

// Writer implements [content.Ingester].
func (s *Stage) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	if o.Desc.Digest == "" || !small(o.Desc) {
		return s.layers.Writer(ctx, opts...)
	}
	w := newMemoryWriter(o.Ref, o.Desc.Digest.Algorithm())
	w.done = func(d digest.Digest, body []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.docs[d], s.made[d] = body, true
	}
	w.body = &bytes.Buffer{}
	return w, nil
}

// Abort removes what an unfinished Writer left where recompressed layers go.
func (s *Stage) Abort(ctx context.Context, ref string) error {
	if m, ok := s.layers.(interface {
		Abort(ctx context.Context, ref string) error
	}); ok {
		return m.Abort(ctx, ref)
	}
	return nil
}

// NewReaderAt reads content that is at hand. It needs no closing.
func NewReaderAt(body []byte) content.ReaderAt { return readerAt{bytes.NewReader(body)} }

type readerAt struct{ *bytes.Reader }

func (readerAt) Close() error { return nil }

// discard is an Ingester that hashes what it is given, and forgets it.
type discard struct{}

func (discard) Writer(_ context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	return newMemoryWriter(o.Ref, digest.Canonical), nil
}

// memoryWriter hashes what is written, and keeps it if body is not nil.
type memoryWriter struct {
	ref   string
	alg   digest.Algorithm
	hash  hash.Hash
	size  int64
	body  *bytes.Buffer
	start time.Time
	done  func(digest.Digest, []byte)
}

func newMemoryWriter(ref string, alg digest.Algorithm) *memoryWriter {
	return &memoryWriter{ref: ref, alg: alg, hash: alg.Hash(), start: time.Now()}
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	w.size += int64(len(p))
	if w.body != nil {
		w.body.Write(p)
	}
	return w.hash.Write(p)
}

func (w *memoryWriter) Close() error { return nil }

func (w *memoryWriter) Digest() digest.Digest {
	return digest.NewDigest(w.alg, w.hash)
}

func (w *memoryWriter) Commit(_ context.Context, size int64, expected digest.Digest, _ ...content.Opt) error {
	if size > 0 && size != w.size || expected != "" && expected != w.Digest() {
		return fmt.Errorf("%w: wrote %d bytes that hash to %s, not %d that hash to %s", ErrCorrupt, w.size, w.Digest(), size, expected)
	}
	if w.done != nil {
		w.done(w.Digest(), w.body.Bytes())
	}
	return nil
}

func (w *memoryWriter) Status() (content.Status, error) {
	return content.Status{Ref: w.ref, Offset: w.size, StartedAt: w.start, UpdatedAt: w.start}, nil
}

func (w *memoryWriter) Truncate(size int64) error {
	if size != 0 {
		return fmt.Errorf("truncate to %d bytes%.0w", size, errdefs.ErrNotImplemented)
	}
	w.size = 0
	w.hash.Reset()
	if w.body != nil {
		w.body.Reset()
	}
	return nil
}
