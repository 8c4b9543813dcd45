// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// temporary is how the names of files begin that are being written. They lie
// at the top of the layout, where the specification allows other files, and
// not below blobs, where it does not.
const temporary = ".ingest-"

// Writer implements content.Ingester. The bytes go to a temporary file, which
// becomes the blob at Commit, synced to the disk: a blob under its name is
// whole, even after a power cut. A blob that is there already is
// errdefs.ErrAlreadyExists, here if its digest is known, at Commit if not.
// Content that is not what was announced is format.ErrCorrupt. Whatever fails,
// Close leaves nothing behind.
func (d *Dir) Writer(_ context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	o, err := ingest(opts)
	if err != nil {
		return nil, err
	}
	if o.Desc.Digest != "" && d.has(o.Desc.Digest, o.Desc.Size) {
		return nil, d.exists(o.Desc.Digest)
	}
	f, err := d.createTemporary(0o444)
	if err != nil {
		return nil, err
	}
	return newWriter(o, &fileSink{dir: d, file: f}), nil
}

// has reports whether there is such a blob. One of another size (0 is not
// known) is a broken one, to be written again.
func (d *Dir) has(dgst digest.Digest, size int64) bool {
	info, err := d.root.Stat(blobPath(dgst))
	return err == nil && info.Mode().IsRegular() && (size == 0 || info.Size() == size)
}

func (d *Dir) exists(dgst digest.Digest) error {
	return fmt.Errorf("blob %s in %s: %w", dgst, d.where(), errdefs.ErrAlreadyExists)
}

func (d *Dir) createTemporary(perm os.FileMode) (*os.File, error) {
	f, err := d.root.OpenFile(temporary+rand.Text(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.where(), err)
	}
	return f, nil
}

// fileSink is a temporary file in the layout.
type fileSink struct {
	dir  *Dir
	file *os.File
}

func (s *fileSink) Write(p []byte) (int, error) {
	n, err := s.file.Write(p)
	if err != nil {
		return n, fmt.Errorf("%s: %w", s.dir.where(), err)
	}
	return n, nil
}

func (s *fileSink) restart() error {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return s.file.Truncate(0)
}

func (s *fileSink) keep(_ context.Context, dgst digest.Digest, size int64) error {
	if s.dir.has(dgst, size) {
		return errors.Join(s.dir.exists(dgst), s.drop())
	}
	name := blobPath(dgst)
	if err := s.dir.root.MkdirAll(path.Dir(name), 0o777); err != nil {
		return errors.Join(err, s.drop())
	}
	return s.dir.finish(s.file, name)
}

func (s *fileSink) drop() error {
	return errors.Join(s.file.Close(), s.dir.root.Remove(path.Base(s.file.Name())))
}

// finish makes a temporary file the file of that name, replacing what was
// there, or removes it.
func (d *Dir) finish(f *os.File, name string) error {
	temp := path.Base(f.Name())
	err := f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = d.root.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", d.where(), err), d.root.Remove(temp))
	}
	return nil
}

// replace writes a small file, whole or not at all.
func (d *Dir) replace(name string, body []byte) error {
	f, err := d.createTemporary(0o666)
	if err != nil {
		return err
	}
	if _, err := f.Write(body); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", d.where(), err), f.Close(), d.root.Remove(path.Base(f.Name())))
	}
	return d.finish(f, name)
}

// PutRoot stores body, the document of desc, and names it in index.json: once
// for each ref, in place of what had that name, or once without a name if
// there is no ref and it is not named yet. Everything that body names should
// be there already.
//
// A ref is a tag or a full reference; the latter is stored as containerd and
// BuildKit do, with the tag beside it. A tag on its own is taken away from
// other images, which keep their full names. The other entries of index.json
// keep their bytes.
//
// index.json is replaced in one step under a lock between processes: a reader
// sees it before or after, and no writer undoes another's work. Calling it
// again changes nothing.
func (d *Dir) PutRoot(ctx context.Context, desc ocispec.Descriptor, body []byte, refs ...string) error {
	names, err := parseNames(refs)
	if err != nil {
		return err
	}
	if err := d.putDocument(ctx, desc, body); err != nil {
		return err
	}
	desc.Data = nil
	return d.update(ctx, func(i *index) error {
		for _, n := range names {
			if err := i.put(desc, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// parseNames returns at least one name; the empty name is none.
func parseNames(refs []string) ([]name, error) {
	if len(refs) == 0 {
		return []name{{}}, nil
	}
	names := make([]name, 0, len(refs))
	for _, ref := range refs {
		n, err := parseName(ref)
		if err != nil {
			return nil, err
		}
		names = append(names, n)
	}
	return names, nil
}

// putDocument writes a document as a blob.
func (d *Dir) putDocument(ctx context.Context, desc ocispec.Descriptor, body []byte) error {
	if err := checkBody(desc, body); err != nil {
		return err
	}
	w, err := d.Writer(ctx, content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := w.Write(body); err != nil {
		return errors.Join(err, w.Close())
	}
	if err := w.Commit(ctx, desc.Size, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// checkBody refuses a document that is not the one that desc describes.
func checkBody(desc ocispec.Descriptor, body []byte) error {
	if err := validate(desc.Digest); err != nil {
		return err
	}
	if desc.Size != int64(len(body)) || desc.Digest.Algorithm().FromBytes(body) != desc.Digest {
		return fmt.Errorf("document %s: %w: the bytes given are others", desc.Digest, format.ErrCorrupt)
	}
	return nil
}

// PutReferrer lists an artifact manifest that is in the layout in index.json,
// without a name, with its artifactType, so that Referrers of its subject (and
// other tools, which look there) find it. A manifest without a subject is
// errdefs.ErrInvalidArgument. Calling it again changes nothing.
func (d *Dir) PutReferrer(ctx context.Context, desc ocispec.Descriptor) error {
	entry, err := referrerEntry(ctx, d, desc)
	if err != nil {
		return err
	}
	return d.update(ctx, func(i *index) error { return i.put(entry, name{}) })
}

// referrerEntry is desc as index.json lists it.
func referrerEntry(ctx context.Context, src content.Provider, desc ocispec.Descriptor) (ocispec.Descriptor, error) {
	body, err := readDocument(ctx, src, desc)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	doc, err := parse(body, "blob "+desc.Digest.String())
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if doc.Subject == nil {
		return ocispec.Descriptor{}, fmt.Errorf("manifest %s refers to no subject%.0w", desc.Digest, errdefs.ErrInvalidArgument)
	}
	mediaType, err := doc.mediaType()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return ocispec.Descriptor{
		MediaType: mediaType, Digest: desc.Digest, Size: int64(len(body)), ArtifactType: doc.artifactType(),
	}, nil
}

// update changes index.json under the lock.
func (d *Dir) update(ctx context.Context, change func(*index) error) error {
	unlock, err := d.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	index, err := d.index()
	if err != nil {
		return err
	}
	if err := change(index); err != nil {
		return err
	}
	body, changed := index.bytes()
	if !changed {
		return nil
	}
	if len(body) > maxDocument {
		return fmt.Errorf("%s of %s: %w: it would have %d bytes, at most %d are read",
			ocispec.ImageIndexFile, d.where(), format.ErrTooLarge, len(body), maxDocument)
	}
	if err := d.syncBlobs(); err != nil {
		return err
	}
	if err := d.replace(ocispec.ImageIndexFile, body); err != nil {
		return err
	}
	return d.sync(".")
}

// syncBlobs makes the names of blobs durable, before index.json speaks of them.
func (d *Dir) syncBlobs() error {
	blobs, err := d.root.Open(ocispec.ImageBlobsDir)
	if err != nil {
		return err
	}
	defer blobs.Close()
	algorithms, err := blobs.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, entry := range algorithms {
		if !entry.IsDir() {
			continue
		}
		if err := d.sync(path.Join(ocispec.ImageBlobsDir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
