// SPDX-License-Identifier: Apache-2.0

package command

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/docker/cli/cli-plugins/metadata"
	dockercommand "github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/buildx"
)

// newBuildxCommand passes a command on to buildx: whoever has `docker build` go
// through this program misses none.
func newBuildxCommand(dockerCLI dockercommand.Cli, verb string) *cobra.Command {
	return &cobra.Command{
		Use:                verb,
		Short:              "As buildx has it",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return passOn(cmd, dockerCLI, append([]string{verb}, withBuilder(cmd, args)...))
		},
		ValidArgsFunction: completeByBuildx(dockerCLI, verb),
	}
}

// flagBuilder is the one flag that buildx takes before its command too.
const flagBuilder = "builder"

// withBuilder puts the builder that is named before a command among its
// arguments.
func withBuilder(cmd *cobra.Command, args []string) []string {
	if flag := cmd.Parent().Flags().Lookup(flagBuilder); flag != nil && flag.Changed {
		return append([]string{"--" + flagBuilder + "=" + flag.Value.String()}, args...)
	}
	return args
}

// passOn runs buildx in place of this program.
func passOn(cmd *cobra.Command, dockerCLI dockercommand.Cli, args []string) error {
	plugin, err := findBuildx(dockerCLI, args)
	if err != nil {
		return err
	}
	return plugin.Become(cmd.Context(), args...)
}

// findBuildx finds the person's buildx. What docker forwarded through its alias
// goes to the builder that docker would have chosen, which is the engine's own
// unless the person names another.
func findBuildx(dockerCLI dockercommand.Cli, args []string) (*buildx.Plugin, error) {
	globals := globalFlags(os.Args[1:])
	if runsAlone(os.Args[0]) {
		globals = flagsBefore(os.Args[1:])
	}
	plugin, err := buildx.Find(dockerCLI, globals)
	if err != nil {
		return nil, err
	}
	if forwarded() && os.Getenv("BUILDX_BUILDER") == "" && !namesBuilder(args) {
		plugin.SetBuilder(dockerCLI.CurrentContext())
	}
	return plugin, nil
}

func namesBuilder(args []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		return arg == "--"+flagBuilder || strings.HasPrefix(arg, "--"+flagBuilder+"=")
	})
}

// globalsWithValue are docker's own flags that take a value.
var globalsWithValue = []string{
	"--config", "-c", "--context", "-H", "--host", "-l", "--log-level", "--tlscacert", "--tlscert", "--tlskey",
}

// globalFlags are docker's own flags: what stands before the plugin's name in
// its arguments, but for the word that asks for a completion. It is never nil.
func globalFlags(args []string) []string {
	globals := []string{}
	for i := 0; i < len(args); i++ {
		if args[i] == pluginName {
			break
		}
		if args[i] == cobra.ShellCompRequestCmd || args[i] == cobra.ShellCompNoDescRequestCmd {
			continue
		}
		globals = append(globals, args[i])
		if slices.Contains(globalsWithValue, args[i]) && i+1 < len(args) {
			i++
			globals = append(globals, args[i])
		}
	}
	return globals
}

// flagsBefore are those of docker's flags that stand before the command where
// the program runs alone; nil if there are none.
func flagsBefore(args []string) []string {
	var flags []string
	for i := 0; i < len(args) && strings.HasPrefix(args[i], "-"); i++ {
		end := i + 1
		if args[i] == "--"+flagBuilder || slices.Contains(globalsWithValue, args[i]) {
			end = min(i+2, len(args))
		}
		// The builder is buildx's, and put among its arguments.
		if args[i] != "--"+flagBuilder && !strings.HasPrefix(args[i], "--"+flagBuilder+"=") {
			flags = append(flags, args[i:end]...)
		}
		i = end - 1
	}
	return flags
}

// The ways of docker build, docker image build and docker builder through
// docker's alias. docker tells them from its plugin's own name only here: in
// both cases the arguments are the same.
const (
	pathBuild      = "docker"
	pathImageBuild = "docker image"
	pathBuilder    = "docker builder"
)

// forwarded reports whether docker has called this program for one of its own
// commands.
func forwarded() bool {
	return slices.Contains([]string{pathBuild, pathImageBuild, pathBuilder}, typed())
}

// isBuilder reports whether it was for `docker builder`.
func isBuilder() bool { return typed() == pathBuilder }

// typed is the way by which docker has called this program; empty where it was
// not docker. It is read when the commands are made: docker's code for plugins
// takes the attribute out of the environment when one runs.
var typed = sync.OnceValue(func() string {
	if os.Getenv(metadata.ReexecEnvvar) == "" {
		return ""
	}
	return commandPath(os.Getenv("OTEL_RESOURCE_ATTRIBUTES"))
})

// commandPath is what docker says that the person typed, among the attributes
// for its traces. Docker before 26 does not say.
func commandPath(attributes string) string {
	const key = "docker.cli.cobra.command_path="
	path := ""
	for attribute := range strings.SplitSeq(attributes, ",") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(attribute), key); ok {
			if decoded, err := url.PathUnescape(value); err == nil {
				path = decoded // the last one is docker's: it appends its own
			}
		}
	}
	return path
}
