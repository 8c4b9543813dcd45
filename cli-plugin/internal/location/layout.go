// SPDX-License-Identifier: Apache-2.0

package location

import (
	"context"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format/layout"
)

// layoutDestination is a layout that is opened when first written to. A new one
// appears when all is there: a conversion that fails leaves none behind.
type layoutDestination struct {
	path  string
	names []string

	mu  sync.Mutex
	dir *layout.Dir
}

func (d *layoutDestination) open() (*layout.Dir, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dir != nil {
		return d.dir, nil
	}
	dir, err := layout.Draft(d.path)
	if err != nil {
		return nil, err
	}
	d.dir = dir
	return dir, nil
}

// Writer implements [content.Ingester].
func (d *layoutDestination) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	dir, err := d.open() //nolint:contextcheck // layout.Draft takes no context: it makes two small files
	if err != nil {
		return nil, err
	}
	return dir.Writer(ctx, opts...)
}

// Put implements [Destination].
func (d *layoutDestination) Put(ctx context.Context, root ocispec.Descriptor, body []byte, referrers []ocispec.Descriptor) error {
	dir, err := d.open() //nolint:contextcheck // layout.Draft takes no context: it makes two small files
	if err != nil {
		return err
	}
	for _, referrer := range referrers {
		if err := dir.PutReferrer(ctx, referrer); err != nil {
			return err
		}
	}
	if err := dir.PutRoot(ctx, root, body, d.names...); err != nil {
		return err
	}
	return dir.Publish(ctx)
}

// Close implements [Destination].
func (d *layoutDestination) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dir == nil {
		return nil
	}
	return d.dir.Close()
}
