// SPDX-License-Identifier: Apache-2.0

package location

import (
	"context"
	"errors"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/engine"
	"github.com/manifest-format/manifest-format/format/layout"
)

// engineDestination is a tar that an engine loads while it is written.
type engineDestination struct {
	*layout.ArchiveWriter
	names []string
	pipe  *io.PipeWriter
	put   bool
	// failed is why the engine did not load the image, once it is done.
	failed error
	done   chan struct{}
}

// IntoEngine returns a destination that loads the image put into it under
// names, or under none. It streams: nothing touches this machine's disk. The
// engine's own store takes one image of one platform.
func IntoEngine(ctx context.Context, e *engine.Engine, names []string) Destination {
	r, w := io.Pipe()
	d := &engineDestination{ArchiveWriter: layout.WriteArchive(w), names: names, pipe: w, done: make(chan struct{})}
	go func() {
		defer close(d.done)
		d.failed = e.Load(ctx, r)
		// Whoever writes must not wait for a reader that is gone.
		r.CloseWithError(errors.Join(d.failed, io.ErrClosedPipe))
	}()
	return d
}

// errGivenUp makes the engine drop what it has of an image.
var errGivenUp = errors.New("the image was not finished")

// Put implements [Destination]. An engine keeps no referrers.
func (d *engineDestination) Put(ctx context.Context, root ocispec.Descriptor, body []byte, _ []ocispec.Descriptor) error {
	if err := d.PutRoot(ctx, root, body, d.names...); err != nil {
		return err
	}
	d.put = true
	return nil
}

// Close implements [Destination]: it returns when the engine has the image.
func (d *engineDestination) Close() error {
	if !d.put {
		err := d.Abort()
		d.pipe.CloseWithError(errGivenUp)
		// The engine's complaint is about what was not finished.
		<-d.done
		return err
	}
	err := d.ArchiveWriter.Close()
	d.pipe.CloseWithError(err)
	<-d.done
	if d.failed != nil {
		return d.failed // for which writing failed, if it did
	}
	return err
}
