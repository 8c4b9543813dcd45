// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// goodProgress is how much must have arrived since a download broke for the
// next break to count as the first.
const goodProgress = 1 << 20

// blobReader reads a blob as one stream for as long as it is read in order.
type blobReader struct {
	repo *Repository
	desc ocispec.Descriptor
	ref  string
	// open starts a stream at an offset; pause waits before another try.
	open   func(offset int64) (io.ReadCloser, error)
	pause  func(attempt int, err error) bool
	cancel context.CancelFunc

	mu       sync.Mutex
	stream   io.ReadCloser // nil if there is none
	at       int64         // of stream in the blob
	breaks   int           // since there was good progress
	brokenAt int64
}

// openBlob makes the first request.
func (r *Repository) openBlob(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	ctx, cancel := context.WithCancel(r.forPull(ctx))
	b := &blobReader{repo: r, desc: desc, ref: r.named(desc.Digest.String()), cancel: cancel}
	b.open = func(offset int64) (io.ReadCloser, error) { return b.get(ctx, offset) }
	more := r.retries.request()
	b.pause = func(attempt int, err error) bool { return more.pause(ctx, attempt, nil, err) }
	stream, err := b.open(0)
	if err != nil {
		cancel()
		return nil, err
	}
	b.stream = stream
	return b, nil
}

// get requests the blob from offset on.
func (b *blobReader) get(ctx context.Context, offset int64) (io.ReadCloser, error) {
	header := http.Header{"Accept-Encoding": {"identity"}}
	if offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := b.repo.request(ctx, http.MethodGet, b.repo.base+"/blobs/"+b.desc.Digest.String(), header)
	if err != nil {
		return nil, b.repo.fail(b.ref, "blob", err)
	}
	first := int64(0)
	switch resp.StatusCode {
	case http.StatusOK: // the whole of it, whatever was asked for
	case http.StatusPartialContent:
		var last int64
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d", &first, &last); err != nil || first != offset {
			resp.Body.Close()
			return nil, b.repo.corrupt(b.ref, "the registry sent another part than was asked for")
		}
	case http.StatusRequestedRangeNotSatisfiable:
		resp.Body.Close()
		return nil, b.repo.corrupt(b.ref, "the content is shorter than %d bytes", b.desc.Size)
	default:
		return nil, b.repo.refuse(b.ref, "blob", resp)
	}
	if resp.ContentLength >= 0 && first+resp.ContentLength != b.desc.Size {
		resp.Body.Close()
		return nil, b.repo.corrupt(b.ref, "the content is %d bytes, not %d", first+resp.ContentLength, b.desc.Size)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, offset-first); err != nil {
		resp.Body.Close()
		return nil, b.repo.fail(b.ref, "blob", err)
	}
	return resp.Body, nil
}

// Size implements [content.ReaderAt].
func (b *blobReader) Size() int64 { return b.desc.Size }

// ReadAt implements [io.ReaderAt]. Calls wait for one another.
func (b *blobReader) ReadAt(p []byte, offset int64) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if offset < 0 || offset >= b.desc.Size {
		if offset == b.desc.Size {
			return 0, b.checkEnd()
		}
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), b.desc.Size-offset)]
	n := 0
	for n < len(want) {
		got, err := b.readSome(want[n:], offset+int64(n))
		n += got
		if err != nil {
			return n, err
		}
	}
	if offset+int64(n) == b.desc.Size {
		return n, b.checkEnd()
	}
	return n, nil
}

// readSome reads from the stream, which it moves to offset first, and mends if
// it breaks.
func (b *blobReader) readSome(p []byte, offset int64) (int, error) {
	if b.stream == nil || b.at != offset {
		b.closeStream()
		stream, err := b.open(offset)
		if err != nil {
			return 0, err
		}
		b.stream, b.at = stream, offset
	}
	n, err := io.ReadFull(b.stream, p)
	b.at += int64(n)
	if err == nil {
		return n, nil
	}
	b.closeStream()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if b.at-b.brokenAt >= goodProgress {
		b.breaks = 0
	}
	b.brokenAt = b.at
	if !b.pause(b.breaks, err) {
		return n, b.repo.fail(b.ref, "blob", fmt.Errorf("download broke off after %d of %d bytes: %w", b.at, b.desc.Size, err))
	}
	b.breaks++
	return n, nil
}

// checkEnd returns io.EOF if the stream ends where it should.
func (b *blobReader) checkEnd() error {
	if b.stream == nil || b.at != b.desc.Size {
		return io.EOF
	}
	if n, _ := io.ReadFull(b.stream, make([]byte, 1)); n > 0 {
		b.closeStream()
		return b.repo.corrupt(b.ref, "the content is longer than %d bytes", b.desc.Size)
	}
	b.closeStream()
	return io.EOF
}

// closeStream ends the request under way.
func (b *blobReader) closeStream() {
	if b.stream != nil {
		b.stream.Close()
		b.stream = nil
	}
}

// Close implements [io.Closer]. It ends a read under way.
func (b *blobReader) Close() error {
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closeStream()
	b.open = func(int64) (io.ReadCloser, error) {
		return nil, fmt.Errorf("%s: %w", b.ref, io.ErrClosedPipe)
	}
	return nil
}
