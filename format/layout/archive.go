// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

var (
	_ content.Provider          = (*Archive)(nil)
	_ content.ReferrersProvider = (*Archive)(nil)
)

// dockerManifest is the file that makes a tar one of `docker save`.
const dockerManifest = "manifest.json"

// Archive is an OCI image layout in a tar, or what `docker save` wrote: told
// apart by looking, and an OCI layout if it is both. The tar is not unpacked.
// It may be compressed with gzip or zstd. Safe for concurrent use.
type Archive struct {
	view

	tar   *tarFile
	made  map[digest.Digest][]byte // documents that `docker save` leaves out
	moved map[digest.Digest]extent // blobs that are not where a layout has them
	known map[extent]digest.Digest // of compressed layers, each hashed once
	close func() error
}

// OpenArchive opens the archive in the file path. The caller closes it. Errors
// are as those of [Open].
func OpenArchive(ctx context.Context, path string) (*Archive, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, missing("archive", path, err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory, not an archive%.0w", path, errdefs.ErrInvalidArgument)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	a, err := readArchive(ctx, f, "archive "+path)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	closeArchive := a.close
	a.close = func() error { return errors.Join(closeArchive(), f.Close()) }
	return a, nil
}

// ReadArchive opens the archive that r yields. If r can be read at any place
// (a regular file, a bytes.Reader) it is read in place, from where it stands,
// and must stay open as long as the archive. If not (a pipe), or if it is
// compressed, it is written to a temporary file, gone at Close at the latest.
// The caller closes the archive, and r.
func ReadArchive(ctx context.Context, r io.Reader) (*Archive, error) {
	return readArchive(ctx, r, "archive")
}

func readArchive(ctx context.Context, r io.Reader, where string) (*Archive, error) {
	src, size, closeSource, err := seekable(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	a, err := newArchive(ctx, src, size, where)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", where, err), closeSource())
	}
	a.close = closeSource
	return a, nil
}

func newArchive(ctx context.Context, src io.ReaderAt, size int64, where string) (*Archive, error) {
	t, err := readTar(ctx, src, size)
	if err != nil {
		return nil, err
	}
	a := &Archive{
		tar:   t,
		made:  map[digest.Digest][]byte{},
		moved: map[digest.Digest]extent{},
		known: map[extent]digest.Digest{},
	}
	a.where, a.blobs = where, a
	switch {
	case t.has(ocispec.ImageLayoutFile):
		err = a.readLayout(ctx)
	case t.has(dockerManifest):
		err = a.readDockerSave(ctx)
	case !t.ended:
		err = fmt.Errorf("%w: cut short, or no tar", format.ErrCorrupt)
	default:
		err = fmt.Errorf("neither an OCI layout nor what docker save writes: it has no %s and no %s%.0w",
			ocispec.ImageLayoutFile, dockerManifest, errdefs.ErrInvalidArgument)
	}
	return a, err
}

// readLayout reads the names of an OCI layout.
func (a *Archive) readLayout(ctx context.Context) error {
	for link := range a.tar.links {
		return fmt.Errorf("%w: %s is a link", format.ErrCorrupt, quoted(link))
	}
	body, err := a.tar.document(ocispec.ImageLayoutFile)
	if err != nil {
		return err
	}
	if err := checkMarker(body); err != nil {
		return err
	}
	if body, err = a.tar.document(ocispec.ImageIndexFile); err != nil {
		return err
	}
	index, err := parseIndex(body, ocispec.ImageIndexFile)
	if err != nil {
		return err
	}
	a.entries = index.descriptors()
	if len(a.entries) == 0 && a.tar.has(dockerManifest) {
		// Docker 25.0 left out images saved by digest
		// (https://github.com/moby/moby/issues/47210).
		return a.readDockerSave(ctx)
	}
	return nil
}

// Resolve is as [Dir.Resolve].
func (a *Archive) Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	return a.resolve(ctx, ref)
}

// Refs lists the named images, in the archive's order.
func (a *Archive) Refs(context.Context) ([]Ref, error) { return a.refs(), nil }

// Referrers is as [Dir.Referrers].
func (a *Archive) Referrers(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return a.referrers(ctx, desc)
}

// ReaderAt implements content.Provider, as [Dir.ReaderAt] does. A blob that is
// missing from an archive that is cut short is format.ErrCorrupt.
func (a *Archive) ReaderAt(_ context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if err := validate(desc.Digest); err != nil {
		return nil, err
	}
	nothing := func() error { return nil }
	if body, ok := a.made[desc.Digest]; ok {
		return newBlob(bytes.NewReader(body), int64(len(body)), desc, nothing)
	}
	e, ok := a.moved[desc.Digest]
	if !ok {
		var err error
		if e, ok, err = a.tar.find(blobPath(desc.Digest)); err != nil {
			return nil, fmt.Errorf("%s: %w", a.where, err)
		}
	}
	if !ok {
		return nil, fmt.Errorf("%s has no blob %s%.0w", a.where, desc.Digest, errdefs.ErrNotFound)
	}
	return newBlob(a.tar.section(e), e.size, desc, nothing)
}

// Close removes what was written to read the archive. It must not be used
// afterwards.
func (a *Archive) Close() error { return a.close() }
