// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/format/layout"
)

var _ location.Destination = (*loader)(nil)

// Load returns a destination that loads the image put into it under names, or
// under none. It streams: nothing touches this machine's disk. The engine's
// own store takes one image of one platform.
func (e *Engine) Load(ctx context.Context, names []string) location.Destination {
	r, w := io.Pipe()
	l := &loader{ArchiveWriter: layout.WriteArchive(w), names: names, pipe: w, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		l.failed = e.load(ctx, r)
		// Whoever writes must not wait for a reader that is gone.
		r.CloseWithError(errors.Join(l.failed, io.ErrClosedPipe))
	}()
	return l
}

// load sends a tar, and reads the engine's answer: its errors come in the
// middle of that.
func (e *Engine) load(ctx context.Context, tar io.Reader) error {
	answer, err := e.api.ImageLoad(ctx, tar)
	if err != nil {
		return e.failed("load the image", err)
	}
	defer answer.Close()
	for messages := json.NewDecoder(answer); ; {
		var message struct {
			Error string `json:"error"`
		}
		switch err := messages.Decode(&message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return e.failed("load the image", err)
		case message.Error != "":
			return e.failed("load the image", errors.New(message.Error))
		}
	}
}

type loader struct {
	*layout.ArchiveWriter
	names []string
	pipe  *io.PipeWriter
	put   bool
	// failed is why the engine did not load the image, once it is done.
	failed error
	done   chan struct{}
}

// errGivenUp makes the engine drop what it has of an image.
var errGivenUp = errors.New("the image was not finished")

// Put implements [location.Destination]. An engine keeps no referrers.
func (l *loader) Put(ctx context.Context, root ocispec.Descriptor, body []byte, _ []ocispec.Descriptor) error {
	if err := l.PutRoot(ctx, root, body, l.names...); err != nil {
		return err
	}
	l.put = true
	return nil
}

// Close implements [location.Destination]: it returns when the engine has the
// image.
func (l *loader) Close() error {
	if !l.put {
		err := l.Abort()
		l.pipe.CloseWithError(errGivenUp)
		// The engine's complaint is about what was not finished.
		<-l.done
		return err
	}
	err := l.ArchiveWriter.Close()
	l.pipe.CloseWithError(err)
	<-l.done
	if l.failed != nil {
		return l.failed // for which writing failed, if it did
	}
	return err
}
