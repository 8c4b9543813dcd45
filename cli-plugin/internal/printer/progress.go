// SPDX-License-Identifier: Apache-2.0

package printer

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/docker/cli/cli/streams"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/format"
)

// ProgressMode is how progress is shown.
type ProgressMode string

// The modes.
const (
	ProgressAuto    ProgressMode = "auto" // a terminal's, or plain
	ProgressPlain   ProgressMode = "plain"
	ProgressTTY     ProgressMode = "tty"
	ProgressQuiet   ProgressMode = "quiet"
	ProgressRawJSON ProgressMode = "rawjson"
	// ProgressDocker is none of BuildKit's: see [Push].
	ProgressDocker ProgressMode = "docker"
)

// ProgressModes returns every mode of BuildKit's, the default first.
func ProgressModes() []ProgressMode {
	return []ProgressMode{ProgressAuto, ProgressPlain, ProgressTTY, ProgressQuiet, ProgressRawJSON}
}

// Display shows what happens to the blobs of an image.
type Display interface {
	// Update takes one step of the engine. It does not block, and may be called
	// from several goroutines.
	Update(format.Progress)
	// Close shows the last state and ends the display. Update must not be called
	// after it.
	Close()
}

// NewDisplay returns the display of a mode, which writes to out. It fails where
// a mode needs a terminal and out is none. The caller closes it.
func NewDisplay(out *streams.Out, mode ProgressMode) (Display, error) {
	if mode == ProgressDocker {
		return NewPush(out), nil
	}
	return NewProgress(out, mode)
}

// flushEvery is how often steps reach the display, which redraws no faster.
const flushEvery = 100 * time.Millisecond

// patience is how long a person waits without asking what is going on.
const patience = 500 * time.Millisecond

// Progress shows the steps of the engine as BuildKit shows a build: a vertex
// for each blob that is worked on, with the bytes done.
//
// Nothing is shown, and no display started, until a layer's bytes move; in the
// auto mode not before patience is over either. What is done by then needs no
// explaining.
type Progress struct {
	out  *streams.Out
	mode ProgressMode

	mu      sync.Mutex
	changed []*step // in the order in which they were first met
	known   map[stepKey]*step

	stop chan struct{}
	done chan struct{} // nil until the display is started
}

type stepKey struct {
	action format.Action
	blob   digest.Digest
}

// step is a blob being worked on.
type step struct {
	vertex  client.Vertex
	status  client.VertexStatus
	pending bool // it is in Progress.changed
}

// NewProgress returns a Progress that writes to out. It fails where a mode
// needs a terminal and out is none. The caller closes it.
func NewProgress(out *streams.Out, mode ProgressMode) (*Progress, error) {
	if _, err := progressui.NewDisplay(writerOf(out), progressui.DisplayMode(mode)); err != nil {
		return nil, fmt.Errorf("--progress=%s: standard error is no terminal", mode)
	}
	return &Progress{out: out, mode: mode, known: map[stepKey]*step{}, stop: make(chan struct{})}, nil
}

// writerOf is the file below out, by which BuildKit knows a terminal.
func writerOf(out *streams.Out) io.Writer {
	if file, ok := out.File(); ok {
		return file
	}
	return out
}

// Update takes one step of the engine. It does not block, and may be called
// from several goroutines.
func (p *Progress) Update(u format.Progress) {
	if p.mode == ProgressQuiet || !p.shown(u) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	key := stepKey{u.Action, u.Desc.Digest}
	s := p.known[key]
	if s == nil {
		s = newStep(u, now)
		p.known[key] = s
	}
	s.advance(u, now)
	if !s.pending {
		s.pending = true
		p.changed = append(p.changed, s)
	}
	if p.done == nil {
		p.done = make(chan struct{})
		go p.display()
	}
}

// shown reports whether a person has a use for this step: documents and
// configs are too small, and what is there already took no time.
func (p *Progress) shown(u format.Progress) bool {
	if p.mode == ProgressRawJSON {
		return true
	}
	if t, ok := format.ParseMediaType(u.Desc.MediaType); !ok || t.Kind != format.KindLayer {
		return false
	}
	switch u.Action {
	case format.ActionCopy, format.ActionRecompress, format.ActionVerify:
		return true
	case format.ActionExists, format.ActionMount, format.ActionSkip:
		return p.mode == ProgressPlain || p.mode == ProgressTTY
	}
	return false
}

func newStep(u format.Progress, now time.Time) *step {
	id := digest.FromString(string(u.Action) + " " + u.Desc.Digest.String())
	return &step{
		vertex: client.Vertex{Digest: id, Name: fmt.Sprintf("%s %s", u.Action, place(u.Path)), Started: &now},
		status: client.VertexStatus{ID: u.Desc.Digest.String(), Vertex: id, Total: u.Desc.Size, Started: &now},
	}
}

// advance takes the newest state of the blob.
func (s *step) advance(u format.Progress, now time.Time) {
	s.status.Timestamp = now
	s.status.Current = min(u.Done, u.Desc.Size)
	if !u.Final {
		return
	}
	if u.Err != nil {
		return // the command says it, once; here it just does not end
	}
	s.vertex.Completed = &now
	s.vertex.Cached = u.Action == format.ActionExists || u.Action == format.ActionMount || u.Action == format.ActionSkip
	s.status.Current = u.Desc.Size
	s.status.Completed = &now
}

// display runs BuildKit's display until Close.
func (p *Progress) display() {
	defer close(p.done)
	if p.mode == ProgressAuto {
		select {
		case <-time.After(patience):
		case <-p.stop:
			return
		}
	}
	ui, err := progressui.NewDisplay(writerOf(p.out), progressui.DisplayMode(p.mode), progressui.WithPhase("Converting"))
	if err != nil {
		return // NewProgress has made the same display before
	}
	updates := make(chan *client.SolveStatus)
	go p.feed(updates)
	// The display is never cancelled: it ends when the steps do, so that it
	// shows how far an interrupted run came.
	_, _ = ui.UpdateFrom(context.Background(), updates)
}

// feed sends what has changed until Close, and then once more.
func (p *Progress) feed(updates chan<- *client.SolveStatus) {
	defer close(updates)
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.flush(updates)
		case <-p.stop:
			p.flush(updates)
			return
		}
	}
}

// flush sends copies of what has changed: the display keeps what it gets.
func (p *Progress) flush(updates chan<- *client.SolveStatus) {
	p.mu.Lock()
	var s client.SolveStatus
	for _, step := range p.changed {
		step.pending = false
		vertex, status := step.vertex, step.status
		s.Vertexes = append(s.Vertexes, &vertex)
		if !vertex.Cached {
			s.Statuses = append(s.Statuses, &status)
		}
	}
	p.changed = nil
	p.mu.Unlock()
	if len(s.Vertexes) > 0 {
		updates <- &s
	}
}

// Close shows the last state and ends the display. Update must not be called
// after it.
func (p *Progress) Close() {
	close(p.stop)
	p.mu.Lock()
	done := p.done
	p.mu.Unlock()
	if done != nil {
		<-done
	}
}
