// SPDX-License-Identifier: Apache-2.0

// Command docker-manifestformat is a Docker CLI plugin, typed as "docker
// manifestformat", and the same program alone, as manifest-format.
package main

import (
	"os"

	"github.com/manifest-format/manifest-format/cli-plugin/command"
)

func main() {
	os.Exit(command.Main(os.Args))
}
