// SPDX-License-Identifier: Apache-2.0

// Package watch watches the images of a containerd and converts them by rule.
//
// It works in sessions, one for each connection. A session subscribes to
// containerd's events, sweeps the leases that an earlier one left, looks at all
// images that are there, and works on what happens from then on. It ends when
// the connection does, with all that it was doing: what a session did not
// finish, the next one finds.
package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/plugins/watcher/internal/config"
	"github.com/manifest-format/manifest-format/plugins/watcher/internal/metrics"
)

const (
	reconnectFirst = 100 * time.Millisecond
	reconnectMost  = 5 * time.Second
)

// Options say what to watch. All are needed.
type Options struct {
	// Address is the path of containerd's socket.
	Address string
	Config  *config.Config
	Log     *slog.Logger
	Metrics *metrics.Metrics
}

// Watcher converts images as they arrive.
type Watcher struct {
	Options
	queue *queue

	mu sync.Mutex
	// known are images that nothing is done about until they have another root:
	// they are right, or what is wrong with them stays so.
	known map[image]digest.Digest
	// blocked are images whose result has no name, by the one that has it.
	blocked map[image]image
	// unready says why the watcher is not ready; empty if it is.
	unready string
}

// New returns a watcher that has not begun.
func New(o Options) *Watcher {
	w := &Watcher{Options: o, queue: newQueue(), known: map[image]digest.Digest{}, blocked: map[image]image{}, unready: "not connected to containerd yet"}
	o.Metrics.QueueDepth(func() int {
		all, _ := w.current().left()
		return all
	})
	return w
}

// Ready returns nil when events are received and all images that were there
// have been looked at, and otherwise says what is missing.
func (w *Watcher) Ready() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unready != "" {
		return errors.New(w.unready)
	}
	return nil
}

func (w *Watcher) setUnready(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unready = why
}

// current is the queue of the session there is, or was last.
func (w *Watcher) current() *queue {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.queue
}

// Run watches until ctx is done, whatever becomes of containerd in the
// meantime.
func (w *Watcher) Run(ctx context.Context) {
	var since time.Time // when the connection was lost
	for failures := 0; ; failures++ {
		connected := false
		err := w.session(ctx, func() {
			connected = true
			if !since.IsZero() {
				w.Log.Info("connected to containerd", "after", time.Since(since).Round(time.Millisecond))
			}
		})
		w.Metrics.Connected(false)
		if ctx.Err() != nil {
			return
		}
		w.setUnready(fmt.Sprintf("not connected to containerd: %v", err))
		if connected || since.IsZero() {
			since, failures = time.Now(), 0
			w.Log.Warn("no connection to containerd: trying again until there is", "address", w.Address, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(backOff(reconnectFirst, reconnectMost, failures)):
		}
	}
}

// settledAt reports whether nothing is to be done about an image with that root.
func (w *Watcher) settledAt(i image, root digest.Digest) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.known[i] == root
}

// settle remembers that nothing is to be done about an image with that root; an
// empty one forgets.
func (w *Watcher) settle(i image, root digest.Digest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if root == "" {
		delete(w.known, i)
		return
	}
	w.known[i] = root
}

// block remembers that the result of an image waits for the name of another.
func (w *Watcher) block(i image, by string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blocked[image{i.namespace, by}] = i
}

// unblock returns the image that waited for something to happen to another, and
// forgets what was wrong with it.
func (w *Watcher) unblock(by image) (image, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, ok := w.blocked[by]
	if ok {
		delete(w.blocked, by)
		delete(w.known, i)
	}
	return i, ok
}
