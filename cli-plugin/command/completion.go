// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"strings"

	dockercommand "github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/build"
)

func newCompletionCommand(dockerCLI dockercommand.Cli) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion " + strings.Join(shells, "|"),
		Short: "Print the completion script of a shell",
		Long: `Print the script that makes a shell complete "manifest-format".

"docker manifestformat" needs none: docker's own completion asks its plugins.`,
		Example: `  # bash, from now on
  manifest-format completion bash > ~/.local/share/bash-completion/completions/manifest-format

  # zsh, in this session
  source <(manifest-format completion zsh)`,
		Args:              exactArgs(1),
		ValidArgs:         shells,
		ValidArgsFunction: cobra.FixedCompletions(shells, cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			// The script asks the program itself, so it needs only a name; as a
			// plugin the root of the tree would be docker.
			named := &cobra.Command{Use: standaloneName}
			out := dockerCLI.Out()
			switch args[0] {
			case "bash":
				return named.GenBashCompletionV2(out, true)
			case "zsh":
				return named.GenZshCompletion(out)
			case "fish":
				return named.GenFishCompletion(out, true)
			case "powershell":
				return named.GenPowerShellCompletionWithDesc(out)
			}
			return usageError(cmd, fmt.Errorf("no completion for %q: there is %s", args[0], strings.Join(shells, ", ")))
		},
	}
}

// completeBuild completes what build has beyond buildx, and asks buildx for the
// rest.
func completeBuild(dockerCLI dockercommand.Cli) cobra.CompletionFunc {
	byBuildx := completeByBuildx(dockerCLI, "build")
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && args[len(args)-1] == "--"+build.FlagFor {
			return profileNames(), cobra.ShellCompDirectiveNoFileComp
		}
		if len(args) > 0 && args[len(args)-1] == "--"+build.FlagEmit {
			var found []string
			for _, name := range profileNames() {
				found = append(found, name+"=")
			}
			return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		}
		return byBuildx(cmd, args, toComplete)
	}
}

// completeByBuildx asks buildx, which knows its flags, its builders and its
// targets.
func completeByBuildx(dockerCLI dockercommand.Cli, verb string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		plugin, err := findBuildx(dockerCLI, args)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return plugin.Complete(cmd.Context(), append(append([]string{verb}, args...), toComplete)...)
	}
}
