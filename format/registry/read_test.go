// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/manifest-format/manifest-format/format"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestReaderAt(t *testing.T) {
	host, _ := startRegistry(t)
	m := memory{}
	desc := m.blob(300_000)
	w := &wire{}
	r := open(t, host+"/app", Options{Transport: w})
	if _, err := r.CopyBlob(t.Context(), m, desc, nil); err != nil {
		t.Fatal(err)
	}
	w.take()
	ra, err := r.ReaderAt(t.Context(), desc)
	if err != nil {
		t.Fatal(err)
	}
	defer ra.Close()
	if err := iotest.TestReader(io.NewSectionReader(ra, 0, ra.Size()), m[desc.Digest]); err != nil {
		t.Error(err)
	}
	w.take()
	got, err := read(t, r, desc)
	if err != nil || !bytes.Equal(got, m[desc.Digest]) || w.take() != "GET" {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	missing := memory{}.blob(5)
	if _, err := r.ReaderAt(t.Context(), missing); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "no such blob") {
		t.Errorf("missing: %v", err)
	}
	for _, size := range []int64{desc.Size - 1, desc.Size + 1} {
		wrong := desc
		wrong.Size = size
		if _, err := read(t, r, wrong); !errors.Is(err, format.ErrCorrupt) {
			t.Errorf("size %d: %v", size, err)
		}
	}
}

func TestResolve(t *testing.T) {
	host, _ := startRegistry(t)
	m := memory{}
	w := &wire{}
	r := open(t, host+"/app", Options{Transport: w})
	manifest := m.manifest(t, nil, m.blob(10))
	m.push(t, r, manifest, "latest", "v1")
	w.take()
	for _, ref := range []string{"", "v1", manifest.Digest.String()} {
		got, err := r.Resolve(t.Context(), ref)
		if diff := cmp.Diff(manifest, got); err != nil || diff != "" {
			t.Errorf("%q: %v %s", ref, err, diff)
		}
	}
	if _, err := read(t, r, manifest); err != nil {
		t.Error(err)
	}
	if got := w.take(); got != "GET GET GET" {
		t.Errorf("requests: %s", got)
	}
	wrong := manifest
	wrong.Size--
	if _, err := r.ReaderAt(t.Context(), wrong); !errors.Is(err, format.ErrCorrupt) {
		t.Error(err)
	}
	for ref, want := range map[string]string{
		"nope":                          "no such tag",
		digest.FromString("x").String(): "no such manifest",
	} {
		if _, err := r.Resolve(t.Context(), ref); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if _, err := r.Resolve(t.Context(), "../../x"); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
}

func TestTags(t *testing.T) {
	host, _ := startRegistry(t)
	m := memory{}
	r := open(t, host+"/app", Options{})
	var want []string
	for i := range 7 {
		want = append(want, fmt.Sprintf("v%d", i))
	}
	m.push(t, r, m.manifest(t, nil), want...)
	w := &wire{}
	paged := open(t, host+"/app", Options{Transport: w})
	paged.oras.TagListPageSize = 3
	got, err := paged.Tags(t.Context())
	slices.Sort(got)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if n := len(strings.Split(w.take(), " ")); n != 3 {
		t.Errorf("%d pages", n)
	}
	if _, err := open(t, host+"/none", Options{}).Tags(t.Context()); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "no such repository") {
		t.Error(err)
	}
}

// distribution has no referrers API: what is pushed at once through two
// Repositories is all in the tag schema's index.
func TestReferrersTagSchema(t *testing.T) {
	host, _ := startRegistry(t)
	m := memory{}
	a, b := open(t, host+"/app", Options{}), open(t, host+"/app", Options{})
	image := m.manifest(t, nil)
	m.push(t, a, image, "v1")
	want := map[digest.Digest]bool{}
	var referrers []ocispec.Descriptor
	for i := range 6 {
		referrer := m.manifest(t, &image, m.blob(i+1))
		want[referrer.Digest] = true
		referrers = append(referrers, referrer)
	}
	var all sync.WaitGroup
	for i, referrer := range referrers {
		all.Go(func() { m.push(t, []*Repository{a, b}[i%2], referrer) })
	}
	all.Wait()
	found, err := open(t, host+"/app", Options{}).Referrers(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	got := map[digest.Digest]bool{}
	for _, desc := range found {
		got[desc.Digest] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if none, err := a.Referrers(t.Context(), referrers[0]); err != nil || len(none) != 0 {
		t.Error(none, err)
	}
}
