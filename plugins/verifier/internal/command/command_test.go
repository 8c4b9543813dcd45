// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, err := within(ctx, func(context.Context) (int, error) { return 1, nil }); got != 1 || err != nil {
			t.Errorf("what is done at once is %d, %v", got, err)
		}
		_, err := within(ctx, func(context.Context) (int, error) { panic("a bug\nhere") })
		if err == nil || !strings.HasPrefix(err.Error(), "the verifier failed: a bug") {
			t.Errorf("a panic is %v", err)
		}
		start := time.Now()
		got, err := within(ctx, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 2, nil
		})
		if got != 2 || err != nil || time.Since(start) != time.Second {
			t.Errorf("what stops when it is told to is %d, %v, after %s", got, err, time.Since(start))
		}
		hung := make(chan struct{})
		if _, err := within(ctx, func(context.Context) (int, error) { <-hung; return 3, nil }); !errors.Is(err, errLate) {
			t.Errorf("what hangs is %v", err)
		}
		if took := time.Since(start); took > time.Second+grace {
			t.Errorf("it took %s", took)
		}
		close(hung)
	})
}
