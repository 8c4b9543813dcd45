// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	dockercommand "github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/buildx"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/printer"
	"github.com/manifest-format/manifest-format/format/emission"
)

func newBuilderCommand(dockerCLI dockercommand.Cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "builder",
		Short: "Manage builders that emit in several formats themselves",
		Long: `Manage buildx's builders whose BuildKit has the exporter of this project: they
emit an image in several formats in one build. Any other builder works too;
this program converts then what it has built.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usageError(cmd, fmt.Errorf("no such command: builder %s", args[0]))
		},
		RunE: dockercommand.ShowHelp(dockerCLI.Out()),
	}
	cmd.AddCommand(newBuilderCreateCommand(dockerCLI), newBuilderListCommand(dockerCLI), newBuilderRemoveCommand(dockerCLI))
	return cmd
}

// The drivers of buildx that this program knows about.
const (
	driverContainer  = "docker-container"
	driverKubernetes = "kubernetes"
	driverRemote     = "remote"
)

// builderImage is where the images of our BuildKit are.
const builderImage = "ghcr.io/manifest-format/buildkitd"

// released are versions that have an image of their own.
var released = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-(alpha|beta|rc)\.?[0-9]+)?$`)

func defaultBuilderImage() string {
	if v := version(); released.MatchString(v) {
		return builderImage + ":" + v
	}
	return builderImage + ":latest"
}

// createOptions is what the command line of builder create says.
type createOptions struct {
	name, endpoint string
	driver, image  string
	driverOptions  []string
	platforms      []string
	flags, config  string
	use, bootstrap bool
}

func newBuilderCreateCommand(dockerCLI dockercommand.Cli) *cobra.Command {
	var o createOptions
	cmd := &cobra.Command{
		Use:   "create [OPTIONS] [NAME] [CONTEXT|ENDPOINT]",
		Short: "Create a builder whose BuildKit has the exporter",
		Long: `Create a builder of buildx whose BuildKit has the exporter of this project: in a
container or in Kubernetes, from an image of that BuildKit, or with
--driver=remote one that runs already at ENDPOINT. Such a one is asked whether
it has the exporter.

The flags are those of "docker buildx create".`,
		Example: `  # a builder in a container, used from now on
  manifest-format builder create --use formats

  # a BuildKit that runs already
  manifest-format builder create --driver remote formats tcp://buildkit.example.com:1234`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.setArgs(args); err != nil {
				return usageError(cmd, err)
			}
			return interruptible(cmd.Context(), runBuilderCreate(cmd.Context(), dockerCLI, o))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.StringVar(&o.driver, "driver", driverContainer, `Driver to use ("docker-container", "kubernetes", "remote")`)
	flags.StringVar(&o.image, "image", "", fmt.Sprintf("Image of BuildKit with the exporter (default %q, of this version)", builderImage))
	flags.StringArrayVar(&o.driverOptions, "driver-opt", nil, "Options for the driver")
	flags.StringArrayVar(&o.platforms, "platform", nil, "Fixed platforms for the builder")
	flags.StringVar(&o.flags, "buildkitd-flags", "", "BuildKit daemon flags")
	flags.StringVar(&o.config, "buildkitd-config", "", "BuildKit daemon config file")
	flags.BoolVar(&o.use, "use", false, "Set the current builder instance")
	flags.BoolVar(&o.bootstrap, "bootstrap", false, "Boot the builder after creation, and ask it for the exporter")
	return cmd
}

// setArgs takes the arguments apart: an endpoint alone is told by its scheme.
func (o *createOptions) setArgs(args []string) error {
	if len(args) > 2 {
		return fmt.Errorf("builder create takes a name and an endpoint, and got %s", countOf(len(args), "argument"))
	}
	for i, arg := range args {
		if i == 1 || strings.Contains(arg, "://") {
			if o.endpoint != "" {
				return fmt.Errorf("two endpoints, %s and %s", o.endpoint, arg)
			}
			o.endpoint = arg
		} else {
			o.name = arg
		}
	}
	switch o.driver {
	case driverContainer, driverKubernetes:
		return nil
	case driverRemote:
		if o.endpoint == "" {
			return errors.New("--driver=remote needs the endpoint of a BuildKit, such as tcp://buildkit.example.com:1234")
		}
		return nil
	}
	return fmt.Errorf("--driver=%s: there is %s, %s, %s: others have a BuildKit of their own", o.driver, driverContainer, driverKubernetes, driverRemote)
}

// args are those of `buildx create`.
func (o *createOptions) args() []string {
	args := []string{"create", "--driver=" + o.driver}
	add := func(flag string, values ...string) {
		for _, value := range values {
			if value != "" {
				args = append(args, "--"+flag+"="+value)
			}
		}
	}
	add("name", o.name)
	named := slices.ContainsFunc(o.driverOptions, func(option string) bool { return strings.HasPrefix(option, "image=") })
	if o.driver != driverRemote && !named {
		image := o.image
		if image == "" {
			image = defaultBuilderImage()
		}
		add("driver-opt", "image="+image)
	}
	add("driver-opt", o.driverOptions...)
	add("platform", o.platforms...)
	add("buildkitd-flags", o.flags)
	add("buildkitd-config", o.config)
	if o.use {
		args = append(args, "--use")
	}
	if o.endpoint != "" {
		args = append(args, o.endpoint)
	}
	return args
}

func runBuilderCreate(ctx context.Context, dockerCLI dockercommand.Cli, o createOptions) error {
	plugin, err := findBuildx(dockerCLI, nil)
	if err != nil {
		return err
	}
	out, err := plugin.Ask(ctx, nil, o.args()...)
	if err != nil {
		return err
	}
	name := strings.TrimSpace(string(out))
	if o.bootstrap || o.driver == driverRemote {
		if err := checkExporter(ctx, dockerCLI, plugin, name); err != nil {
			// A builder that cannot be reached is of no use.
			_, undone := plugin.Ask(context.WithoutCancel(ctx), nil, "rm", "--force", name)
			return errors.Join(err, undone)
		}
	}
	_, err = fmt.Fprintln(dockerCLI.Out(), name)
	return err
}

// checkExporter starts a builder, and warns if its BuildKit is not ours.
func checkExporter(ctx context.Context, dockerCLI dockercommand.Cli, plugin *buildx.Plugin, name string) error {
	builder, err := plugin.Inspect(ctx, dockerCLI.Err(), name)
	if err != nil {
		return err
	}
	if !builder.Has(emission.WorkerLabel) {
		printer.Warning(dockerCLI, fmt.Sprintf("the BuildKit of the builder %s has no exporter %s: builds with it work, and this program converts what it has built",
			name, emission.ExporterType))
	}
	return nil
}

func newBuilderListCommand(dockerCLI dockercommand.Cli) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List builders, and which of them have the exporter",
		Long: `List the builders of buildx, and which of them have the exporter of this project:
yes, no, or "-" for one that does not run.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return interruptible(cmd.Context(), runBuilderList(cmd.Context(), dockerCLI))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func runBuilderList(ctx context.Context, dockerCLI dockercommand.Cli) error {
	plugin, err := findBuildx(dockerCLI, nil)
	if err != nil {
		return err
	}
	listed, err := plugin.List(ctx)
	if err != nil {
		return err
	}
	var builders []printer.Builder
	for _, b := range listed {
		one := printer.Builder{Name: b.Name, Driver: b.Driver, Current: b.Current, Problem: b.Err}
		for _, node := range b.Nodes {
			_, has := node.Labels[emission.WorkerLabel]
			one.Nodes = append(one.Nodes, printer.Node{
				Endpoint: node.Endpoint, Status: node.Status, Version: node.Version, Known: len(node.Labels) > 0, Exporter: has,
			})
			one.Problem = max(one.Problem, node.Err)
		}
		builders = append(builders, one)
	}
	printer.Builders(dockerCLI, builders)
	return nil
}

func newBuilderRemoveCommand(dockerCLI dockercommand.Cli) *cobra.Command {
	return &cobra.Command{
		Use:   "rm [OPTIONS] NAME...",
		Short: "Remove builders",
		Long:  `Remove builders, as "docker buildx rm" does, with its flags.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if wantsHelp(args) {
				return cmd.Help()
			}
			return passOn(cmd, dockerCLI, append([]string{"rm"}, args...))
		},
		DisableFlagParsing: true,
		ValidArgsFunction:  completeByBuildx(dockerCLI, "rm"),
	}
}
