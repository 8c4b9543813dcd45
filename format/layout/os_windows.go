// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// tryLock locks f, if nobody else has, until it is closed.
func tryLock(f *os.File) (bool, error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// access says nothing here: only a try would tell.
func access(string) error { return nil }

// removeLocked unlocks the lock file. It stays: Windows removes no open file.
func (d *Dir) removeLocked(f *os.File) { _ = f.Close() }

// sync does nothing: Windows cannot sync a directory.
func (d *Dir) sync(string) error { return nil }
