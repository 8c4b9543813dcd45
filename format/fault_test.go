// SPDX-License-Identifier: Apache-2.0

package format_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
)

// faulty is a conversion with a bit of everything: reads, recompression, and
// writes of layers, a config, manifests, an attestation and an index.
func faulty() conversion {
	b := formattest.Builder{Format: format.OCI, Annotations: map[string]string{"a": "b"}}
	amd64 := b.Manifest("linux/amd64", b.Layer(format.Zstd, "base=1"), b.Layer(format.Uncompressed, "own=1"))
	arm64 := b.Manifest("linux/arm64", b.Layer(format.Gzip, "own=2"))
	image := b.Index(amd64, arm64, b.Attestation(false, amd64, "https://spdx.dev/Document"))
	return conversionOf(image, format.ProfileDocker(), format.Options{Annotations: format.AnnotationsLabels, Verify: true})
}

// Whichever call to the store fails, the conversion fails with that error, and
// leaves the store as a reader may find it.
func TestFaults(t *testing.T) {
	x := faulty()
	for _, op := range []formattest.Op{formattest.OpReader, formattest.OpRead, formattest.OpWriter, formattest.OpWrite, formattest.OpCommit} {
		t.Run(string(op), func(t *testing.T) {
			broken := errors.New("broken")
			for n := 1; ; n++ {
				s := x.source()
				s.FailAt(n, broken, op)
				_, err := format.Convert(t.Context(), s, x.root, x.profile, x.options)
				if err == nil {
					if n < 4 {
						t.Errorf("only %d calls, which is too few for this image", n-1)
					}
					return
				}
				checkFault(t, s, err, broken)
			}
		})
	}
}

// Whenever the caller gives up, the conversion ends with the caller's reason,
// and leaves the store as a reader may find it.
func TestCancel(t *testing.T) {
	x := faulty()
	reason := errors.New("the caller gave up")
	for n := 1; ; n++ {
		ctx, cancel := context.WithCancelCause(t.Context())
		s := x.source()
		calls := 0
		s.Hook(func(formattest.Call) error {
			calls++
			if calls == n {
				cancel(reason)
			}
			return nil
		})
		x.options.Concurrency = 1
		_, err := format.Convert(ctx, s, x.root, x.profile, x.options)
		cancel(nil)
		if calls < n {
			if err != nil {
				t.Errorf("never cancelled, but failed: %v", err)
			}
			return
		}
		if err == nil {
			// The last calls may have been all that was left to do.
			continue
		}
		if !errors.Is(err, reason) && !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled at call %d, but failed with: %v", n, err)
		}
		if calls > n+3 {
			t.Errorf("cancelled at call %d, and went on to call %d", n, calls)
		}
		checkLeft(t, s)
	}
}

func checkFault(t *testing.T, s *formattest.Store, err, want error) {
	t.Helper()
	var e *format.Error
	if !errors.Is(err, want) || !errors.As(err, &e) {
		t.Errorf("failed with %#v, which is not of the engine over %q", err, want)
	}
	checkLeft(t, s)
}

// checkLeft is the law that a run that fails leaves nothing half-written: all
// that is stored is whole, no document names what is not there, and no
// ingestion is left behind.
func checkLeft(t *testing.T, s *formattest.Store) {
	t.Helper()
	if left := s.Unfinished(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	for _, dgst := range s.Digests() {
		body, _ := s.Body(dgst)
		if dgst.Algorithm().FromBytes(body) != dgst {
			t.Errorf("%s is stored with another content", dgst)
		}
		for _, child := range namedIn(body) {
			if _, ok := s.Body(child); !ok {
				t.Errorf("%s names %s, which is not there", dgst, child)
			}
		}
	}
}

// At no time does the store hold a document without what it names.
func TestChildrenFirst(t *testing.T) {
	x := faulty()
	s := x.source()
	s.Hook(func(c formattest.Call) error {
		if c.Op == formattest.OpCommit {
			for _, dgst := range s.Digests() {
				body, _ := s.Body(dgst)
				for _, child := range namedIn(body) {
					if _, ok := s.Body(child); !ok {
						t.Errorf("while %s is committed, %s names %s, which is not there", c.Digest, dgst, child)
					}
				}
			}
		}
		return nil
	})
	checkLaws(t, x, s, x.run(t, s))
}

// A Stage leaves its source alone, and what is copied out of it is what a
// conversion in place gives.
func TestStageIsInPlace(t *testing.T) {
	x := faulty()
	want := x.run(t, x.source())
	src, dst := x.source(), formattest.NewStore()
	stage := format.NewStage(src, dst)
	result, err := format.Convert(t.Context(), stage, x.root, x.profile, x.options)
	if err != nil {
		t.Fatal(err)
	}
	if result.Root.Digest != want.Root.Digest {
		t.Errorf("staged %s, in place %s", result.Root.Digest, want.Root.Digest)
	}
	if err := format.Copy(t.Context(), dst, stage, result.Root, format.CopyOptions{Referrers: result.Referrers}); err != nil {
		t.Fatal(err)
	}
	if written := src.Written(); len(written) > 0 {
		t.Errorf("the source was written to: %s", written)
	}
	checkClosed(t, dst, result)
	checkLeft(t, dst)
	for _, dgst := range src.Digests() {
		// A statement is read to be verified, and again to be copied.
		if body, _ := src.Body(dgst); json.Valid(body) && !bytes.Contains(body, []byte("predicateType")) && src.Reads(dgst) > 1 {
			t.Errorf("%s, which is no layer, was read %d times", dgst, src.Reads(dgst))
		}
	}
}

// namedIn returns the digests that a document in the store names, but for a
// subject: that may be there or not.
func namedIn(body []byte) []digest.Digest {
	var doc struct {
		SchemaVersion int
		Config        *ocispec.Descriptor
		Layers        []ocispec.Descriptor
		Manifests     []ocispec.Descriptor
	}
	if json.Unmarshal(body, &doc) != nil || doc.SchemaVersion == 0 {
		return nil
	}
	descs := append(doc.Layers, doc.Manifests...)
	if doc.Config != nil {
		descs = append(descs, *doc.Config)
	}
	var digests []digest.Digest
	for _, desc := range descs {
		digests = append(digests, desc.Digest)
	}
	return digests
}
