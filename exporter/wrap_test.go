// SPDX-License-Identifier: Apache-2.0

package exporter

import (
	"strings"
	"testing"

	"github.com/moby/buildkit/worker"
)

// TestWrapNeedsBuildKitsOwnWorker: of another nobody knows where its content is.
func TestWrapNeedsBuildKitsOwnWorker(t *testing.T) {
	_, err := Wrap(struct{ worker.Worker }{})
	if err == nil || !strings.Contains(err.Error(), "struct { worker.Worker }") {
		t.Errorf("got %v, want an error that names the type", err)
	}
}
