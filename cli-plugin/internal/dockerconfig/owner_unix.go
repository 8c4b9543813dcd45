// SPDX-License-Identifier: Apache-2.0

//go:build unix

package dockerconfig

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives a file the owner that another has: root may edit the
// configuration of somebody else, who must be able to read it afterwards. Whoever
// may not do that is the owner already.
func keepOwner(path string, of fs.FileInfo) {
	if stat, ok := of.Sys().(*syscall.Stat_t); ok {
		_ = os.Lchown(path, int(stat.Uid), int(stat.Gid))
	}
}
