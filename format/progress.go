// SPDX-License-Identifier: Apache-2.0

package format

import (
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// reportFunc tells how far the work on one blob is.
type reportFunc func(done int64, final bool, err error)

// reportEvery is how often a blob that is under way is reported.
const reportEvery = 100 * time.Millisecond

// reporter returns a function that passes on the progress of one blob, the
// last step always and the others not too often. It is used by one goroutine.
func reporter(f func(Progress), action Action, path string, desc ocispec.Descriptor) reportFunc {
	if f == nil {
		return func(int64, bool, error) {}
	}
	var last time.Time
	var most int64
	return func(done int64, final bool, err error) {
		most = max(most, done)
		now := time.Now()
		if !final && now.Sub(last) < reportEvery {
			return
		}
		last = now
		f(Progress{Action: action, Path: path, Desc: desc, Done: most, Final: final, Err: err})
	}
}
