// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"

	"github.com/manifest-format/manifest-format/format/containerd"
)

// session is the work on one connection.
type session struct {
	*Watcher
	client *client.Client
	store  *containerd.Store
	// owner marks the leases of conversions; empty marks none.
	owner string
	queue *queue
	// failures counts images that were not converted.
	failures atomic.Int64
}

// open connects. It asks the socket first: what gRPC says of one that is not
// there takes three lines.
func (w *Watcher) open(ctx context.Context) (*session, error) {
	var dialer net.Dialer
	probe, err := dialer.DialContext(ctx, "unix", w.Address)
	if err != nil {
		return nil, err
	}
	_ = probe.Close()
	c, err := client.New(w.Address)
	if err != nil {
		return nil, err
	}
	s := &session{Watcher: w, client: c, queue: newQueue()}
	s.store = containerd.New(containerd.Services{Content: c.ContentStore(), Images: c.ImageService(), Leases: c.LeasesService()})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = s.queue
	return s, nil
}

// close ends the connection. There is nothing to lose in it any more.
func (s *session) close() { _ = s.client.Close() }

// session connects and works until the connection ends or ctx is done. It calls
// connected when events are received.
func (w *Watcher) session(ctx context.Context, connected func()) error {
	s, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	s.owner = "watcher/" + w.Config.Name
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sub, err := s.subscribe(ctx)
	if err != nil {
		return err
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	connected()
	w.Metrics.Connected(true)
	w.setUnready("connected, and looking at the images that were there")
	s.announce(ctx)

	var work sync.WaitGroup
	defer work.Wait()
	defer cancel(nil) // before the wait
	work.Go(func() { cancel(s.receive(ctx, sub)) })
	if err := s.catchUp(ctx, &work); err != nil {
		return err
	}
	w.setUnready("")
	<-ctx.Done()
	return context.Cause(ctx)
}

// Once looks at all images that are there and converts what rules ask for. The
// error says that some could not be, or why none could.
func (w *Watcher) Once(ctx context.Context) error {
	s, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	if err := s.catchUp(ctx, &work); err != nil {
		return err
	}
	if n := s.failures.Load(); n > 0 {
		return fmt.Errorf("of the images that rules are for, %d were not converted", n)
	}
	return nil
}

// announce says what is watched.
func (s *session) announce(ctx context.Context) {
	version := "unknown"
	if v, err := s.client.Version(ctx); err == nil {
		version = v.Version
	}
	s.Log.Info("watching containerd", "address", s.Address, "containerd", version, "name", s.Config.Name, "namespaces", s.Config.Namespaces, "rules", len(s.Config.Rules))
}

// sweep deletes what a session left that was killed.
func (s *session) sweep(ctx context.Context) error {
	for _, namespace := range s.Config.Namespaces {
		n, err := s.store.Sweep(namespaces.WithNamespace(ctx, namespace), s.owner)
		if err != nil {
			return err
		}
		if n > 0 {
			s.Log.Info("deleted leases that an earlier run left", "namespace", namespace, "leases", n)
		}
	}
	return nil
}

// catchUp starts the workers, and returns when all images that are there have
// been looked at.
func (s *session) catchUp(ctx context.Context, work *sync.WaitGroup) error {
	started := time.Now()
	total := 0
	for _, namespace := range s.Config.Namespaces {
		n, err := s.list(namespaces.WithNamespace(ctx, namespace), namespace)
		if err != nil {
			return err
		}
		total += n
	}
	_, todo := s.queue.left()
	for range s.Config.Concurrency {
		work.Go(func() {
			for {
				i, ok := s.queue.next(ctx)
				if !ok {
					return
				}
				s.handle(ctx, i)
			}
		})
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, there := s.queue.left(); there == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	took := time.Since(started)
	s.Metrics.CaughtUp(took)
	s.Log.Info("all images that were there have been looked at", "images", total, "closely", todo, "failed", s.failures.Load(), "duration", took.Round(time.Millisecond))
	return nil
}

// list queues the images of a namespace that something may have to be done
// about. Labels say of most that nothing has.
func (s *session) list(ctx context.Context, namespace string) (int, error) {
	all, err := s.client.ImageService().List(ctx)
	if err != nil {
		return 0, fmt.Errorf("list the images in %s: %w", namespace, err)
	}
	names := make(map[string]images.Image, len(all))
	for _, record := range all {
		names[record.Name] = record
	}
	get := func(_ context.Context, name string) (images.Image, error) {
		if record, ok := names[name]; ok {
			return record, nil
		}
		return images.Image{}, errdefs.ErrNotFound
	}
	for _, record := range all {
		i := image{namespace, record.Name}
		if j, err := s.find(ctx, i, get); j != nil || err != nil {
			s.queue.found(i)
		}
	}
	return len(all), nil
}

// errEnded is of a subscription that containerd ended in order.
var errEnded = errors.New("containerd ended the connection")
