// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// TestMemory recompresses a layer of 2 GiB from one registry to another.
func TestMemory(t *testing.T) {
	t.Parallel()
	const limit = 200 << 20
	repo := newRepository(t, "app")
	bakeZstd(t, repo, "oci", 2<<30)
	target := engines.StartRegistry(t, engines.RegistryOptions{})
	var peak int64
	start := time.Now()
	invocation{
		args: []string{"convert", "--for", "docker", "--quiet", repo.ref("oci"), target.Ref("app:docker")},
		started: func(p *os.Process) {
			for now, alive := peakOf(p.Pid); alive; now, alive = peakOf(p.Pid) {
				peak = now
				time.Sleep(20 * time.Millisecond)
			}
		},
	}.must(t)
	t.Logf("2 GiB, zstd to gzip: peak %d MiB, %s", peak>>20, time.Since(start).Round(time.Millisecond))
	if peak == 0 || peak > limit {
		t.Errorf("the process had %d MiB at its peak, want at most %d", peak>>20, limit>>20)
	}
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakOf is the largest resident set that a running process has had. That of
// its resource usage would be its parent's, where that is larger: exec(2) keeps it.
func peakOf(pid int) (peak int64, alive bool) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	match := highWater.FindSubmatch(status)
	if err != nil || match == nil {
		return 0, false
	}
	kilobytes, err := strconv.ParseInt(string(match[1]), 10, 64)
	return kilobytes << 10, err == nil
}

// TestProcessors recompresses with one processor and with two.
func TestProcessors(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	bakeZstd(t, repo, "oci", 24<<20)
	var roots []digest.Digest
	for _, processors := range []string{"1", "2"} {
		// In a repository of its own nothing of the other run can be used.
		target := repository{repo.addr, repo.name + "-" + processors}
		invocation{
			env:  []string{"GOMAXPROCS=" + processors},
			args: []string{"convert", "--for", "docker", "--quiet", repo.ref("oci"), target.ref("docker")},
		}.must(t)
		roots = append(roots, check(t, target, "docker", "docker").root)
	}
	if roots[0] != roots[1] {
		t.Errorf("one processor makes %s, two make %s", roots[0], roots[1])
	}
}

// bakeZstd stores an image for linux/amd64 with one zstd layer, whose content
// of that size is made while it is uploaded.
func bakeZstd(t *testing.T, r repository, tag string, size int64) {
	t.Helper()
	content := &layerContent{hash: sha256.New(), size: size}
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(content.write(writer)) }()
	compressed := &counted{Reader: reader, hash: sha256.New()}
	response, _ := r.request(t, http.MethodPost, "/blobs/uploads/", "", nil)
	location, err := response.Location()
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, location.String(), compressed)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/octet-stream")
	response, err = http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	layer := digest.NewDigest(digest.SHA256, compressed.hash)
	if location, err = response.Location(); err != nil {
		t.Fatal(err)
	}
	query := location.Query()
	query.Set("digest", layer.String())
	location.RawQuery = query.Encode()
	if response, answer := r.request(t, http.MethodPut, location.String(), "", nil); response.StatusCode != http.StatusCreated {
		t.Fatalf("upload: %s: %s", response.Status, answer)
	}

	config := encode(t, object{
		"architecture": "amd64", "os": "linux",
		"rootfs": object{"type": "layers", "diff_ids": []any{digest.NewDigest(digest.SHA256, content.hash).String()}},
	})
	desc := object{"mediaType": ociConfig}
	refer(desc, config)
	r.putBlob(t, config)
	r.put(t, tag, ociManifest, encode(t, object{
		"schemaVersion": 2, "mediaType": ociManifest, "config": desc,
		"layers": []any{object{"mediaType": ociLayer + "+zstd", "digest": layer.String(), "size": compressed.size}},
	}))
}

// layerContent is a tar of one file: in each 4 KiB some bytes are random.
type layerContent struct {
	hash hash.Hash
	size int64
}

// write writes the tar, compressed with zstd.
func (c *layerContent) write(w io.Writer) error {
	encoder, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	archive := tar.NewWriter(io.MultiWriter(encoder, c.hash))
	if err := archive.WriteHeader(&tar.Header{Name: "content", Mode: 0o644, Size: c.size}); err != nil {
		return err
	}
	random := rand.NewChaCha8([32]byte{1})
	block := make([]byte, 1<<20)
	for written := int64(0); written < c.size; written += int64(len(block)) {
		for at := 0; at < len(block); at += 4 << 10 {
			_, _ = random.Read(block[at : at+64])
		}
		if _, err := archive.Write(block); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return encoder.Close()
}

// counted hashes and counts what is read from it.
type counted struct {
	io.Reader
	hash hash.Hash
	size int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.hash.Write(p[:n])
	c.size += int64(n)
	return n, err
}
