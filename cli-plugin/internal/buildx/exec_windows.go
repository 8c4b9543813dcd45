// SPDX-License-Identifier: Apache-2.0

package buildx

import (
	"context"
	"os"
)

// Become runs buildx with arguments. Windows has no way to put it in the place
// of this process.
func (p *Plugin) Become(ctx context.Context, args ...string) error {
	return p.Run(ctx, Standard(), args...)
}

// interrupt ends a process: Windows sends no signals, and the key reaches
// every process of the console by itself.
func interrupt(process *os.Process) error { return process.Kill() }
