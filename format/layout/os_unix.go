// SPDX-License-Identifier: Apache-2.0

//go:build unix

package layout

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock locks f, if nobody else has, until it is closed.
func tryLock(f *os.File) (bool, error) {
	for {
		switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, err
		}
	}
}

// access says why this process may not make files in a directory.
func access(dir string) error {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}

// removeLocked removes the lock file and unlocks it. That it cannot be removed
// does no harm.
func (d *Dir) removeLocked(f *os.File) {
	_ = d.root.Remove(lockFile)
	_ = f.Close()
}

// sync makes the names in a directory of the layout as durable as the files.
func (d *Dir) sync(name string) error {
	dir, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
