// SPDX-License-Identifier: Apache-2.0

//go:build unix

package buildx

import (
	"context"
	"fmt"
	"os"
	"syscall"
)

// Become runs buildx with arguments in place of this process: nothing of this
// program is between it and the person. It returns only if that fails.
func (p *Plugin) Become(_ context.Context, args ...string) error {
	if err := syscall.Exec(p.path, p.argv(args), p.env); err != nil {
		return fmt.Errorf("run buildx, %s: %w", p.path, err)
	}
	return nil
}

func interrupt(process *os.Process) error { return process.Signal(os.Interrupt) }
