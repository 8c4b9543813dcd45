// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// foreign are programs that another processor runs, by that one's GOARCH: who
// emulates them, and how the kernel tells them. The first bytes of an ELF file
// say so; a byte of the mask that is 00 may be anything.
// https://docs.kernel.org/admin-guide/binfmt-misc.html
var foreign = map[string]struct{ emulator, magic, mask string }{
	"amd64": {
		"debian/usr/bin/qemu-aarch64-static",
		`\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00`,
		`\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff`,
	},
	"arm64": {
		"debian/usr/bin/qemu-x86_64-static",
		`\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00`,
		`\xff\xff\xff\xff\xff\xfe\xfe\xfc\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff`,
	},
}

// emulating returns d with an emulator of programs for the other processor. A
// user namespace has a table of such emulators of its own, since Linux 6.7, so
// d is to run in one. The flags: P keeps the name that a program is called by,
// which busybox goes by; F opens the emulator now, for containers to use that
// do not have it.
func emulating(tb TB, d daemon) daemon {
	tb.Helper()
	other, ok := foreign[runtime.GOARCH]
	if !ok {
		tb.Fatalf("no emulator for programs of another processor than %s", runtime.GOARCH)
	}
	table := "/proc/sys/fs/binfmt_misc"
	entry := strings.Join([]string{"", "manifest-format", "M", "0", other.magic, other.mask, Binary(tb, other.emulator), "PF"}, ":")
	script := fmt.Sprintf(`mount -t binfmt_misc binfmt_misc %[1]s && printf '%%s' "$1" >%[1]s/register && shift && exec "$@"`, table)
	d.name = filepath.Base(d.path)
	d.args = append([]string{"-c", script, d.name, entry, d.path}, d.args...)
	d.path = "/bin/sh"
	return d
}
