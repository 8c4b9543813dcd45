// SPDX-License-Identifier: Apache-2.0

package printer

import (
	"fmt"
	"iter"
	"sync"

	"github.com/docker/cli/cli/streams"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client/pkg/jsonmessage"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// What docker says of a layer that is pushed.
const (
	pushWaiting = "Waiting"
	pushing     = "Pushing"
	pushed      = "Pushed"
	pushExists  = "Layer already exists"
	pushMounted = "Mounted"
	pushForeign = "Skipped foreign layer"
)

// Push shows the push of one image as docker does, with docker's own display: a
// line for each layer, which on a terminal moves, and elsewhere says what became
// of it.
type Push struct {
	out *streams.Out

	mu sync.Mutex
	// repository is what is pushed to, until it has been shown.
	repository string
	queue      []jsonstream.Message
	layers     map[string]*pushedLayer
	// expected are the layers that Expect has shown.
	expected map[digest.Digest]bool
	closed   bool
	// more says that the queue has grown, or that it will not any more.
	more *sync.Cond
	done chan struct{}
}

// pushedLayer is a layer at one place in the image. It keeps the name that it
// had first: recompressed it has another digest.
type pushedLayer struct {
	id       string
	finished bool
}

// Begin says where to the image is pushed. It is shown with the first layer: what
// goes wrong before that is no push.
func (p *Push) Begin(repository string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.repository = repository
}

// NewPush returns a Push that writes to out. The caller closes it.
func NewPush(out *streams.Out) *Push {
	p := &Push{out: out, layers: map[string]*pushedLayer{}, expected: map[digest.Digest]bool{}, done: make(chan struct{})}
	p.more = sync.NewCond(&p.mu)
	go func() {
		defer close(p.done)
		// There is no error among the messages, and for one of the terminal's
		// there is nobody to be told.
		_ = jsonmessage.DisplayJSONMessages(p.messages(), out, out.FD(), out.IsTerminal(), nil)
	}()
	return p
}

// messages are what is queued, until Close.
func (p *Push) messages() iter.Seq2[jsonstream.Message, error] {
	return func(yield func(jsonstream.Message, error) bool) {
		for {
			p.mu.Lock()
			for len(p.queue) == 0 && !p.closed {
				p.more.Wait()
			}
			queue := p.queue
			p.queue = nil
			p.mu.Unlock()
			if len(queue) == 0 {
				return
			}
			for _, m := range queue {
				if !yield(m, nil) {
					return
				}
			}
		}
	}
}

func (p *Push) say(m jsonstream.Message) {
	if p.repository != "" {
		p.queue = append(p.queue, jsonstream.Message{Status: fmt.Sprintf("The push refers to repository [%s]", p.repository)})
		p.repository = ""
	}
	p.queue = append(p.queue, m)
	p.more.Signal()
}

// Expect shows a layer that is going to be pushed, at the first place where it
// is in the image.
func (p *Push) Expect(path string, desc ocispec.Descriptor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.expected[desc.Digest] {
		p.expected[desc.Digest] = true
		p.layer(path, desc)
	}
}

// layer is the layer at a path. A person is shown it when it is met first.
func (p *Push) layer(path string, desc ocispec.Descriptor) *pushedLayer {
	layer := p.layers[path]
	if layer == nil {
		layer = &pushedLayer{id: pushID(desc.Digest)}
		p.layers[path] = layer
		if p.out.IsTerminal() {
			p.say(jsonstream.Message{ID: layer.id, Status: pushWaiting, Progress: &jsonstream.Progress{}})
		}
	}
	return layer
}

// Update takes one step of the engine. It does not block, and may be called
// from several goroutines.
func (p *Push) Update(u format.Progress) {
	if t, ok := format.ParseMediaType(u.Desc.MediaType); !ok || t.Kind != format.KindLayer || u.Action == format.ActionVerify {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	layer := p.layer(u.Path, u.Desc)
	switch {
	case layer.finished || u.Err != nil:
		return // the command says an error, once
	case !u.Final:
		p.say(jsonstream.Message{ID: layer.id, Status: pushing, Progress: &jsonstream.Progress{Current: min(u.Done, u.Desc.Size), Total: u.Desc.Size}})
		return
	}
	layer.finished = true
	status := pushed
	switch u.Action {
	case format.ActionExists:
		status = pushExists
	case format.ActionMount:
		status = pushMounted
	case format.ActionSkip:
		status = pushForeign
	case format.ActionCopy, format.ActionRecompress, format.ActionVerify:
	}
	p.say(jsonstream.Message{ID: layer.id, Status: status, Progress: &jsonstream.Progress{}})
}

// pushID is a layer as docker names it.
func pushID(d digest.Digest) string {
	if encoded := d.Encoded(); len(encoded) > shortDigits {
		return encoded[:shortDigits]
	}
	return d.Encoded()
}

// End says what an image is now known by.
func (p *Push) End(tag string, root ocispec.Descriptor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.say(jsonstream.Message{Status: fmt.Sprintf("%s: digest: %s size: %d", tag, root.Digest, root.Size)})
}

// Close shows what there is still to show. Nothing else must be called after
// it.
func (p *Push) Close() {
	p.mu.Lock()
	p.closed = true
	p.more.Signal()
	p.mu.Unlock()
	<-p.done
}
