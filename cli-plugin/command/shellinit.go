// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	dockercommand "github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

// posixFunction is for bash and zsh, written so that an alias named docker
// does not get into it. Only a first word of manifest-format is
// changed: what stands behind docker's global flags stays docker's affair.
const posixFunction = `function docker {
  if [ "${1-}" = manifest-format ]; then
    shift
    command docker manifestformat "$@"
  else
    command docker "$@"
  fi
}
`

// shellFunctions make "docker manifest-format" reach the plugin. Docker
// itself refuses a plugin with a hyphen in its name
// (docker/cli, cli-plugins/manager/plugin.go).
var shellFunctions = map[string]string{
	"bash": posixFunction,
	"zsh":  posixFunction,
	"fish": `function docker --wraps docker
    if test (count $argv) -gt 0; and test "$argv[1]" = manifest-format
        command docker manifestformat $argv[2..-1]
    else
        command docker $argv
    end
end
`,
}

func newShellInitCommand(dockerCLI dockercommand.Cli) *cobra.Command {
	shells := slices.Sorted(maps.Keys(shellFunctions))
	return &cobra.Command{
		Use:   "shell-init " + strings.Join(shells, "|"),
		Short: `Print the shell function behind "docker manifest-format"`,
		Long: `Print a shell function that turns "docker manifest-format ARGS" into
"docker manifestformat ARGS" and leaves every other call of docker alone.
Docker takes no plugin whose name has a hyphen.`,
		Example: `  # in ~/.bashrc
  eval "$(manifest-format shell-init bash)"

  # in ~/.config/fish/config.fish
  manifest-format shell-init fish | source`,
		Args:              exactArgs(1),
		ValidArgs:         shells,
		ValidArgsFunction: cobra.FixedCompletions(shells, cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			function, ok := shellFunctions[args[0]]
			if !ok {
				return usageError(cmd, fmt.Errorf("no function for %q: there is %s", args[0], strings.Join(shells, ", ")))
			}
			_, err := fmt.Fprint(dockerCLI.Out(), function)
			return err
		},
	}
}
