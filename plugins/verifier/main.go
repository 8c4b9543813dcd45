// SPDX-License-Identifier: Apache-2.0

// Command manifest-format-verifier is an image verifier for containerd's
// io.containerd.image-verifier.v1.bindir: containerd runs it before it pulls an
// image, and pulls only what it allows.
package main

import (
	"os"

	"github.com/manifest-format/manifest-format/plugins/verifier/internal/command"
)

func main() {
	os.Exit(command.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
