// SPDX-License-Identifier: Apache-2.0

//go:build manifestformat_containerd

// Command containerd is containerd's own, with the converter in it: an example
// for those who build containerd. `.ci/containerd OUT` builds it. The build tag
// keeps all of containerd out of what builds and checks the other packages.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/cmd/containerd/command"

	_ "github.com/containerd/containerd/v2/cmd/containerd/builtins"
	_ "github.com/manifest-format/manifest-format/plugins/converter"
)

func main() {
	if err := command.App().Run(context.Background(), os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "containerd:", err)
		os.Exit(1)
	}
}
