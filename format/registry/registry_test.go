// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/manifest-format/manifest-format/format"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestOpen(t *testing.T) {
	for _, c := range []struct{ name, want, host, base string }{
		{"alpine", "docker.io/library/alpine", "docker.io", "https://registry-1.docker.io/v2/library/alpine"},
		{"team/app", "docker.io/team/app", "docker.io", "https://registry-1.docker.io/v2/team/app"},
		{"localhost:5000/app", "localhost:5000/app", "localhost:5000", "http://localhost:5000/v2/app"},
		{"127.0.0.2:1/a/b", "127.0.0.2:1/a/b", "127.0.0.2:1", "http://127.0.0.2:1/v2/a/b"},
		{"[::1]:5000/app", "[::1]:5000/app", "[::1]:5000", "http://[::1]:5000/v2/app"},
		{"example.com/app", "example.com/app", "example.com", "https://example.com/v2/app"},
	} {
		r := open(t, c.name, Options{})
		if r.Name() != c.want || r.Host() != c.host || r.base != c.base {
			t.Errorf("%s: got %s on %s at %s", c.name, r.Name(), r.Host(), r.base)
		}
	}
	for _, name := range []string{"", "example.com/Upper", "app:tag", "app@" + digest.FromString("").String(), "https://example.com/app"} {
		if _, err := Open(name, Options{}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := Open("example.com/app", Options{CAFile: "/nonexistent.pem"}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("CA file that is not there: %v", err)
	}
}

func TestParseReference(t *testing.T) {
	d := digest.FromString("x").String()
	for _, c := range []struct{ in, name, ref string }{
		{"alpine", "docker.io/library/alpine", ""},
		{"alpine:3", "docker.io/library/alpine", "3"},
		{"h:1/a:b@" + d, "h:1/a", d},
	} {
		if name, ref, err := ParseReference(c.in); err != nil || name != c.name || ref != c.ref {
			t.Errorf("%s: %s %s %v", c.in, name, ref, err)
		}
	}
	if _, _, err := ParseReference("a b"); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
}

// The budget of a conversion in place, of four platforms: five documents read,
// five written, and nothing else.
func TestInPlaceBudget(t *testing.T) {
	host, _ := startRegistry(t)
	m := memory{}
	setup := open(t, host+"/app", Options{})
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
	index.SchemaVersion = 2
	for i := range 4 {
		manifest := m.manifest(t, nil, m.blob(1000+i))
		m.push(t, setup, manifest)
		index.Manifests = append(index.Manifests, manifest)
	}
	m.push(t, setup, m.document(t, index.MediaType, index), "v1")

	w := &wire{}
	r := open(t, host+"/app", Options{Transport: w, MountFrom: []string{host + "/app"}})
	root, err := r.Resolve(t.Context(), "v1")
	if err != nil {
		t.Fatal(err)
	}
	body, err := read(t, r, root)
	if err != nil {
		t.Fatal(err)
	}
	for _, desc := range index.Manifests {
		child, err := read(t, r, desc)
		if err != nil {
			t.Fatal(err)
		}
		if action, err := r.CopyBlob(t.Context(), r, m.blob(1000), nil); err != nil || action != format.ActionExists {
			t.Fatal(action, err)
		}
		child = append(child, '\n')
		body = append(body, '\n')
		desc.Digest, desc.Size = digest.FromBytes(child), int64(len(child))
		if err := content.WriteBlob(t.Context(), r, "manifest", bytes.NewReader(child), desc); err != nil {
			t.Fatal(err)
		}
	}
	root.Digest, root.Size = digest.FromBytes(body), int64(len(body))
	if err := r.PutRoot(t.Context(), root, body, "v1-docker"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(w.take(), " "); len(got) != 10 {
		t.Errorf("%d requests: %s", len(got), got)
	}
	if again, err := r.Resolve(t.Context(), "v1-docker"); err != nil || again.Digest != root.Digest {
		t.Errorf("got %v, %v", again, err)
	}
}

func TestCopyBlob(t *testing.T) {
	host, root := startRegistry(t)
	m := memory{}
	blob, other := m.blob(3<<20), m.blob(70_000)
	w := &wire{}
	src := open(t, host+"/src", Options{Transport: w})
	var moved int64
	copyTo := func(r *Repository, desc ocispec.Descriptor) string {
		t.Helper()
		moved = 0
		action, err := r.CopyBlob(t.Context(), m, desc, func(n int64) { moved = n })
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s %d: %s", action, moved, w.take())
	}
	dst := open(t, host+"/dst", Options{Transport: w, MountFrom: []string{host + "/src", "elsewhere.test/src"}})
	two := open(t, host+"/two", Options{Transport: w, MountFrom: []string{"empty", "src"}})
	for _, c := range []struct{ name, got, want string }{
		{"copy", copyTo(src, blob), "copy 3145728: HEAD POST PUT"},
		{"exists", copyTo(src, blob), "exists 0: HEAD"},
		{"mount", copyTo(dst, blob), "mount 0: POST"},
		{"mount refused", copyTo(dst, other), "copy 70000: POST HEAD PUT"},
		{"second mount", copyTo(two, blob), "mount 0: POST DELETE POST"},
		{"own", copyTo(open(t, host+"/own", Options{Transport: w, MountFrom: []string{"own"}}), blob), "exists 0: "},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, c.got, c.want)
		}
	}
	for _, repository := range []string{"src", "dst", "two"} {
		if n := uploads(t, root, repository); n != 0 {
			t.Errorf("%d uploads left open in %s", n, repository)
		}
	}
	for _, desc := range []ocispec.Descriptor{blob, other} {
		if got, err := read(t, dst, desc); err != nil || !bytes.Equal(got, m[desc.Digest]) {
			t.Errorf("%s: %d bytes, %v", desc.Digest, len(got), err)
		}
	}
}

// What is not what its descriptor says is corrupt, wherever that is found, and
// leaves nothing at the registry.
func TestCopyBlobCorrupt(t *testing.T) {
	host, root := startRegistry(t)
	r := open(t, host+"/app", Options{Retries: -1})
	m := memory{}
	good := m.blob(100_000)
	lying := good
	lying.Digest = digest.FromString("another")
	short := good
	short.Size++
	m[lying.Digest] = m[good.Digest]
	for name, desc := range map[string]ocispec.Descriptor{"digest": lying, "size": short} {
		if _, err := r.CopyBlob(t.Context(), m, desc, nil); !errors.Is(err, format.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.CopyBlob(t.Context(), memory{}, good, nil); !errdefs.IsNotFound(err) {
		t.Errorf("source without it: %v", err)
	}
	if n := uploads(t, root, "app"); n != 0 {
		t.Errorf("%d uploads left open", n)
	}
}

func TestWriter(t *testing.T) {
	host, root := startRegistry(t)
	r := open(t, host+"/app", Options{})
	m := memory{}
	for _, size := range []int{0, 1, 5 << 20} {
		desc := m.blob(size)
		w, err := r.Writer(t.Context(), content.WithRef("layer"), content.WithDescriptor(ocispec.Descriptor{MediaType: desc.MediaType}))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(w, bytes.NewReader(m[desc.Digest])); err != nil || n != desc.Size {
			t.Fatal(n, err)
		}
		if err := w.Commit(t.Context(), 0, ""); err != nil {
			t.Fatal(err)
		}
		if got := w.Digest(); got != desc.Digest {
			t.Errorf("digest %s", got)
		}
		if got, err := read(t, r, desc); err != nil || !bytes.Equal(got, m[desc.Digest]) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if _, err := r.Writer(t.Context(), content.WithDescriptor(desc)); !errdefs.IsAlreadyExists(err) {
			t.Errorf("written twice: %v", err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := uploads(t, root, "app"); n != 0 {
		t.Errorf("%d uploads left open", n)
	}
}

// A writer that does not come to its end leaves nothing behind.
func TestWriterAbort(t *testing.T) {
	host, root := startRegistry(t)
	r := open(t, host+"/app", Options{})
	begin := func(ctx context.Context) content.Writer {
		t.Helper()
		w, err := r.Writer(ctx, content.WithRef("layer"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, 200_000)); err != nil {
			t.Fatal(err)
		}
		return w
	}
	t.Run("close", func(t *testing.T) {
		if err := begin(t.Context()).Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("wrong digest", func(t *testing.T) {
		err := begin(t.Context()).Commit(t.Context(), 0, digest.FromString("another"))
		if !errors.Is(err, format.ErrCorrupt) {
			t.Error(err)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := begin(ctx)
		cancel()
		if err := w.Commit(ctx, 0, ""); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if n := uploads(t, root, "app"); n != 0 {
		t.Errorf("%d uploads left open", n)
	}
}

// A cancelled upload ends at once and leaves neither a tag nor a session.
func TestCancel(t *testing.T) {
	host, root := startRegistry(t)
	m := memory{}
	layer := m.blob(8 << 20)
	r := open(t, host+"/app", Options{})
	ctx, cancel := context.WithCancel(t.Context())
	begin := time.Now()
	_, err := r.CopyBlob(ctx, m, layer, func(n int64) {
		if n > 1<<20 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || time.Since(begin) > 2*time.Second {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
	if n := uploads(t, root, "app"); n != 0 {
		t.Errorf("%d uploads left open", n)
	}
	manifest := m.manifest(t, nil, layer)
	err = r.PutRoot(t.Context(), manifest, m[manifest.Digest], "v1")
	if !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a manifest without its layer: %v", err)
	}
	if _, err := r.Resolve(t.Context(), "v1"); !errdefs.IsNotFound(err) {
		t.Errorf("the tag: %v", err)
	}
}

func TestPutRootRefuses(t *testing.T) {
	w := &wire{fault: func(req *http.Request) (*http.Response, error) {
		return nil, errors.New("no request may be made")
	}}
	r := open(t, "localhost:1/app", Options{Transport: w})
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("{}"), Size: 2}
	if err := r.PutRoot(t.Context(), desc, []byte("[]")); !errors.Is(err, format.ErrCorrupt) {
		t.Error(err)
	}
	if err := r.PutRoot(t.Context(), desc, []byte("{} ")); !errors.Is(err, format.ErrCorrupt) {
		t.Error(err)
	}
	if err := r.PutRoot(t.Context(), desc, []byte("{}"), "good", "not a tag"); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
	if got := w.take(); got != "" {
		t.Errorf("requests: %s", got)
	}
}
