// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// blob is a content.ReaderAt that hashes what is read in order from the start,
// and fails the read that reaches the end if the digest is another one. Reads
// out of order are not hashed: nobody can tell about bytes not seen.
type blob struct {
	src   io.ReaderAt
	size  int64
	want  digest.Digest
	close func() error

	mu       sync.Mutex // guards what is below
	digester digest.Digester
	next     int64 // where the hashed part ends
	verified bool
	bad      error
}

// newBlob checks what can be checked before a byte is read. A size of 0 in
// desc is one not known. On success the blob owns close.
func newBlob(src io.ReaderAt, size int64, desc ocispec.Descriptor, closeSource func() error) (content.ReaderAt, error) {
	if desc.Size != 0 && desc.Size != size {
		return nil, fmt.Errorf("blob %s: %w: %d bytes, its descriptor says %d", desc.Digest, format.ErrCorrupt, size, desc.Size)
	}
	return &blob{src: src, size: size, want: desc.Digest, close: closeSource}, nil
}

// Size implements content.ReaderAt.
func (b *blob) Size() int64 { return b.size }

// Close implements content.ReaderAt.
func (b *blob) Close() error { return b.close() }

// ReadAt implements io.ReaderAt. It gives no bytes together with a mismatch,
// as io.ReadFull ignores an error that comes with all the bytes it asked for.
func (b *blob) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.src.ReadAt(p, off)
	if bad := b.hash(p[:n], off); bad != nil {
		return 0, bad
	}
	if err == io.EOF && off+int64(n) < b.size {
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// hash takes note of the bytes read at off.
func (b *blob) hash(p []byte, off int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.verified || b.bad != nil {
		return b.bad
	}
	if off == 0 {
		b.digester, b.next = b.want.Algorithm().Digester(), 0
	}
	if b.digester == nil || off != b.next {
		return nil
	}
	b.digester.Hash().Write(p) // a hash.Hash never fails
	b.next += int64(len(p))
	if b.next < b.size {
		return nil
	}
	if got := b.digester.Digest(); got != b.want {
		b.bad = fmt.Errorf("blob %s: %w: its content is %s", b.want, format.ErrCorrupt, got)
	}
	b.verified = b.bad == nil
	return b.bad
}

// readFullAt fills p from the start of r.
func readFullAt(r io.ReaderAt, p []byte) error {
	n, err := r.ReadAt(p, 0)
	if errors.Is(err, io.EOF) && n == len(p) {
		err = nil
	}
	return err
}
