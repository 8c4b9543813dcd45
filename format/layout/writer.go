// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// sink is where the bytes of one blob go until they are known to be right.
type sink interface {
	io.Writer
	// restart forgets what was written.
	restart() error
	// keep stores what was written as a blob of this digest and size, and
	// drops it if it cannot.
	keep(ctx context.Context, dgst digest.Digest, size int64) error
	// drop leaves nothing of what was written. It is called if keep is not.
	drop() error
}

// writer is the content.Writer of every place here: it counts, hashes and
// compares, and leaves the bytes to a sink. An ingestion is not resumed: the
// reference of content.WithRef is only reported back.
type writer struct {
	sink     sink
	ref      string
	desc     ocispec.Descriptor // what is known up front; Size 0 is unknown
	started  time.Time
	updated  time.Time
	digester digest.Digester
	size     int64
	failed   error
	closed   bool
}

// ingest reads the options of an Ingester.
func ingest(opts []content.WriterOpt) (content.WriterOpts, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return o, err
		}
	}
	o.Desc.Size = max(o.Desc.Size, 0)
	if o.Desc.Digest == "" {
		return o, nil
	}
	return o, validate(o.Desc.Digest)
}

// validate refuses a digest that is not one, or that is of an algorithm that
// cannot be computed. What passes is safe in a file name.
func validate(dgst digest.Digest) error {
	if err := dgst.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w%.0w", dgst, err, errdefs.ErrInvalidArgument)
	}
	return nil
}

func newWriter(o content.WriterOpts, s sink) *writer {
	now := time.Now()
	return &writer{sink: s, ref: o.Ref, desc: o.Desc, started: now, updated: now, digester: algorithm(o.Desc).Digester()}
}

// algorithm is what a blob is hashed with.
func algorithm(desc ocispec.Descriptor) digest.Algorithm {
	if desc.Digest != "" {
		return desc.Digest.Algorithm()
	}
	return digest.Canonical
}

// Write implements io.Writer. It refuses more bytes than were announced.
func (w *writer) Write(p []byte) (int, error) {
	if w.closed {
		return 0, errors.New("write to a closed blob")
	}
	if w.failed != nil {
		return 0, w.failed
	}
	if w.desc.Size > 0 && w.size+int64(len(p)) > w.desc.Size {
		w.failed = fmt.Errorf("blob %s: %w: more than the %d bytes announced", w.desc.Digest, format.ErrCorrupt, w.desc.Size)
		return 0, w.failed
	}
	n, err := w.sink.Write(p)
	w.digester.Hash().Write(p[:n]) // a hash.Hash never fails
	w.size += int64(n)
	w.updated = time.Now()
	w.failed = err
	return n, err
}

// Commit implements content.Writer.
func (w *writer) Commit(ctx context.Context, size int64, expected digest.Digest, _ ...content.Opt) error {
	if w.closed {
		return errors.New("commit of a closed blob")
	}
	if err := w.check(ctx, size, expected); err != nil {
		return errors.Join(err, w.Close())
	}
	w.closed = true
	return w.sink.keep(ctx, w.digester.Digest(), w.size)
}

// check compares what was written with what was announced, first and last.
func (w *writer) check(ctx context.Context, size int64, expected digest.Digest) error {
	if w.failed != nil {
		return w.failed
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	got := w.digester.Digest()
	for _, want := range []int64{size, w.desc.Size} {
		if want > 0 && want != w.size {
			return fmt.Errorf("blob %s: %w: %d bytes, not %d", w.desc.Digest, format.ErrCorrupt, w.size, want)
		}
	}
	for _, want := range []digest.Digest{expected, w.desc.Digest} {
		if want != "" && want != got {
			return fmt.Errorf("blob %s: %w: its content is %s", want, format.ErrCorrupt, got)
		}
	}
	return nil
}

// Close implements content.Writer: without a Commit before it, the blob was
// never there.
func (w *writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	return w.sink.drop()
}

// Digest implements content.Writer: of what is written so far.
func (w *writer) Digest() digest.Digest { return w.digester.Digest() }

// Status implements content.Writer.
func (w *writer) Status() (content.Status, error) {
	return content.Status{
		Ref: w.ref, Offset: w.size, Total: w.desc.Size, Expected: w.desc.Digest,
		StartedAt: w.started, UpdatedAt: w.updated,
	}, nil
}

// Truncate implements content.Writer, to 0 only: that is what a copy that
// starts again asks for.
func (w *writer) Truncate(size int64) error {
	if size != 0 {
		return fmt.Errorf("a blob can be truncated to 0 only, not to %d%.0w", size, errdefs.ErrNotImplemented)
	}
	if w.closed {
		return errors.New("truncate of a closed blob")
	}
	if err := w.sink.restart(); err != nil {
		return err
	}
	w.digester, w.size, w.failed = algorithm(w.desc).Digester(), 0, nil
	return nil
}
