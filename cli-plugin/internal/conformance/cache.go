// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// The most that is kept of one blob, and of all: documents and configs are
// smaller, and nothing else is read.
const (
	maxCached = 8 << 20
	maxTotal  = 256 << 20
)

// cache keeps what is read, so that sixty targets ask a registry once.
type cache struct {
	src content.Provider

	mu     sync.Mutex
	bodies map[digest.Digest][]byte
	total  int64
}

func newCache(src content.Provider) *cache {
	return &cache{src: src, bodies: map[digest.Digest][]byte{}}
}

// ReaderAt implements [content.Provider].
func (c *cache) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	c.mu.Lock()
	body, known := c.bodies[desc.Digest]
	c.mu.Unlock()
	if known {
		return format.NewReaderAt(body), nil
	}
	ra, err := c.src.ReaderAt(ctx, desc)
	if err != nil || ra.Size() > maxCached {
		return ra, err
	}
	defer ra.Close()
	body = make([]byte, ra.Size())
	if n, err := ra.ReadAt(body, 0); n < len(body) {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total+int64(len(body)) <= maxTotal {
		c.bodies[desc.Digest] = body
		c.total += int64(len(body))
	}
	return format.NewReaderAt(body), nil
}
