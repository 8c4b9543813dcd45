// SPDX-License-Identifier: Apache-2.0

package formattest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/content/testsuite"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format/formattest"
)

// The store is to the engine what containerd's stores are: containerd's own
// suite says so.
func TestStoreIsContainerds(t *testing.T) {
	testsuite.ContentSuite(t, "memory", func(ctx context.Context, _ string) (context.Context, content.Store, func() error, error) {
		return ctx, formattest.NewStore(), func() error { return nil }, nil
	})
}

func TestStoreCounts(t *testing.T) {
	ctx := t.Context()
	s := formattest.NewStore()
	put := s.Put("text/plain", []byte("put"))
	if got := s.Written(); len(got) != 0 {
		t.Errorf("Put counts as a write: %v", got)
	}
	for range 2 {
		if _, err := content.ReadBlob(ctx, s, put); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Reads(put.Digest); got != 2 {
		t.Errorf("read %d times, counted %d", 2, got)
	}
	w, err := s.Writer(ctx, content.WithRef("ref"))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Unfinished(); len(got) != 1 {
		t.Errorf("an open writer is not reported: %q", got)
	}
	if _, err := w.Write([]byte("written")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := s.Unfinished(); len(got) != 1 {
		t.Errorf("a half-written ingestion is not reported: %q", got)
	}
	if err := s.Abort(ctx, "ref"); err != nil {
		t.Fatal(err)
	}
	r, err := s.ReaderAt(ctx, put)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Unfinished(); len(got) != 1 {
		t.Errorf("an open reader is not reported: %q", got)
	}
	r.Close()
	if got := s.Unfinished(); len(got) != 0 {
		t.Errorf("a clean store is reported as unfinished: %q", got)
	}
}

func TestStoreFails(t *testing.T) {
	s := formattest.NewStore()
	put := s.Put("text/plain", []byte("put"))
	broken := errors.New("broken")
	s.FailAt(2, broken, formattest.OpReader)
	for i, want := range []error{nil, broken, nil} {
		if _, err := content.ReadBlob(t.Context(), s, ocispec.Descriptor{Digest: put.Digest}); !errors.Is(err, want) {
			t.Errorf("call %d: got %v, want %v", i+1, err, want)
		}
	}
}
