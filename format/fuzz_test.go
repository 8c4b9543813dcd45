// SPDX-License-Identifier: Apache-2.0

package format_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
	"unicode"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
)

// FuzzDocument has the engine read any root document over the content of all
// golden cases. Whatever it accepts, the laws hold of.
func FuzzDocument(f *testing.F) {
	shared := formattest.NewStore()
	for _, c := range loadCases(f) {
		s := newStore(f, c)
		for _, dgst := range s.Digests() {
			body, _ := s.Body(dgst)
			if dgst.Algorithm().FromBytes(body) == dgst {
				shared.PutAs(dgst, body)
			}
		}
		if body, ok := s.Body(c.Root.Digest); ok {
			f.Add(body, c.Root.MediaType)
		}
	}
	targets := format.Profiles()
	f.Fuzz(func(t *testing.T, body []byte, mediaType string) {
		root := formattest.NewStore().Put(mediaType, body)
		// Both specifications, and one of the targets.
		one := targets[crc32.ChecksumIEEE(body)%uint32(len(targets))]
		for _, p := range append(specifications(), one) {
			x := conversion{root: root, profile: p, source: func() *formattest.Store {
				s := formattest.NewStore()
				for _, dgst := range shared.Digests() {
					shared, _ := shared.Body(dgst)
					s.PutAs(dgst, shared)
				}
				s.PutAs(root.Digest, body)
				return s
			}}
			s := x.source()
			result, err := format.Convert(context.Background(), s, x.root, x.profile, x.options)
			if left := s.Unfinished(); len(left) > 0 {
				t.Errorf("unfinished business: %q", left)
			}
			if err != nil {
				// A layer may be left behind, whole; a document may not.
				for _, dgst := range s.Written() {
					if written, _ := s.Body(dgst); json.Valid(written) {
						t.Errorf("failed with %v, but wrote %s", err, written)
					}
				}
				if strings.ContainsFunc(err.Error(), unicode.IsControl) {
					t.Errorf("the error has control characters: %q", err)
				}
				continue
			}
			checkLaws(t, x, s, result)
			checkReadable(t, s, result)
			if p.Kind == format.KindSpecification {
				checkWayBack(t, x, s, result)
			}
		}
	})
}

// checkReadable has Go's own decoder read what was written, as other tools do.
func checkReadable(t *testing.T, s *formattest.Store, result *format.Result) {
	t.Helper()
	body, _ := s.Body(result.Root.Digest)
	var doc struct {
		MediaType string
		Config    *ocispec.Descriptor
		Manifests []ocispec.Descriptor
		Layers    []ocispec.Descriptor
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatalf("the result is no JSON: %v\n%s", err, body)
	}
	if doc.MediaType != "" && doc.MediaType != result.Root.MediaType {
		t.Errorf("the result calls itself %s, its descriptor %s", doc.MediaType, result.Root.MediaType)
	}
	if (doc.Manifests != nil) && (doc.Config != nil || doc.Layers != nil) {
		t.Errorf("the result is ambiguous: %s", body)
	}
}

// reversible reports whether the other format can undo a change: all of it is
// in names and digests.
func reversible(change format.Change) bool {
	for _, what := range strings.Split(change.What, ", ") {
		if what != "media types" && what != "digests" {
			return false
		}
	}
	return true
}

// checkWayBack is the law that converting back gives the original where that
// conforms to its own format, and nothing was lost, added or rearranged.
func checkWayBack(t *testing.T, x conversion, s *formattest.Store, result *format.Result) {
	t.Helper()
	if len(result.Losses) > 0 || len(result.Referrers) > 0 || len(result.Changes) == 0 {
		return
	}
	for _, change := range result.Changes {
		if !reversible(change) {
			return
		}
	}
	for node, err := range format.Walk(context.Background(), s, x.root) {
		if err != nil {
			t.Fatal(err)
		}
		// What does not name its type, or escapes it, comes back with one that is plain.
		var doc struct{ MediaType string }
		if node.Body != nil && (json.Unmarshal(node.Body, &doc) != nil || doc.MediaType == "" || bytes.ContainsRune(node.Body, '\\')) {
			return
		}
	}
	for _, p := range specifications() {
		if report, err := format.Check(context.Background(), s, x.root, p); err != nil || !report.OK() {
			continue
		}
		back, err := format.Convert(context.Background(), s, result.Root, p, format.Options{})
		if errors.Is(err, format.ErrCorrupt) || errdefs.IsNotFound(err) {
			continue // in a config, which only the way back reads
		}
		if err != nil {
			t.Fatalf("the way back: %v", err)
		}
		if back.Root.Digest != x.root.Digest {
			was, _ := s.Body(x.root.Digest)
			is, _ := s.Body(back.Root.Digest)
			t.Errorf("the way back ends elsewhere:\n%s\n%s", was, is)
		}
	}
}

// FuzzProfile is the law that a profile that is accepted is the same after a way
// through JSON, and that an image can be held to it, whatever it says.
func FuzzProfile(f *testing.F) {
	for _, p := range format.Profiles() {
		text, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	image := oci.Index(oci.Manifest("linux/amd64", oci.Layer(format.Zstd, "a=1")))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := format.ParseProfile(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := format.ParseProfile(again); err != nil || !cmp.Equal(p, back, cmpopts.EquateEmpty()) {
			t.Errorf("%s is %s after a way through JSON: %v", text, again, err)
		}
		s := formattest.NewStore()
		if _, err := format.Check(context.Background(), s, image.Put(s), p); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if both, err := format.CombineProfiles(p, format.ProfileOCI()); err == nil && both.Validate() != nil {
			t.Errorf("%s and oci are no profile: %v", text, both.Validate())
		}
	})
}

// FuzzMediaType is the law that a media type is taken apart and put together
// without change, and that its equivalent's equivalent is itself.
func FuzzMediaType(f *testing.F) {
	for _, c := range loadCases(f) {
		f.Add(c.Root.MediaType)
	}
	for _, s := range []string{
		format.MediaTypeDockerLayerPlain, format.MediaTypeDockerLayerZstd, format.MediaTypeDockerForeignLayerPlain,
		format.MediaTypeDockerForeignLayer, format.MediaTypeDockerConfig, format.MediaTypeDockerLayer,
		ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd, ocispec.MediaTypeImageConfig,
		ocispec.MediaTypeImageLayerGzip + "+encrypted", strings.ToUpper(ocispec.MediaTypeImageManifest), ocispec.MediaTypeImageManifest + "; charset=utf-8", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, ok := format.ParseMediaType(s)
		if !ok {
			if m != (format.MediaType{}) {
				t.Errorf("%q is no media type, and is %+v", s, m)
			}
			return
		}
		if m.String() != s {
			t.Errorf("%q is taken apart and put together as %q", s, m)
		}
		for _, to := range []format.Format{format.OCI, format.Docker} {
			there, err := m.In(to)
			if err != nil {
				continue
			}
			if there.Format != to || there.Kind != m.Kind || there.Compression != m.Compression || there.Foreign != m.Foreign || !there.Standard() {
				t.Errorf("%s in %s is %+v", s, to, there)
			}
			if back, err := there.In(m.Format); m.Standard() && (err != nil || back != m) {
				t.Errorf("%s in %s and back is %+v, %v", s, to, back, err)
			}
		}
	})
}
