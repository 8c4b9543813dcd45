// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing/fstest"
)

// ShellDockerfile makes of what [Shell] returns an image with a shell.
const ShellDockerfile = "FROM scratch\nARG TARGETARCH\nCOPY ${TARGETARCH}/ /\nENV PATH=/bin\nCMD [\"/bin/sh\"]\n"

// shellCommands are the names by which busybox is there.
var shellCommands = []string{"sh", "cat", "echo", "ls", "mkdir", "sleep", "test", "true", "uname"}

// Shell is the build context of an image for linux/amd64 and linux/arm64 with
// a shell and a few commands, so that a Dockerfile that starts from it can run
// something, and so can a container of it. A caller may add to it.
func Shell(tb TB) fstest.MapFS {
	tb.Helper()
	files := fstest.MapFS{"Dockerfile": {Data: []byte(ShellDockerfile)}}
	for _, arch := range []string{"amd64", "arm64"} {
		place := "debian"
		if arch != runtime.GOARCH {
			place = filepath.Join(place, arch)
		}
		program, err := os.ReadFile(Binary(tb, filepath.Join(place, "bin/busybox")))
		if err != nil {
			tb.Fatalf("shell: %v", err)
		}
		files[arch+"/bin/busybox"] = &fstest.MapFile{Data: program, Mode: 0o755}
		for _, command := range shellCommands {
			files[arch+"/bin/"+command] = &fstest.MapFile{Data: []byte("busybox"), Mode: fs.ModeSymlink | 0o777}
		}
	}
	return files
}
