// SPDX-License-Identifier: Apache-2.0

package formattest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/filters"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Op is something that is done with a [Store].
type Op string

const (
	// OpReader opens a blob.
	OpReader Op = "reader"
	// OpRead reads from an open blob.
	OpRead Op = "read"
	// OpWriter starts an ingestion.
	OpWriter Op = "writer"
	// OpWrite adds bytes to an ingestion.
	OpWrite Op = "write"
	// OpCommit ends an ingestion.
	OpCommit Op = "commit"
)

// Call is one use of a [Store].
type Call struct {
	Op Op
	// Digest is the blob's, empty where it is not known yet.
	Digest digest.Digest
	// Ref names the ingestion, empty for reads.
	Ref string
}

// Store is a content store in memory. It verifies what is committed, counts
// reads and writes of each digest, and fails when told to. It is safe for
// concurrent use, and behaves as containerd's own stores do: see the test that
// runs containerd's suite over it.
type Store struct {
	mu      sync.Mutex
	blobs   map[digest.Digest]*blob
	ingests map[string]*ingest
	reads   map[digest.Digest]int
	writes  map[digest.Digest]int
	readers int
	hook    func(Call) error
}

type blob struct {
	body []byte
	info content.Info
}

type ingest struct {
	status content.Status
	body   []byte
	open   bool
}

var _ content.Store = (*Store)(nil)

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{
		blobs:   map[digest.Digest]*blob{},
		ingests: map[string]*ingest{},
		reads:   map[digest.Digest]int{},
		writes:  map[digest.Digest]int{},
	}
}

// Put stores body, uncounted, and returns a descriptor of it.
func (s *Store) Put(mediaType string, body []byte) ocispec.Descriptor {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	s.PutAs(desc.Digest, body)
	return desc
}

// PutAs stores body, uncounted, under a digest that need not be its own: it is
// how a test makes content corrupt.
func (s *Store) PutAs(dgst digest.Digest, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[dgst] = newBlob(dgst, slices.Clone(body), nil)
}

func newBlob(dgst digest.Digest, body []byte, labels map[string]string) *blob {
	now := time.Now()
	return &blob{body: body, info: content.Info{
		Digest: dgst, Size: int64(len(body)), CreatedAt: now, UpdatedAt: now, Labels: maps.Clone(labels),
	}}
}

// Body returns the bytes stored under dgst, uncounted. It reports false if
// there are none. The bytes must not be changed.
func (s *Store) Body(dgst digest.Digest) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[dgst]
	if !ok {
		return nil, false
	}
	return b.body, true
}

// Digests returns the digest of everything stored, sorted.
func (s *Store) Digests() []digest.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.blobs))
}

// Reads returns how often the blob was opened.
func (s *Store) Reads(dgst digest.Digest) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads[dgst]
}

// Writes returns how often content of that digest was offered for commit,
// whether or not it was stored already.
func (s *Store) Writes(dgst digest.Digest) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes[dgst]
}

// Written returns the digests of what was committed through a Writer, sorted.
func (s *Store) Written() []digest.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.writes))
}

// Unfinished lists what a user of the store left behind: readers and writers
// that are not closed, and ingestions that hold bytes but were neither
// committed nor aborted. It is empty after a user that cleans up.
func (s *Store) Unfinished() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []string
	if s.readers > 0 {
		left = append(left, fmt.Sprintf("%d open readers", s.readers))
	}
	for _, ref := range slices.Sorted(maps.Keys(s.ingests)) {
		switch in := s.ingests[ref]; {
		case in.open:
			left = append(left, fmt.Sprintf("open writer %q", ref))
		case len(in.body) > 0:
			left = append(left, fmt.Sprintf("ingestion %q of %d bytes", ref, len(in.body)))
		}
	}
	return left
}

// Hook has every later call ask f first: a call for which f returns an error
// fails with it. Nil ends it. f is called from the goroutines that use the
// store, and may call the store.
func (s *Store) Hook(f func(Call) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = f
}

// FailAt fails the n-th call of the kinds named from now on, counted from 1,
// with err. No kinds means all kinds.
func (s *Store) FailAt(n int, err error, ops ...Op) {
	var mu sync.Mutex
	seen := 0
	s.Hook(func(c Call) error {
		if len(ops) > 0 && !slices.Contains(ops, c.Op) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if seen++; seen == n {
			return err
		}
		return nil
	})
}

func (s *Store) called(c Call) error {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(c)
}

// ReaderAt implements [content.Provider].
func (s *Store) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.called(Call{Op: OpReader, Digest: desc.Digest}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", desc.Digest, errdefs.ErrNotFound)
	}
	s.reads[desc.Digest]++
	s.readers++
	return &reader{store: s, dgst: desc.Digest, body: bytes.NewReader(b.body)}, nil
}

type reader struct {
	store *Store
	dgst  digest.Digest
	body  *bytes.Reader
	close sync.Once
}

func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.store.called(Call{Op: OpRead, Digest: r.dgst}); err != nil {
		return 0, err
	}
	return r.body.ReadAt(p, off)
}

func (r *reader) Size() int64 { return r.body.Size() }

func (r *reader) Close() error {
	r.close.Do(func() {
		r.store.mu.Lock()
		defer r.store.mu.Unlock()
		r.store.readers--
	})
	return nil
}

// Info implements [content.InfoProvider].
func (s *Store) Info(_ context.Context, dgst digest.Digest) (content.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[dgst]
	if !ok {
		return content.Info{}, fmt.Errorf("blob %s: %w", dgst, errdefs.ErrNotFound)
	}
	return copyInfo(b.info), nil
}

func copyInfo(info content.Info) content.Info {
	info.Labels = maps.Clone(info.Labels)
	return info
}

// Update implements [content.Manager]: it changes labels, all of them or those
// that the field paths name.
func (s *Store) Update(_ context.Context, info content.Info, fieldpaths ...string) (content.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[info.Digest]
	if !ok {
		return content.Info{}, fmt.Errorf("blob %s: %w", info.Digest, errdefs.ErrNotFound)
	}
	if len(fieldpaths) == 0 {
		fieldpaths = []string{"labels"}
	}
	labels := maps.Clone(b.info.Labels)
	for _, path := range fieldpaths {
		key, one := strings.CutPrefix(path, "labels.")
		switch {
		case path == "labels":
			labels = maps.Clone(info.Labels)
		case !one:
			return content.Info{}, fmt.Errorf("field %q cannot be changed: %w", path, errdefs.ErrInvalidArgument)
		case info.Labels[key] == "":
			delete(labels, key)
		default:
			if labels == nil {
				labels = map[string]string{}
			}
			labels[key] = info.Labels[key]
		}
	}
	b.info.Labels = labels
	b.info.UpdatedAt = time.Now()
	return copyInfo(b.info), nil
}

// Walk implements [content.Manager], in order of digests.
func (s *Store) Walk(_ context.Context, fn content.WalkFunc, fs ...string) error {
	filter, err := filters.ParseAll(fs...)
	if err != nil {
		return err
	}
	s.mu.Lock()
	var infos []content.Info
	for _, dgst := range slices.Sorted(maps.Keys(s.blobs)) {
		infos = append(infos, copyInfo(s.blobs[dgst].info))
	}
	s.mu.Unlock()
	for _, info := range infos {
		if !filter.Match(content.AdaptInfo(info)) {
			continue
		}
		if err := fn(info); err != nil {
			return err
		}
	}
	return nil
}

// Delete implements [content.Manager].
func (s *Store) Delete(_ context.Context, dgst digest.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.blobs[dgst]; !ok {
		return fmt.Errorf("blob %s: %w", dgst, errdefs.ErrNotFound)
	}
	delete(s.blobs, dgst)
	return nil
}
