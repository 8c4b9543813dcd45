// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"runtime"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/layout"
)

// known reports whether an error is of a class that callers can tell apart.
func known(err error) bool {
	for _, class := range []error{
		format.ErrCorrupt, format.ErrAmbiguous, format.ErrTooLarge,
		errdefs.ErrInvalidArgument, errdefs.ErrNotFound, errdefs.ErrNotImplemented,
	} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// memoryFor is what reading an archive of n bytes may allocate.
func memoryFor(n int) uint64 { return 32<<20 + 200*uint64(n) }

// Whatever bytes are taken for an archive: it is refused with an error of a
// known class, or every image that it lists can be found, and what can be read
// is what its digest says. Memory stays in proportion.
func FuzzArchive(f *testing.F) {
	image := app("1")
	f.Add(pack(f, layoutFiles(image)))
	f.Add(pack(f, save("1").old("app:v1")))
	f.Add(pack(f, layoutFiles(image))[:2000])
	f.Add(manyFiles(3))
	_, body := writeArchive(f, func(p place) { put(f, p, image, "app:v1", "v2") })
	f.Add(body)
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		// The decompressors are fuzzed where they come from.
		if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) || bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
			return
		}
		a, err := layout.ReadArchive(t.Context(), bytes.NewReader(data))
		if err != nil {
			if !known(err) {
				t.Errorf("error %q is of no class", err)
			}
			return
		}
		defer a.Close()
		checkArchive(t, a)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > memoryFor(len(data)) {
			t.Errorf("%d bytes took %d of memory", len(data), used)
		}
	})
}

func checkArchive(t *testing.T, a *layout.Archive) {
	t.Helper()
	refs, err := a.Refs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range refs[:min(len(refs), 10)] {
		if ref.Name != "" {
			got, err := a.Resolve(t.Context(), ref.Name)
			if err != nil && !known(err) || err == nil && !listed(refs, got.Digest) {
				t.Errorf("%q is listed, and resolves to %s (%v)", ref.Name, got.Digest, err)
			}
		}
		checkBlob(t, a, ref.Desc)
		var below struct {
			Config            ocispec.Descriptor
			Manifests, Layers []ocispec.Descriptor
		}
		if body, err := read(t, a, ref.Desc); err == nil && json.Unmarshal(body, &below) == nil {
			for _, desc := range append(append(below.Manifests, below.Layers...), below.Config) {
				checkBlob(t, a, desc)
			}
		}
	}
	if _, err := a.Resolve(t.Context(), ""); err != nil && !known(err) {
		t.Errorf("the only image: error %q is of no class", err)
	}
}

func listed(refs []layout.Ref, dgst digest.Digest) bool {
	for _, ref := range refs {
		if ref.Desc.Digest == dgst {
			return true
		}
	}
	return false
}

func checkBlob(t *testing.T, a *layout.Archive, desc ocispec.Descriptor) {
	t.Helper()
	body, err := read(t, a, desc)
	if err != nil {
		if !known(err) {
			t.Errorf("blob %s: error %q is of no class", desc.Digest, err)
		}
		return
	}
	if got := desc.Digest.Algorithm().FromBytes(body); got != desc.Digest {
		t.Errorf("blob %s is %s", desc.Digest, got)
	}
}

// Whatever index.json is taken: a name put into it is found in it, what was
// there is there still, and it is written as it is read.
func FuzzIndex(f *testing.F) {
	f.Add(emptyIndex)
	f.Add(`{ "manifests" : [ {"digest":"sha256:a"} , {} ], "x":1.0}`)
	f.Add("{\"manifests\":[\r\n\t {\"annotations\":{\"org.opencontainers.image.ref.name\":\"v1\",\"io.containerd.image.name\":\"a/b:v1\"}}]}")
	f.Add(`{"manifests":null}`)
	image := app("1")
	f.Fuzz(func(t *testing.T, index string) {
		d, path := withIndex(t, index)
		before, err := layout.Open(path[:len(path)-len("/index.json")])
		if err != nil {
			if !known(err) {
				t.Errorf("error %q is of no class", err)
			}
			return
		}
		defer before.Close()
		old, err := before.Refs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := d.PutRoot(t.Context(), image.Desc, image.Body, "fuzz"); err != nil {
			if !known(err) {
				t.Errorf("error %q is of no class", err)
			}
			return
		}
		if got, err := d.Resolve(t.Context(), "fuzz"); err != nil || got.Digest != image.Desc.Digest {
			t.Errorf("fuzz is %s (%v), want %s", got.Digest, err, image.Desc.Digest)
		}
		refs, err := d.Refs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range old {
			if ref.Name != "fuzz" && ref.Name != "" && !listed(refs, ref.Desc.Digest) {
				t.Errorf("%q is lost", ref.Name)
			}
		}
	})
}
