// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/containerd"
)

var (
	one = image{"default", "a.io/one:1"}
	two = image{"default", "a.io/two:1"}
)

// expectNext wants i to be due after just that time.
func (q *queue) expectNext(t *testing.T, i image, after time.Duration) {
	t.Helper()
	started := time.Now()
	got, ok := q.next(t.Context())
	if waited := time.Since(started); !ok || got != i || waited != after {
		t.Errorf("after %s there is %v (%v), want %v after %s", waited, got, ok, i, after)
	}
}

// expectNone wants nothing to be due within a time.
func (q *queue) expectNone(t *testing.T, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if got, ok := q.next(ctx); ok {
		t.Errorf("%v is due", got)
	}
}

func TestQueueSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.happened(one)
		time.Sleep(settle / 2)
		q.happened(two)
		q.happened(one) // once more: it waits anew
		q.expectNext(t, two, settle)
		q.expectNext(t, one, 0)
		q.done(one, settled)
		q.done(two, settled)
		q.expectNone(t, time.Hour)
	})
}

// TestQueueIsNotHeldUp has something happen to an image all the time.
func TestQueueIsNotHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for ctx.Err() == nil {
				q.happened(one)
				time.Sleep(settle / 2)
			}
		}()
		synctest.Wait()
		q.expectNext(t, one, settleMost)
		q.done(one, settled)
		cancel()
		<-ended
	})
}

func TestQueueWhileWorkedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.found(one)
		q.expectNext(t, one, 0)
		q.happened(one)
		q.expectNone(t, time.Hour) // nobody works on one image twice at once
		if all, there := q.left(); all != 1 || there != 1 {
			t.Errorf("%d are left, %d of those that were there", all, there)
		}
		q.done(one, settled)
		if all, there := q.left(); all != 1 || there != 0 {
			t.Errorf("%d are left, %d of those that were there", all, there)
		}
		q.expectNext(t, one, settle)
	})
}

func TestQueueBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.found(one)
		q.expectNext(t, one, 0)
		for n := range 30 {
			wait := q.done(one, failed)
			most := min(retryFirst<<min(n, 20), retryMost)
			if wait < most/2 || wait > most {
				t.Errorf("after %d failures it waits %s, want %s or a part of it", n+1, wait, most)
			}
			q.expectNext(t, one, wait)
		}
		q.done(one, failed)
		q.happened(one) // it is another one now, perhaps
		q.expectNext(t, one, settle)
		if wait := q.done(one, failed); wait > retryFirst {
			t.Errorf("after something happened, it waits %s", wait)
		}
	})
}

func TestQueueInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		for n := range 100 {
			q.found(image{"default", fmt.Sprint(n)})
		}
		for n := range 100 {
			q.expectNext(t, image{"default", fmt.Sprint(n)}, 0)
		}
	})
}

// TestQueueIsWoken has a worker wait for what is due later than what comes.
func TestQueueIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		go func() {
			time.Sleep(time.Minute)
			q.found(one)
		}()
		q.expectNext(t, one, time.Minute)
	})
}

func TestClassify(t *testing.T) {
	for want, err := range map[string]error{
		"lossy":       &format.Error{Err: &format.LossError{Losses: []format.Loss{{}}}},
		"signed":      &format.Error{Err: fmt.Errorf("%w: no", format.ErrSigned)},
		"corrupt":     &format.Error{Err: fmt.Errorf("%w: no", format.ErrCorrupt)},
		"missing":     fmt.Errorf("no: %w", errdefs.ErrNotFound),
		"name_taken":  fmt.Errorf("%w: no", errTaken),
		"moved":       fmt.Errorf("no: %w", &containerd.MovedError{}),
		"unavailable": fmt.Errorf("no: %w", errdefs.ErrUnavailable),
		"other":       errors.New("no"),
	} {
		class, permanent := classify(err)
		retried := want == "moved" || want == "unavailable" || want == "other"
		if class != want || permanent == retried {
			t.Errorf("%v is %s, there to stay: %v", err, class, permanent)
		}
	}
}
