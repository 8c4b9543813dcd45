// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// lockFile is the file that is locked while index.json changes: the one that
// BuildKit's client locks (client/ociindex), so that `buildx build -o
// type=oci,tar=false` into the same layout loses nothing either. It is removed
// before it is unlocked; whoever waited for it finds that out and tries again.
const lockFile = ocispec.ImageIndexFile + ".lock"

// How long to wait between two tries to lock.
const (
	firstWait = time.Millisecond
	maxWait   = 20 * time.Millisecond
)

// lock keeps other goroutines and other processes from changing the layout's
// index.json until unlock is called. It waits until ctx is done. A process
// that dies gives up its lock.
func (d *Dir) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case d.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	f, err := d.lockFile(ctx)
	if err != nil {
		<-d.busy
		return nil, fmt.Errorf("lock %s: %w", d.where(), err)
	}
	return func() {
		d.removeLocked(f)
		<-d.busy
	}, nil
}

// lockFile returns the lock file, locked.
func (d *Dir) lockFile(ctx context.Context) (*os.File, error) {
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		f, err := d.root.OpenFile(lockFile, os.O_CREATE|os.O_RDWR, 0o666)
		if err != nil {
			return nil, err
		}
		locked, err := tryLock(f)
		if err == nil && locked && d.isLockFile(f) {
			return f, nil
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// isLockFile reports whether f still is the file of that name: another process
// may have removed it between its opening and its locking.
func (d *Dir) isLockFile(f *os.File) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	current, err := d.root.Lstat(lockFile)
	return err == nil && os.SameFile(mine, current)
}
