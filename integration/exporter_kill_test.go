// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// TestBuilderDies kills the builder in the middle of a push: nothing is tagged.
// The same build again, and everything is there.
func TestBuilderDies(t *testing.T) {
	t.Parallel()
	modern, legacy := newRepository(t, "modern"), newRepository(t, "legacy")
	slow := newUploadStall(t)
	through := func(r repository) string { return repository{slow.addr, r.name}.ref("1") }
	big := make([]byte, bigLayer)
	if _, err := rand.Read(big); err != nil {
		t.Fatal(err)
	}
	bk := engines.StartBuildkitd(t, engines.BuildkitdOptions{Exporter: true})
	b := engines.Build{
		Context:   fstest.MapFS{"Dockerfile": {Data: []byte(scratch + "\nCOPY big /big\n")}, "big": {Data: big}},
		Platforms: bothPlatforms,
		Options:   []string{"attest:provenance=mode=max"},
		Output:    emitTwice(through(modern), through(legacy)),
	}
	failed := make(chan error)
	go func() {
		_, err := bk.Try(t, b)
		failed <- err
	}()
	slow.wait(t)
	bk.Kill(t)
	if err := <-failed; err == nil {
		t.Error("the client of a builder that was killed says that it is done")
	}
	for _, r := range []repository{modern, legacy} {
		if tags := r.tags(t); len(tags) > 0 {
			t.Errorf("%s has the tags %v", r.name, tags)
		}
	}

	slow.release()
	bk.Restart(t)
	bk.Build(t, b)
	oci, docker := check(t, modern, "1", "oci"), check(t, legacy, "1", "docker")
	for platform, image := range docker.images {
		if oci.attested[oci.images[platform]] != 1 || docker.referring[image] != 1 {
			t.Errorf("for %s there are %d and %d statements, want one each", platform, oci.attested[oci.images[platform]], docker.referring[image])
		}
	}
}

// newUploadStall is a stall that holds up what is uploaded.
func newUploadStall(t *testing.T) *stall {
	t.Helper()
	s := newStall(t)
	s.addr = proxy(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/uploads/") && r.ContentLength >= bigLayer {
			r.Body = &stalledBody{ReadCloser: r.Body, stall: s, left: bigLayer / 2, gone: r.Context().Done()}
		}
		forward(w, r)
	})
	return s
}

// stalledBody is a body that stops half way.
type stalledBody struct {
	io.ReadCloser
	*stall
	left int
	gone <-chan struct{}
}

// Read implements [io.Reader].
func (b *stalledBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.signal()
		select {
		case <-b.resumed:
		case <-b.gone:
		}
		return b.ReadCloser.Read(p)
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
