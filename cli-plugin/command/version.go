// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"runtime/debug"

	dockercommand "github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

func newVersionCommand(dockerCLI dockercommand.Cli) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(dockerCLI.Out(), "%s %s\n", standaloneName, version())
			return err
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

// version is what the Go toolchain stamped into the binary: a tag, or a
// pseudo-version with the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
