// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/manifest-format/manifest-format/format"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// CopyBlob implements [format.BlobCopier]. In this order, the blob is
//
//   - there, without a request, if the repository itself is in
//     [Options.MountFrom];
//   - mounted from the repositories of MountFrom: one request;
//   - there, if the registry says so: one request;
//   - read from src and uploaded, again in a new session if that broke.
//
// The registry checks the digest; its no is [format.ErrCorrupt]. An upload
// that fails is cancelled at the registry.
func (r *Repository) CopyBlob(ctx context.Context, src content.Provider, desc ocispec.Descriptor, progress func(n int64)) (format.Action, error) {
	if r.mounts.self {
		return format.ActionExists, nil
	}
	var session *upload
	for i, path := range r.mounts.from {
		mounted, u, err := r.mount(ctx, desc, path)
		switch {
		case err != nil:
			return "", err
		case mounted:
			return format.ActionMount, nil
		case u != nil && i < len(r.mounts.from)-1:
			u.cancel(ctx)
		default:
			session = u
		}
	}
	ctx = r.forPush(ctx)
	there, err := r.hasBlob(ctx, desc)
	if err != nil || there {
		if session != nil {
			session.cancel(ctx)
		}
		return format.ActionExists, err
	}
	if err := r.send(ctx, session, src, desc, progress); err != nil {
		return "", err
	}
	return format.ActionCopy, nil
}

// send uploads a blob, in the session given or else in one of its own.
func (r *Repository) send(ctx context.Context, session *upload, src content.Provider, desc ocispec.Descriptor, progress func(n int64)) error {
	ref := r.named(desc.Digest.String())
	from, err := src.ReaderAt(ctx, desc)
	if err != nil {
		if session != nil {
			session.cancel(ctx)
		}
		return err
	}
	defer from.Close()
	body := &blobBody{from: from, size: desc.Size, progress: progress}
	more := r.retries.request()
	for attempt := 0; ; attempt++ {
		if session == nil {
			if session, err = r.startUpload(ctx, ref); err != nil {
				return err
			}
		}
		resp, err := session.put(ctx, desc.Digest, body)
		if err == nil && resp.StatusCode == http.StatusCreated {
			return resp.Body.Close()
		}
		session.cancel(ctx)
		session = nil
		if !temporary(resp, err) || !more.pause(ctx, attempt, resp, err) {
			return r.ended(ctx, ref, resp, err)
		}
		if resp != nil {
			resp.Body.Close()
		}
		// It may have been the answer alone that was lost.
		if there, err := r.hasBlob(ctx, desc); err != nil || there {
			return err
		}
	}
}

// ended makes an error of the last request of an upload.
func (r *Repository) ended(ctx context.Context, ref string, resp *http.Response, err error) error {
	if err == nil {
		err = r.refuse(ref, "upload", resp)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return r.fail(ref, "upload", err)
}

// blobBody gives out bodies for requests that send a blob, one at a time.
type blobBody struct {
	from     content.ReaderAt
	size     int64
	progress func(n int64)

	mu      sync.Mutex
	current *bodyReader
	failure error
}

// open returns a body from the start on. It ends the one before, which
// net/http may still be reading for a request that was answered already.
func (b *blobBody) open() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current != nil {
		b.current.end()
	}
	b.current = &bodyReader{blob: b}
	return b.current, nil
}

// fail keeps why the source could not be read.
func (b *blobBody) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failure = err
}

// err returns why the source could not be read, if that is so.
func (b *blobBody) err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failure
}

// bodyReader reads a blob for one request.
type bodyReader struct {
	blob *blobBody

	mu    sync.Mutex
	at    int64
	ended bool
}

// Read implements [io.Reader].
func (r *bodyReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return 0, io.ErrClosedPipe
	}
	if r.at == r.blob.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.blob.size-r.at)]
	n, err := r.blob.from.ReadAt(p, r.at)
	r.at += int64(n)
	if n > 0 && r.blob.progress != nil {
		r.blob.progress(r.at)
	}
	switch {
	case errors.Is(err, io.EOF) && r.at == r.blob.size:
		return n, nil
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("the content is %d bytes, not %d: %w", r.at, r.blob.size, format.ErrCorrupt)
	}
	if err != nil {
		r.blob.fail(err)
	}
	return n, err
}

// Close implements [io.Closer].
func (r *bodyReader) Close() error {
	r.end()
	return nil
}

// end waits for a read under way and allows no other.
func (r *bodyReader) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}
