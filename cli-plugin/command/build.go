// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	dockercommand "github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/build"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/buildx"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/dockerconfig"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/printer"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/profiles"
	"github.com/manifest-format/manifest-format/format"
)

func newBuildCommand(dockerCLI dockercommand.Cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "build [OPTIONS] PATH | URL | -",
		Aliases: []string{"b"},
		Short:   "Build images in the format that each target takes",
		Long: `Build an image with buildx, and emit it in the format that each target takes:
what -t names for the profile of --for, and each --emit for its own.

Every flag of "docker buildx build" works as it does there. It is your own
buildx that builds: on a builder whose BuildKit has the exporter of this
project (see "manifest-format builder create") in one build and inside BuildKit,
and on any other by building OCI and converting that, in the registry or on
this machine. The images are the same.

Without --push, --load and --output what -t names is loaded into the engine, as
"docker build" does. --emit always writes to its destination, which is a
registry, oci-layout://PATH[:TAG] or archive://FILE[:TAG]; it takes attributes:
platform, single, attestations, annotations and on-loss.

Without --for, --emit and a default profile (see "manifest-format install") this
is "docker buildx build".`,
		Example: `  # an image that is Docker V2.2, pushed
  manifest-format build --for docker -t registry.example.com/app:1.0 --push .

  # one build, two registries, each in its format
  manifest-format build --emit oci=ghcr.io/me/app:1.0 --emit docker=registry.example.com/app:1.0 .

  # what AWS Lambda takes of an image for several platforms
  manifest-format build --platform linux/amd64,linux/arm64 --for oci -t ghcr.io/me/app:1.0 --push \
    --emit docker=123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1.0,platform=linux/arm64,single=true .`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if wantsHelp(args) {
				return cmd.Help()
			}
			return runBuild(cmd, dockerCLI, withBuilder(cmd, args))
		},
		ValidArgsFunction: completeBuild(dockerCLI),
	}
	// For the help alone: the command line is read as buildx reads it.
	flags := cmd.Flags()
	flags.String(build.FlagFor, "", `What the image of -t is for: a profile (see "manifest-format profiles"), several, or a file`)
	flags.StringArray(build.FlagEmit, nil, `Emit the image to a destination of its own (format: "PROFILE=REF[,platform=...][,single=true]"); may be repeated`)
	flags.String(build.FlagAttestations, "", `What becomes of SBOM and provenance ("keep", "referrers", "drop")`)
	flags.String(build.FlagOnLoss, "warn", `When something is lost ("warn", "fail")`)
	flags.String(build.FlagFormat, "", `Format the result: "json", or a Go template`)
	return cmd
}

// wantsHelp reports whether --help is among the arguments, as buildx reads
// them. What cannot be read is not help.
func wantsHelp(args []string) bool {
	scanned, err := buildx.Scan(args, build.OwnFlags...)
	if err != nil {
		return false
	}
	help, err := scanned.Is("help")
	return err == nil && help
}

func runBuild(cmd *cobra.Command, dockerCLI dockercommand.Cli, args []string) error {
	if on, err := buildKitEnabled(); err != nil {
		return err
	} else if !on {
		return errors.New("DOCKER_BUILDKIT=0 asks for the builder before BuildKit, which makes Docker V2.2 alone and knows no buildx: " +
			"unset it, or use docker build without this program")
	}
	fallback, err := defaultProfile(dockerCLI)
	if err != nil {
		return err
	}
	request, err := build.Parse(args, fallback)
	if err != nil {
		return usageError(cmd, err)
	}
	if err := printer.ValidTemplate(request.Format); err != nil {
		return usageError(cmd, err)
	}
	words := append([]string{"build"}, request.Args.Words()...)
	plugin, err := findBuildx(dockerCLI, words)
	if err != nil {
		return err
	}
	if len(request.Wanted) == 0 {
		if err := checkByHand(cmd.Context(), dockerCLI, plugin, request); err != nil {
			return err
		}
		return plugin.Become(cmd.Context(), words...)
	}
	return interruptible(cmd.Context(), emit(cmd.Context(), dockerCLI, plugin, request))
}

// buildKitEnabled reads the variable by which docker chooses its builder.
func buildKitEnabled() (bool, error) {
	text := os.Getenv("DOCKER_BUILDKIT")
	if text == "" {
		return true, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		// docker says so too, in its own words.
		return true, fmt.Errorf("DOCKER_BUILDKIT=%s: it is true or false", text)
	}
	return on, nil
}

// defaultProfile is what docker's configuration says that an image is for
// unless the command line says otherwise; nil if it does not.
func defaultProfile(dockerCLI dockercommand.Cli) (*format.Profile, error) {
	name, ok := dockerCLI.ConfigFile().PluginConfig(pluginName, dockerconfig.KeyProfile)
	if !ok || name == "" {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	known, err := profiles.Load(".")
	if err != nil {
		return nil, err
	}
	profile, err := known.Find(name)
	if err != nil {
		return nil, fmt.Errorf("%s: plugins.%s.%s: %w", dockerCLI.ConfigFile().GetFilename(), pluginName, dockerconfig.KeyProfile, err)
	}
	return &profile, nil
}

// checkByHand refuses an --output that names our exporter where the builder
// has none: BuildKit would pass over the attribute without a word.
func checkByHand(ctx context.Context, dockerCLI dockercommand.Cli, plugin *buildx.Plugin, request *build.Request) error {
	for _, text := range request.Args.Values("output") {
		// What cannot be read is buildx's to complain about.
		o, err := buildx.ParseOutput(text)
		if err != nil || !build.IsOurs(o) {
			continue
		}
		b := build.Builder{Docker: dockerCLI, Buildx: plugin, Streams: buildx.Standard()}
		name, has, err := b.HasExporter(ctx, request.Args.Value(flagBuilder))
		if err == nil && !has {
			err = fmt.Errorf("--output %s: the BuildKit of the builder %s has no such exporter: use --for in its place, or a builder of manifest-format builder create", text, name)
		}
		return err
	}
	return nil
}

// emit builds, and prints what came of it.
func emit(ctx context.Context, dockerCLI dockercommand.Cli, plugin *buildx.Plugin, request *build.Request) error {
	mode := printer.ProgressMode(request.Args.Value("progress"))
	if request.Quiet {
		mode = printer.ProgressQuiet
	}
	if !slices.Contains(printer.ProgressModes(), mode) {
		mode = printer.ProgressAuto
	}
	progress, err := printer.NewProgress(dockerCLI.Err(), mode)
	if err != nil {
		return err
	}
	options := printer.ConversionOptions{Format: request.Format, Quiet: request.Quiet, OnStderr: request.OnStdout()}
	b := build.Builder{
		Docker: dockerCLI, Buildx: plugin, Streams: buildx.Standard(), Progress: progress.Update,
		Warn:  func(text string) { printer.Warning(dockerCLI, text) },
		Check: func(e build.Emitted) error { return printer.Build{Emissions: []build.Emitted{e}}.Try(options) },
	}
	emitted, err := b.Emit(ctx, request)
	progress.Close()
	var lossy *build.LossError
	switch {
	case errors.As(err, &lossy):
		refusal := printer.Refusal{Source: lossy.Source, Losses: lossy.Losses}
		return errors.Join(err, refusal.Print(dockerCLI, options))
	case err != nil:
		return err
	}
	return printer.Build{Emissions: emitted}.Print(dockerCLI, options)
}
