// SPDX-License-Identifier: Apache-2.0

// Command manifest-format-watcher converts the images of a containerd as they
// arrive: a sidecar on containerd's socket, with rules in a file.
package main

import (
	"os"

	"github.com/manifest-format/manifest-format/plugins/watcher/internal/command"
)

func main() {
	os.Exit(command.Main(os.Args[1:], os.Stdout, os.Stderr))
}
