// SPDX-License-Identifier: Apache-2.0

package format

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// defaultCopies is how many blobs are moved at once. Ten was the fastest of
// the numbers measured between two registries.
const defaultCopies = 10

// Copy copies root and everything below it into dst: blobs, then documents,
// children before parents, the root last. Content that dst has is not moved.
// Foreign layers stay where they are unless [CopyOptions] says how to get
// them. Layers are compared with their media type's compression as they pass;
// their digests are compared by dst.
//
// When Copy fails the root is not written. Errors are of type [*Error].
func Copy(ctx context.Context, dst content.Ingester, src content.Provider, root ocispec.Descriptor, o CopyOptions) error {
	if o.Concurrency <= 0 {
		o.Concurrency = defaultCopies
	}
	c := &copier{dst: dst, src: src, opts: o, seen: map[blobKey]int64{}, heights: map[*document]int{}}
	for _, desc := range append([]ocispec.Descriptor{root}, o.Referrers...) {
		g, err := load(ctx, src, desc, loadOptions{concurrency: o.Concurrency})
		if err != nil {
			return withOp("copy", err)
		}
		c.roots = append(c.roots, g.root)
		if c.collect(g.root); c.err != nil {
			return c.err
		}
	}
	if err := c.copyBlobs(ctx); err != nil {
		return withOp("copy", err)
	}
	return withOp("copy", c.copyDocuments(ctx))
}

// copier is the state of one Copy.
type copier struct {
	dst     content.Ingester
	src     content.Provider
	opts    CopyOptions
	roots   []*document // the image's, then its referrers'
	blobs   []blob
	levels  [][]*document     // by height: manifests, their indexes, …
	seen    map[blobKey]int64 // size
	heights map[*document]int
	err     error // of listing
}

// blobKey tells blobs apart: one that is foreign here may be held there.
type blobKey struct {
	digest  digest.Digest
	foreign bool
}

type blob struct {
	*descriptor
	// typ is the descriptor's, but none for the payload of an artifact: that is
	// no filesystem, whatever it calls itself.
	typ  MediaType
	path string
}

// collect lists what is below d, each digest once, and returns d's height.
func (c *copier) collect(d *document) int {
	if h, ok := c.heights[d]; ok {
		return h
	}
	height := 0
	for _, l := range append([]*descriptor{d.config}, d.layers...) {
		if l != nil {
			c.addBlob(d, l)
		}
	}
	for i, m := range d.manifests {
		if child := d.children[i]; child != nil {
			height = max(height, c.collect(child)+1)
		} else {
			c.addBlob(d, m)
		}
	}
	c.heights[d] = height
	for len(c.levels) <= height {
		c.levels = append(c.levels, nil)
	}
	c.levels[height] = append(c.levels[height], d)
	return height
}

// addBlob lists what d names by l, once. Of errors the first is kept.
func (c *copier) addBlob(d *document, l *descriptor) {
	b := blob{descriptor: l, typ: l.typ, path: d.path + "/" + l.field}
	if d.isArtifact() {
		b.typ = MediaType{Foreign: l.typ.Foreign}
	}
	key := blobKey{l.Digest, l.typ.Foreign}
	switch size, again := c.seen[key]; {
	case !again:
		c.seen[key] = l.Size
		c.blobs = append(c.blobs, b)
	case size != l.Size && c.err == nil:
		c.err = &Error{Op: "copy", Path: b.path, Desc: l.Descriptor, Err: otherSize(l.Size, size)}
	}
}

func (c *copier) copyBlobs(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.opts.Concurrency)
	for _, b := range c.blobs {
		group.Go(func() error {
			if ctx.Err() != nil {
				return at("copy", b.path, b.Descriptor, context.Cause(ctx))
			}
			return at("copy", b.path, b.Descriptor, c.copyBlob(ctx, b))
		})
	}
	return group.Wait()
}

// copyBlob moves one blob in the best way that the destination has.
func (c *copier) copyBlob(ctx context.Context, b blob) (err error) {
	desc := Plain(b.Descriptor)
	if b.typ.Foreign && c.opts.Foreign == nil {
		reporter(c.opts.Progress, ActionSkip, b.path, desc)(0, true, nil)
		return nil
	}
	var done atomic.Int64
	report := reporter(c.opts.Progress, ActionCopy, b.path, desc)
	action := ActionCopy
	defer func() {
		reporter(c.opts.Progress, action, b.path, desc)(done.Load(), true, err)
	}()
	progress := func(n int64) {
		done.Store(n)
		report(n, false, nil)
	}
	if b.typ.Foreign {
		return c.copyForeign(ctx, b, progress)
	}
	src := checked{c.src, b.typ}
	stage, staged := c.src.(*Stage)
	if better, ok := c.dst.(BlobCopier); ok && !(staged && stage.has(desc.Digest)) {
		if action, err = better.CopyBlob(ctx, src, desc, progress); errors.Is(err, ErrCorrupt) {
			err = cmp.Or(verifyBlob(ctx, src, desc), err)
		}
		return err
	}
	w, err := openWriter(ctx, c.dst, desc)
	if errdefs.IsAlreadyExists(err) {
		action = ActionExists
		return nil
	}
	if err != nil {
		return err
	}
	ra, err := src.ReaderAt(ctx, desc)
	if err != nil {
		w.abort(ctx)
		return err
	}
	defer ra.Close()
	return pour(ctx, w, io.NewSectionReader(ra, 0, desc.Size), desc, progress)
}

// verifyBlob reads a blob that a destination refused, to tell whether it is the
// source that has another.
func verifyBlob(ctx context.Context, src content.Provider, desc ocispec.Descriptor) error {
	ra, err := src.ReaderAt(ctx, desc)
	if err != nil {
		return err
	}
	defer ra.Close()
	return newPassage(ctx, content.NewReader(ra), desc, func(int64, bool, error) {}).finish()
}

// copyForeign gets a foreign layer from where its URLs say.
func (c *copier) copyForeign(ctx context.Context, b blob, progress func(int64)) error {
	desc := Plain(b.Descriptor)
	w, err := openWriter(ctx, c.dst, desc)
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return err
	}
	r, err := c.opts.Foreign(ctx, b.Descriptor)
	if err != nil {
		w.abort(ctx)
		return err
	}
	defer r.Close()
	return pour(ctx, w, r, desc, progress)
}

// pour writes all of r to w and commits it.
func pour(ctx context.Context, w *writer, r io.Reader, desc ocispec.Descriptor, progress func(int64)) error {
	report := func(done int64, _ bool, _ error) { progress(done) }
	in := newPassage(ctx, io.LimitReader(r, desc.Size+1), desc, report)
	if _, err := io.CopyBuffer(writerOnly{w}, in, make([]byte, copyBuffer)); err != nil {
		w.abort(ctx)
		return err
	}
	if in.done != desc.Size {
		w.abort(ctx)
		return fmt.Errorf("%w: its descriptor says %d bytes, but it has %s", ErrCorrupt, desc.Size, sizeSeen(in.done, desc.Size))
	}
	if err := in.finish(); err != nil {
		w.abort(ctx)
		return err
	}
	return w.commit(ctx, desc)
}

func sizeSeen(done, want int64) string {
	if done > want {
		return "more"
	}
	return fmt.Sprint(done)
}

// copyDocuments writes the documents, those of one height at once, and the
// root of the image last.
func (c *copier) copyDocuments(ctx context.Context) error {
	root := c.roots[0]
	for _, level := range c.levels {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(c.opts.Concurrency)
		for _, d := range level {
			if d == root {
				continue
			}
			group.Go(func() error {
				return at("copy", d.path, d.desc, writeBlob(ctx, c.dst, documentDescriptor(d), d.body))
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	desc := documentDescriptor(root)
	if ctx.Err() != nil {
		return at("copy", "", desc, context.Cause(ctx))
	}
	if c.opts.Root != nil {
		return at("copy", "", desc, c.opts.Root(ctx, desc, root.body))
	}
	return at("copy", "", desc, writeBlob(ctx, c.dst, desc, root.body))
}

// documentDescriptor says what a document is, and of an artifact what kind.
func documentDescriptor(d *document) ocispec.Descriptor {
	desc := Plain(d.desc)
	desc.ArtifactType = d.artifactType
	return desc
}

// checked is a Provider that compares the first bytes of a layer with what its
// media type says they are.
type checked struct {
	content.Provider
	typ MediaType
}

func (c checked) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	ra, err := c.Provider.ReaderAt(ctx, desc)
	if err != nil || c.typ.Kind != KindLayer {
		return ra, err
	}
	return &checkedReaderAt{ReaderAt: ra, typ: c.typ}, nil
}

type checkedReaderAt struct {
	content.ReaderAt
	typ MediaType
}

func (r *checkedReaderAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, off)
	if off == 0 && n >= magicSize && (err == nil || errors.Is(err, io.EOF)) {
		if bad := checkMagic(p[:n], r.typ); bad != nil {
			return 0, bad
		}
	}
	return n, err
}
