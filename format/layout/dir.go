// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

var (
	_ format.Store              = (*Dir)(nil)
	_ content.ReferrersProvider = (*Dir)(nil)
)

// Dir is an OCI image layout in a directory. It is safe for concurrent use, by
// goroutines and by processes.
type Dir struct {
	path string // as the caller wrote it, for errors
	// draft is the directory to remove with a layout that was not published.
	draft string
	root  *os.Root
	busy  chan struct{} // holds a token while a goroutine of this process changes index.json
}

// Open opens the layout in the directory path. The caller closes it.
// errdefs.ErrNotFound is that there is none; what is there and cannot be read
// as one is format.ErrCorrupt, format.ErrAmbiguous or format.ErrTooLarge.
func Open(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, missing("OCI layout", path, err)
	}
	d := newDir(path, root)
	if err := d.checkMarker(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if _, err := d.index(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return d, nil
}

// Create opens the layout in the directory path, or makes one there, with the
// directories above it. A directory that has other things in it is left alone:
// errdefs.ErrFailedPrecondition. Two processes may create the same layout at
// once: both get it. The caller closes it.
func Create(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	d := newDir(path, root)
	if _, err := root.Lstat(ocispec.ImageLayoutFile); errors.Is(err, fs.ErrNotExist) {
		if err := d.make(); err != nil {
			return nil, errors.Join(err, root.Close())
		}
	}
	if err := root.Close(); err != nil {
		return nil, err
	}
	return Open(path)
}

func newDir(path string, root *os.Root) *Dir {
	return &Dir{path: path, root: root, busy: make(chan struct{}, 1)}
}

// make writes an empty layout, under the lock, oci-layout last: who sees it
// sees a whole one.
func (d *Dir) make() error {
	unlock, err := d.lock(context.Background())
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.checkVacant(); err != nil {
		return err
	}
	if err := d.root.MkdirAll(ocispec.ImageBlobsDir, 0o777); err != nil {
		return err
	}
	for _, file := range []struct{ name, body string }{
		{ocispec.ImageIndexFile, emptyIndex},
		{ocispec.ImageLayoutFile, marker},
	} {
		if _, err := d.root.Lstat(file.name); err == nil {
			continue // another process made it while this one waited
		}
		if err := d.replace(file.name, []byte(file.body)); err != nil {
			return err
		}
	}
	return nil
}

// checkVacant refuses a directory that someone uses for something else.
func (d *Dir) checkVacant() error {
	dir, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !ours(entry.Name()) {
			return fmt.Errorf("%s is no OCI layout, and not empty: it has %s: name an empty or a new directory%.0w",
				d.path, entry.Name(), errdefs.ErrFailedPrecondition)
		}
	}
	return nil
}

// ours reports whether a layout has a file of this name at its top, or has for
// a moment.
func ours(name string) bool {
	return slices.Contains([]string{ocispec.ImageLayoutFile, ocispec.ImageIndexFile, ocispec.ImageBlobsDir, lockFile}, name) ||
		strings.HasPrefix(name, temporary)
}

// marker is the content of the file oci-layout.
const marker = `{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`

// checkMarker reads the file that makes a directory a layout.
func (d *Dir) checkMarker() error {
	body, err := d.readFile(ocispec.ImageLayoutFile)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is no OCI layout: it has no file %s%.0w", d.path, ocispec.ImageLayoutFile, errdefs.ErrNotFound)
	}
	if err != nil {
		return err
	}
	if err := checkMarker(body); err != nil {
		return fmt.Errorf("%s: %w", d.where(), err)
	}
	return nil
}

func checkMarker(body []byte) error {
	var layout ocispec.ImageLayout
	if err := decode(body, ocispec.ImageLayoutFile, &layout); err != nil {
		return err
	}
	if layout.Version != ocispec.ImageLayoutVersion {
		return fmt.Errorf("%s: imageLayoutVersion is %q, and only %s is understood%.0w",
			ocispec.ImageLayoutFile, layout.Version, ocispec.ImageLayoutVersion, errdefs.ErrNotImplemented)
	}
	return nil
}

func (d *Dir) where() string { return "layout " + d.path }

// Close releases the directory, and removes a draft that was not published. It
// must not be used afterwards.
func (d *Dir) Close() error {
	err := d.root.Close()
	if d.draft != "" {
		err = errors.Join(err, os.RemoveAll(d.draft))
	}
	return err
}

// Resolve finds an image by its name: a tag, a full reference, or a digest. An
// empty ref is the only image there. An image's own name goes before a tag
// that images of several repositories share; more than one that answers
// equally well is errdefs.ErrInvalidArgument, none is errdefs.ErrNotFound, and
// both errors list what is there.
//
// A digest finds any manifest or index in the layout, named or not. The
// descriptor comes without the annotations that name it.
func (d *Dir) Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	v, err := d.view()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return v.resolve(ctx, ref)
}

// Refs lists the entries of index.json, in order.
func (d *Dir) Refs(context.Context) ([]Ref, error) {
	v, err := d.view()
	if err != nil {
		return nil, err
	}
	return v.refs(), nil
}

// Referrers lists the manifests that index.json names and whose subject is
// desc, as a registry's referrers API would: with artifactType and the
// manifest's annotations.
func (d *Dir) Referrers(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	v, err := d.view()
	if err != nil {
		return nil, err
	}
	return v.referrers(ctx, desc)
}

// view reads index.json: another process may have changed it.
func (d *Dir) view() (view, error) {
	index, err := d.index()
	if err != nil {
		return view{}, err
	}
	return view{where: d.where(), entries: index.descriptors(), blobs: d}, nil
}

// index reads and parses index.json.
func (d *Dir) index() (*index, error) {
	body, err := d.readFile(ocispec.ImageIndexFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: it has no %s", d.where(), format.ErrCorrupt, ocispec.ImageIndexFile)
	}
	if err != nil {
		return nil, err
	}
	return parseIndex(body, ocispec.ImageIndexFile+" of "+d.where())
}

// readFile reads a small file at the top of the layout.
func (d *Dir) readFile(name string) ([]byte, error) {
	f, info, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > maxDocument {
		return nil, fmt.Errorf("%s of %s: %w: %d bytes, at most %d are read",
			name, d.where(), format.ErrTooLarge, info.Size(), maxDocument)
	}
	body := make([]byte, info.Size())
	return body, readFullAt(f, body)
}

// open opens a regular file. It looks before it opens, as opening a pipe would
// wait for someone to write.
func (d *Dir) open(name string) (*os.File, fs.FileInfo, error) {
	info, err := d.root.Stat(name)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", d.where(), err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: %w: %s is no regular file", d.where(), format.ErrCorrupt, name)
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", d.where(), err)
	}
	// Another writer may have replaced the file since: its size counts.
	if info, err = f.Stat(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", d.where(), err), f.Close())
	}
	return f, info, nil
}

// ReaderAt implements content.Provider. A blob that is read in order from its
// start is compared with its digest: the read that reaches the end fails with
// format.ErrCorrupt if it is another one.
func (d *Dir) ReaderAt(_ context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if err := validate(desc.Digest); err != nil {
		return nil, err
	}
	f, info, err := d.open(blobPath(desc.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no blob %s%.0w", d.where(), desc.Digest, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	ra, err := newBlob(f, info.Size(), desc, f.Close)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return ra, nil
}

// blobPath is where a layout has the blob of a valid digest, with slashes.
func blobPath(dgst digest.Digest) string {
	return path.Join(ocispec.ImageBlobsDir, dgst.Algorithm().String(), dgst.Encoded())
}

// missing says that what is not there is not there, and leaves other errors be.
func missing(what, path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s at %s%.0w%.0w", what, path, errdefs.ErrNotFound, err)
	}
	return err
}
