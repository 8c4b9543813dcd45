// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"fmt"
	"slices"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli-plugins/plugin"
	dockercommand "github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/flags"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/buildx"
)

// newPluginCommand is the tree of commands below "docker".
func newPluginCommand(ctx context.Context, dockerCLI dockercommand.Cli) *cobra.Command {
	root := newRootCommand(pluginName, dockerCLI)
	root.PersistentPreRunE = func(cmd *cobra.Command, args []string) error {
		// Docker's own tells this context when docker is interrupted.
		cmd.SetContext(ctx)
		return plugin.PersistentPreRunE(cmd, args)
	}
	return root
}

// engineFlags are those of docker's own flags that say which engine it is, and
// how it is reached. As docker's, they stand before the command.
var engineFlags = []string{"context", "host", "tls", "tlscacert", "tlscert", "tlskey", "tlsverify"}

// newStandaloneCommand is the same tree with docker's look, and of docker's
// global flags those that say where its configuration and its engine are.
func newStandaloneCommand(ctx context.Context, dockerCLI *dockercommand.DockerCli) *cobra.Command {
	root := newRootCommand(standaloneName, dockerCLI)
	root.SilenceUsage = true
	root.SilenceErrors = true
	root.TraverseChildren = true
	root.CompletionOptions.DisableDefaultCmd = true
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.SetContext(ctx)
	root.SetIn(dockerCLI.In())
	root.SetOut(dockerCLI.Out())
	root.SetErr(dockerCLI.Err())

	// Set up as docker's root so that help and usage read as docker's do.
	docker := &cobra.Command{Use: "docker"}
	options, help := cli.SetupRootCommand(docker)
	root.SetUsageTemplate(docker.UsageTemplate())
	root.SetHelpTemplate(docker.HelpTemplate())
	root.SetFlagErrorFunc(cli.FlagErrorFunc)
	root.SetHelpCommand(help)
	root.PersistentFlags().AddFlag(docker.PersistentFlags().Lookup("help"))
	root.PersistentFlags().AddFlag(docker.Flags().Lookup("config"))
	for _, name := range engineFlags {
		root.Flags().AddFlag(docker.Flags().Lookup(name))
	}

	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		return initialize(dockerCLI, options, docker.Flags())
	}
	noFlagsInUseLine(root)
	return root
}

// initialize reads docker's configuration. It contacts nothing.
func initialize(dockerCLI *dockercommand.DockerCli, options *flags.ClientOptions, set *pflag.FlagSet) error {
	options.SetDefaultOptions(set)
	return dockerCLI.Initialize(options)
}

// newRootCommand is the tree of commands, under either name.
func newRootCommand(name string, dockerCLI dockercommand.Cli) *cobra.Command {
	root := &cobra.Command{
		Use:   name,
		Short: "Build and convert images in OCI and Docker formats",
		Long: `Build an image in the format that each target takes, OCI or Docker V2.2, turn one
that is there into it, in a registry, an OCI layout or an archive, show what an
image is made of, and say which registries, services and runtimes take it.

An IMAGE is one of:
  NAME[:TAG|@DIGEST]                in a registry, named as docker names it
  oci-layout://PATH[:TAG|@DIGEST]   in an OCI image layout, a directory
  archive://FILE[:TAG|@DIGEST]      in a tar: an OCI archive, or of docker save
  archive://-                       the same, on standard input or output
  containerd://[NAMESPACE/]NAME     in a containerd
  engine://NAME[:TAG|@DIGEST]|ID    in a Docker engine, or Podman, as docker reads it

Every other command of buildx, such as bake, is passed on to it.

Exit codes: 0 done, 1 failed, 2 does not conform, 125 bad flags, 130 interrupted.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usageError(cmd, fmt.Errorf("no such command: %s", args[0]))
		},
		RunE: dockercommand.ShowHelp(dockerCLI.Out()),
	}
	root.Flags().String(flagBuilder, "", "Override the configured builder instance")
	if err := root.Flags().MarkHidden(flagBuilder); err != nil {
		panic(err) // the flag is there: it was added a line above
	}
	root.AddCommand(newBuildCommand(dockerCLI))
	verbs := buildx.Verbs
	if isBuilder() {
		// Behind `docker builder` every word is one of buildx's.
		verbs = slices.Concat(verbs, buildx.Shared)
	} else {
		root.AddCommand(
			newBuilderCommand(dockerCLI),
			newCheckCommand(dockerCLI),
			newConvertCommand(dockerCLI),
			newInspectCommand(dockerCLI),
			newProfilesCommand(dockerCLI),
			newPushCommand(dockerCLI),
			newVersionCommand(dockerCLI),
			newCompletionCommand(dockerCLI),
			newShellInitCommand(dockerCLI),
			newInstallCommand(dockerCLI),
			newUninstallCommand(dockerCLI),
			newHooksCommand(dockerCLI),
		)
	}
	for _, verb := range verbs {
		root.AddCommand(newBuildxCommand(dockerCLI, verb))
	}
	return root
}

// noFlagsInUseLine keeps cobra's "[flags]" out of the usage lines: docker
// writes [OPTIONS] where there are any.
func noFlagsInUseLine(cmd *cobra.Command) {
	cmd.DisableFlagsInUseLine = true
	for _, child := range cmd.Commands() {
		noFlagsInUseLine(child)
	}
}

// exactArgs accepts n arguments, and says what is wrong with docker's exit
// code for a bad command line.
func exactArgs(n int) cobra.PositionalArgs {
	check := cli.ExactArgs(n)
	return func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) == nil {
			return nil
		}
		return usageError(cmd, fmt.Errorf("%s needs %s, and got %d", cmd.Name(), countOf(n, "argument"), len(args)))
	}
}

// countOf is a number and a noun: "1 argument", "2 arguments".
func countOf(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
