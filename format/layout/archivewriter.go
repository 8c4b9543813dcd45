// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

var _ content.Ingester = (*ArchiveWriter)(nil)

// ArchiveWriter writes an OCI image layout as a tar, which `docker load` reads
// too if an image is of one platform. Blobs go into the tar as they come: a
// large one whose size and digest are known straight away, one at a time, so
// that Writer waits while another is written; a small one from memory; one of
// unknown size through a temporary file.
//
// The bytes depend on nothing but the blobs, their order and the names: there
// are no times and no owners in the tar. To have the same order each time,
// write one blob at a time (format.CopyOptions.Concurrency 1).
//
// Close finishes the archive, Abort gives it up, and does nothing after Close:
// defer Abort, return Close. An ArchiveWriter is safe for concurrent use.
type ArchiveWriter struct {
	path string        // of a file that appears at Close, or empty
	temp *os.File      // what it is until then, or nil
	turn chan struct{} // holds a token while someone writes to the tar
	tar  *tar.Writer

	mu      sync.Mutex // guards what is below
	written map[digest.Digest]int64
	bodies  map[digest.Digest][]byte // of manifests and indexes
	index   *index
	failed  error // why the archive cannot be finished
	ended   bool
}

// WriteArchive writes an archive to w, which the caller closes. A blob that is
// given up after its first bytes went out makes the archive useless: what
// follows fails. Abort cannot take back what w has.
func WriteArchive(w io.Writer) *ArchiveWriter {
	index, err := parseIndex([]byte(emptyIndex), ocispec.ImageIndexFile)
	if err != nil {
		panic(err) // a constant
	}
	return &ArchiveWriter{
		tar:     tar.NewWriter(w),
		turn:    make(chan struct{}, 1),
		written: map[digest.Digest]int64{},
		bodies:  map[digest.Digest][]byte{},
		index:   index,
	}
}

// CreateArchive writes an archive to the file path, which appears, in place of
// what was there, when Close succeeds. Until then it is a temporary file beside
// it, which Abort removes. It has the permissions of the file that it replaces.
func CreateArchive(path string) (*ArchiveWriter, error) {
	if err := CheckArchive(path); err != nil {
		return nil, err
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	info, err := os.Stat(path)
	there, perm := err == nil, os.FileMode(0o666)
	if there {
		perm = info.Mode().Perm()
	}
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text())
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, perm)
	if err != nil {
		return nil, err
	}
	if there { // whatever the umask
		if err := f.Chmod(perm); err != nil {
			return nil, errors.Join(err, f.Close(), os.Remove(name))
		}
	}
	a := WriteArchive(f)
	a.path, a.temp = path, f
	return a, nil
}

// Writer implements content.Ingester. It waits, until ctx is done, for its
// turn. What is in the archive already is errdefs.ErrAlreadyExists. A writer
// must be committed or closed: it may keep others waiting.
func (a *ArchiveWriter) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	o, err := ingest(opts)
	if err != nil {
		return nil, err
	}
	if err := a.wants(o.Desc.Digest); err != nil {
		return nil, err
	}
	switch {
	case o.Desc.Size == 0:
		t, err := newTemporaryFile()
		if err != nil {
			return nil, err
		}
		return newWriter(o, &spoolSink{archive: a, temporaryFile: t}), nil
	case o.Desc.Digest == "" || o.Desc.Size <= maxDocument:
		return a.buffered(o)
	}
	if err := a.acquire(ctx); err != nil {
		return nil, err
	}
	if err := a.wants(o.Desc.Digest); err != nil {
		a.release()
		return nil, err
	}
	return newWriter(o, &streamSink{archive: a, desc: o.Desc}), nil
}

// buffered is a writer of a blob whose digest or whose smallness makes it wait.
func (a *ArchiveWriter) buffered(o content.WriterOpts) (content.Writer, error) {
	if o.Desc.Size <= maxDocument {
		return newWriter(o, &memorySink{archive: a, mediaType: o.Desc.MediaType}), nil
	}
	t, err := newTemporaryFile()
	if err != nil {
		return nil, err
	}
	return newWriter(o, &spoolSink{archive: a, temporaryFile: t}), nil
}

// wants says why a blob is not to be written.
func (a *ArchiveWriter) wants(dgst digest.Digest) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failed != nil {
		return a.failed
	}
	if a.ended {
		return errors.New("archive: it is closed")
	}
	if _, ok := a.written[dgst]; ok {
		return fmt.Errorf("blob %s in archive: %w", dgst, errdefs.ErrAlreadyExists)
	}
	return nil
}

// acquire waits until nobody else writes to the tar.
func (a *ArchiveWriter) acquire(ctx context.Context) error {
	select {
	case a.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *ArchiveWriter) release() { <-a.turn }

// fail makes the archive one that cannot be finished.
func (a *ArchiveWriter) fail(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failed == nil {
		a.failed = fmt.Errorf("archive: %w", err)
	}
	return a.failed
}

// addBlob writes a blob that is all there. It waits for its turn.
func (a *ArchiveWriter) addBlob(ctx context.Context, dgst digest.Digest, size int64, r io.Reader) error {
	if err := a.acquire(ctx); err != nil {
		return err
	}
	defer a.release()
	if err := a.wants(dgst); err != nil {
		return err
	}
	if err := a.beginBlob(dgst, size); err != nil {
		return a.fail(err)
	}
	if _, err := io.Copy(a.tar, r); err != nil {
		return a.fail(err)
	}
	return a.endBlob(dgst, size)
}

// beginBlob writes a blob's header, and the directories before the first one
// of its algorithm. The caller has the turn.
func (a *ArchiveWriter) beginBlob(dgst digest.Digest, size int64) error {
	var dirs []string
	if len(a.written) == 0 {
		dirs = append(dirs, ocispec.ImageBlobsDir+"/")
	}
	known := false
	for other := range a.written {
		known = known || other.Algorithm() == dgst.Algorithm()
	}
	if !known {
		dirs = append(dirs, ocispec.ImageBlobsDir+"/"+dgst.Algorithm().String()+"/")
	}
	for _, dir := range dirs {
		if err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}); err != nil {
			return err
		}
	}
	return a.tar.WriteHeader(fileHeader(blobPath(dgst), size))
}

// endBlob makes a blob one that the archive has. The caller has the turn.
func (a *ArchiveWriter) endBlob(dgst digest.Digest, size int64) error {
	if err := a.tar.Flush(); err != nil {
		return a.fail(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.written[dgst] = size
	return nil
}

func fileHeader(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o444}
}

// PutRoot is as [Dir.PutRoot]: it stores body, the document of desc, and
// remembers its names for Close to write.
func (a *ArchiveWriter) PutRoot(ctx context.Context, desc ocispec.Descriptor, body []byte, refs ...string) error {
	names, err := parseNames(refs)
	if err != nil {
		return err
	}
	if err := checkBody(desc, body); err != nil {
		return err
	}
	err = a.addBlob(ctx, desc.Digest, desc.Size, bytes.NewReader(body))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return err
	}
	desc.Data = nil
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bodies[desc.Digest] = bytes.Clone(body)
	for _, n := range names {
		if err := a.index.put(desc, n); err != nil {
			return err
		}
	}
	return nil
}

// PutReferrer is as [Dir.PutReferrer]. The manifest must have been written.
func (a *ArchiveWriter) PutReferrer(ctx context.Context, desc ocispec.Descriptor) error {
	entry, err := referrerEntry(ctx, documents{a}, desc)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.index.put(entry, name{})
}

// Close writes the names and finishes the archive. An archive without a root
// is none: it fails, as Abort does not. If it fails, no file appears.
func (a *ArchiveWriter) Close() error {
	select {
	case a.turn <- struct{}{}:
	default:
		return errors.Join(a.fail(errors.New("closed while a blob was being written")), a.Abort())
	}
	defer a.release()
	if err := a.finish(); err != nil {
		return errors.Join(err, a.Abort())
	}
	return nil
}

// finish writes what comes last.
func (a *ArchiveWriter) finish() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failed != nil || a.ended {
		return a.failed
	}
	if len(a.index.entries) == 0 {
		return fmt.Errorf("archive: no image was written to it%.0w", errdefs.ErrFailedPrecondition)
	}
	index, _ := a.index.bytes()
	if len(index) > maxDocument {
		return fmt.Errorf("archive: %s: %w: it would have %d bytes", ocispec.ImageIndexFile, format.ErrTooLarge, len(index))
	}
	docker, err := a.dockerManifest()
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name string
		body []byte
	}{
		{ocispec.ImageIndexFile, index},
		{ocispec.ImageLayoutFile, []byte(marker)},
		{dockerManifest, docker},
	} {
		if file.body == nil {
			continue
		}
		if err := a.tar.WriteHeader(fileHeader(file.name, int64(len(file.body)))); err != nil {
			return err
		}
		if _, err := a.tar.Write(file.body); err != nil {
			return err
		}
	}
	if err := a.tar.Close(); err != nil {
		return err
	}
	if err := a.publish(); err != nil {
		return err
	}
	a.ended = true
	return nil
}

// publish makes the temporary file the file that was asked for.
func (a *ArchiveWriter) publish() error {
	if a.temp == nil {
		return nil
	}
	if err := a.temp.Sync(); err != nil {
		return err
	}
	if err := a.temp.Close(); err != nil {
		return err
	}
	return os.Rename(a.temp.Name(), a.path)
}

// Abort gives the archive up and removes the temporary file. After Close it
// does nothing.
func (a *ArchiveWriter) Abort() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return nil
	}
	a.ended = true
	if a.failed == nil {
		a.failed = errors.New("archive: it was given up")
	}
	if a.temp == nil {
		return nil
	}
	_ = a.temp.Close() // it may be closed already, and what it has is not wanted
	return os.Remove(a.temp.Name())
}

// isDocument reports whether a blob of this type is a manifest or an index.
func isDocument(mediaType string) bool {
	return images.IsManifestType(mediaType) || images.IsIndexType(mediaType)
}
