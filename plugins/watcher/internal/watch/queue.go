// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// settle is how long nothing must have happened to an image before it is
	// looked at: a pull names it several times, and Kubernetes' reads its own
	// name again in between.
	settle = 500 * time.Millisecond
	// settleMost is how long something may go on happening to it.
	settleMost = 5 * time.Second

	retryFirst = time.Second
	retryMost  = 5 * time.Minute
)

// image is an image's name in a namespace.
type image struct{ namespace, name string }

// outcome is how the work on an image ended, for the queue.
type outcome int

const (
	// settled leaves the image alone until something happens to it.
	settled outcome = iota
	// moved has it looked at again: somebody else was at it.
	moved
	// failed has it tried again, later each time.
	failed
)

// queue has each image once, however often something happens to it, and hands
// out the one that is due. Its zero value is not usable.
type queue struct {
	mu      sync.Mutex
	items   map[image]*item
	waiting dueHeap
	changed chan struct{} // closed when something is due earlier than before
	order   int
	// there counts the images of the catch-up that were not looked at yet.
	there int
}

// item is an image that waits, or is worked on.
type item struct {
	image
	due, since time.Time
	order      int // who came first, among those that are due at once
	at         int // in the heap
	running    bool
	again      bool // something happened while it was worked on
	there      bool
	failures   int
}

func newQueue() *queue {
	return &queue{items: map[image]*item{}, changed: make(chan struct{})}
}

// found adds an image that was there already: it is due at once.
func (q *queue) found(i image) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it := q.items[i]; it == nil {
		q.there++
		q.push(&item{image: i, due: time.Now(), there: true})
	}
}

// happened adds an image that something happened to.
func (q *queue) happened(i image) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	it := q.items[i]
	switch {
	case it == nil:
		q.push(&item{image: i, due: now.Add(settle), since: now})
		return
	case it.running:
		it.again = true
		return
	case it.since.IsZero() || it.failures > 0:
		it.since, it.failures = now, 0
	}
	heap.Remove(&q.waiting, it.at)
	it.due = now.Add(settle)
	if most := it.since.Add(settleMost); it.due.After(most) {
		it.due = most
	}
	q.push(it)
}

// push lets an item wait until it is due.
func (q *queue) push(it *item) {
	q.items[it.image] = it
	q.order++
	it.order = q.order
	heap.Push(&q.waiting, it)
	close(q.changed)
	q.changed = make(chan struct{})
}

// next waits for an image that is due. It reports false when ctx is done. The
// caller works on it alone, and calls done.
func (q *queue) next(ctx context.Context) (image, bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		q.mu.Lock()
		wait := time.Hour
		if len(q.waiting) > 0 {
			wait = time.Until(q.waiting[0].due)
		}
		if wait <= 0 {
			it, _ := heap.Pop(&q.waiting).(*item)
			it.running = true
			q.mu.Unlock()
			return it.image, true
		}
		changed := q.changed
		q.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
	}
	return image{}, false
}

// done ends the work on an image. For one that failed it returns when it is
// tried again.
func (q *queue) done(i image, o outcome) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.items[i]
	it.running = false
	if it.there && o != moved {
		it.there = false
		q.there--
	}
	now := time.Now()
	it.since = now
	var wait time.Duration
	switch {
	case it.again || o == moved:
		it.again, it.failures, wait = false, 0, settle
	case o == failed:
		wait = backOff(retryFirst, retryMost, it.failures)
		it.failures++
	default:
		delete(q.items, i)
		return 0
	}
	it.due = now.Add(wait)
	q.push(it)
	return wait
}

// left is how many images wait, or are worked on, and how many of the catch-up
// were not looked at yet.
func (q *queue) left() (all, there int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items), q.there
}

// backOff doubles first for each failure, up to most, and takes a random part
// of up to a half away, so that what failed at once is not tried at once.
func backOff(first, most time.Duration, failures int) time.Duration {
	wait := most
	if failures < 20 {
		wait = min(first<<failures, most)
	}
	return wait - time.Duration(rand.Int64N(int64(wait)/2+1))
}

// dueHeap implements [heap.Interface].
type dueHeap []*item

func (h *dueHeap) Len() int { return len(*h) }

func (h *dueHeap) Less(i, j int) bool {
	a, b := (*h)[i], (*h)[j]
	if a.due.Equal(b.due) {
		return a.order < b.order
	}
	return a.due.Before(b.due)
}

func (h *dueHeap) Swap(i, j int) {
	s := *h
	s[i], s[j] = s[j], s[i]
	s[i].at, s[j].at = i, j
}

func (h *dueHeap) Push(x any) {
	it, _ := x.(*item)
	it.at = len(*h)
	*h = append(*h, it)
}

func (h *dueHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
