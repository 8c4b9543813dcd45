// SPDX-License-Identifier: Apache-2.0

package location

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/engine"
	"github.com/manifest-format/manifest-format/format/layout"
)

// Reference names what was put into dst, which is at l, as a script passes it
// on: by its digest, or by what else the place knows it by.
func Reference(ctx context.Context, l Location, dst Destination, root digest.Digest) (string, error) {
	d, is := dst.(*engineDestination)
	if !is || d.config == "" {
		return l.Pinned(root), nil
	}
	if holds, err := d.engine.HoldsManifests(ctx); holds || err != nil {
		return l.Pinned(root), err
	}
	return SchemeEngine + d.config.String(), nil
}

// TakesOne reports whether the place at l takes one image of one platform
// alone, and no index: so does an engine with a store of its own.
func TakesOne(ctx context.Context, l Location, o Options) (bool, error) {
	if _, is := l.(Engine); !is {
		return false, nil
	}
	e, err := o.Engine()
	if err != nil {
		return false, err
	}
	holds, err := e.HoldsManifests(ctx)
	return !holds, err
}

// engineDestination is a tar that an engine loads while it is written.
type engineDestination struct {
	*layout.ArchiveWriter
	engine *engine.Engine
	names  []string
	pipe   *io.PipeWriter
	put    bool
	// config is that of what was put, if that is a manifest.
	config digest.Digest
	// failed is why the engine did not load the image, once it is done.
	failed error
	done   chan struct{}
}

// IntoEngine returns a destination that loads the image put into it under
// names, or under none. It streams: nothing touches this machine's disk. The
// engine's own store takes one image of one platform.
func IntoEngine(ctx context.Context, e *engine.Engine, names []string) Destination {
	r, w := io.Pipe()
	d := &engineDestination{ArchiveWriter: layout.WriteArchive(w), engine: e, names: names, pipe: w, done: make(chan struct{})}
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
	var manifest ocispec.Manifest
	if err := json.Unmarshal(body, &manifest); err != nil {
		return err
	}
	d.put, d.config = true, manifest.Config.Digest
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
