// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// unmountBelow unmounts every file system mounted on one of the folders or below.
func unmountBelow(folders []string) error {
	if len(folders) == 0 {
		return nil
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var failed []error
	// What was mounted last is on top of the others.
	for _, line := range slices.Backward(strings.Split(string(table), "\n")) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := fields[4] // see proc_pid_mountinfo(5)
		below := func(folder string) bool {
			return point == folder || strings.HasPrefix(point, folder+"/")
		}
		if !slices.ContainsFunc(folders, below) {
			continue
		}
		if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil {
			failed = append(failed, fmt.Errorf("unmount %s: %w", point, err))
		}
	}
	return errors.Join(failed...)
}
