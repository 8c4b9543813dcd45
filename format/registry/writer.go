// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/manifest-format/manifest-format/format"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// errAborted ends the stream of a writer that is closed.
var errAborted = errors.New("upload aborted")

// Writer implements [content.Ingester]. A manifest or an index is kept in
// memory and put by its digest at Commit. Any other content is streamed to the
// registry as it is written, its digest need not be known before Commit; if it
// is known and the repository has it, the error is of class ErrAlreadyExists.
// Content that is not committed is cancelled at the registry on Close. What
// broke can not be resumed, and is not sent again: [Repository.CopyBlob] does
// that, where the content can be read twice.
//
// A registry that cannot be reached is class ErrAborted here, since containerd
// takes ErrUnavailable from a Writer for a lock, and waits for it for ever.
func (r *Repository) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	status := content.Status{Ref: o.Ref, Total: o.Desc.Size, Expected: o.Desc.Digest, StartedAt: time.Now()}
	if isDocument(o.Desc.MediaType) {
		return &documentWriter{repo: r, desc: o.Desc, status: status}, nil
	}
	ctx = r.forPush(ctx)
	if o.Desc.Digest != "" {
		there, err := r.hasBlob(ctx, o.Desc)
		if err != nil {
			return nil, aborted(err)
		}
		if there {
			return nil, fmt.Errorf("%s: %w", r.named(o.Desc.Digest.String()), errdefs.ErrAlreadyExists)
		}
	}
	session, err := r.startUpload(ctx, r.Name())
	if err != nil {
		return nil, aborted(err)
	}
	return newBlobWriter(ctx, session, status), nil
}

// aborted makes class ErrAborted of class ErrUnavailable.
func aborted(err error) error {
	var e *Error
	if errors.As(err, &e) && errdefs.IsUnavailable(e.class) {
		return &Error{Ref: e.Ref, StatusCode: e.StatusCode, Text: e.Text, class: errdefs.ErrAborted, cause: e.cause}
	}
	return err
}

// documentWriter puts a document at Commit.
type documentWriter struct {
	repo   *Repository
	desc   ocispec.Descriptor
	status content.Status
	buf    bytes.Buffer
	closed bool
}

// Write implements [io.Writer].
func (w *documentWriter) Write(p []byte) (int, error) {
	if w.closed {
		return 0, io.ErrClosedPipe
	}
	if w.buf.Len()+len(p) > maxDocument {
		return 0, fmt.Errorf("%s: a document of more than %d bytes: %w", w.repo.Name(), maxDocument, format.ErrTooLarge)
	}
	w.status.UpdatedAt = time.Now()
	return w.buf.Write(p)
}

// Digest implements [content.Writer].
func (w *documentWriter) Digest() digest.Digest {
	if w.desc.Digest != "" {
		return w.desc.Digest.Algorithm().FromBytes(w.buf.Bytes())
	}
	return digest.FromBytes(w.buf.Bytes())
}

// Commit implements [content.Writer].
func (w *documentWriter) Commit(ctx context.Context, size int64, expected digest.Digest, _ ...content.Opt) error {
	if w.closed {
		return io.ErrClosedPipe
	}
	w.closed = true
	if expected == "" {
		expected = w.desc.Digest
	}
	if expected == "" {
		expected = w.Digest()
	}
	if size <= 0 {
		size = int64(w.buf.Len())
	}
	desc := ocispec.Descriptor{MediaType: w.desc.MediaType, Digest: expected, Size: size}
	return w.repo.PutRoot(ctx, desc, w.buf.Bytes())
}

// Status implements [content.Writer].
func (w *documentWriter) Status() (content.Status, error) {
	w.status.Offset = int64(w.buf.Len())
	return w.status, nil
}

// Truncate implements [content.Writer].
func (w *documentWriter) Truncate(size int64) error {
	if size < 0 || size > int64(w.buf.Len()) {
		return fmt.Errorf("truncate to %d bytes: %w", size, errdefs.ErrOutOfRange)
	}
	w.buf.Truncate(int(size))
	return nil
}

// Close implements [io.Closer].
func (w *documentWriter) Close() error {
	w.closed = true
	return nil
}

// blobWriter streams a blob to an upload session.
type blobWriter struct {
	session *upload
	// stop ends what is under way, abort cancels the session.
	stop, abort func()
	stream      func(io.Reader) error

	mu       sync.Mutex
	digester digest.Digester
	status   content.Status
	pipe     *io.PipeWriter // nil before the first byte
	done     chan struct{}  // closed when the stream has ended, with failure
	failure  error
	closed   bool
}

// newBlobWriter returns a writer to a session. ctx is for its stream.
func newBlobWriter(ctx context.Context, session *upload, status content.Status) *blobWriter {
	streamCtx, stop := context.WithCancel(ctx)
	return &blobWriter{
		session:  session,
		stop:     stop,
		abort:    func() { session.cancel(ctx) },
		stream:   func(r io.Reader) error { return session.patch(streamCtx, r) },
		digester: digest.Canonical.Digester(),
		status:   status,
	}
}

// Write implements [io.Writer].
func (w *blobWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, io.ErrClosedPipe
	}
	if w.pipe == nil {
		if len(p) == 0 {
			return 0, nil
		}
		var r *io.PipeReader
		r, w.pipe = io.Pipe()
		w.done = make(chan struct{})
		go func() {
			defer close(w.done)
			if w.failure = w.stream(r); w.failure != nil {
				r.CloseWithError(w.failure)
			} else {
				r.CloseWithError(io.ErrClosedPipe)
			}
		}()
	}
	n, err := w.pipe.Write(p)
	w.digester.Hash().Write(p[:n])
	w.status.Offset += int64(n)
	w.status.UpdatedAt = time.Now()
	return n, err
}

// Digest implements [content.Writer]: of what has been written.
func (w *blobWriter) Digest() digest.Digest {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.digester.Digest()
}

// Commit implements [content.Writer].
func (w *blobWriter) Commit(ctx context.Context, size int64, expected digest.Digest, _ ...content.Opt) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return io.ErrClosedPipe
	}
	w.closed = true
	defer w.stop()
	if err := w.finish(ctx, size, expected); err != nil {
		w.end()
		w.abort()
		return err
	}
	return nil
}

// finish ends the stream and names the blob.
func (w *blobWriter) finish(ctx context.Context, size int64, expected digest.Digest) error {
	got, repo := w.digester.Digest(), w.session.repo
	if expected == "" {
		expected = w.status.Expected
	}
	if expected == "" {
		expected = got
	}
	ref := repo.named(expected.String())
	if size > 0 && size != w.status.Offset {
		return repo.corrupt(ref, "the content is %d bytes, not %d", w.status.Offset, size)
	}
	if expected.Algorithm() == digest.Canonical && expected != got {
		return repo.corrupt(ref, "the content's digest is %s", got)
	}
	if w.pipe != nil {
		w.pipe.Close()
		<-w.done
		w.pipe = nil
		if w.failure != nil {
			return w.failure
		}
	}
	return w.session.close(repo.forPush(ctx), ocispec.Descriptor{Digest: expected, Size: w.status.Offset})
}

// end stops the stream, if there is one, and waits for it.
func (w *blobWriter) end() {
	w.stop()
	if w.pipe != nil {
		w.pipe.CloseWithError(errAborted)
		<-w.done
		w.pipe = nil
	}
}

// Status implements [content.Writer].
func (w *blobWriter) Status() (content.Status, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status, nil
}

// Truncate implements [content.Writer]: what is sent is sent.
func (w *blobWriter) Truncate(size int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if size != w.status.Offset {
		return fmt.Errorf("truncate an upload: %w", errdefs.ErrNotImplemented)
	}
	return nil
}

// Close implements [io.Closer]. It cancels what has not been committed.
func (w *blobWriter) Close() error {
	// A write under way ends with its request, and holds the lock until then.
	w.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	w.end()
	w.abort()
	return nil
}
