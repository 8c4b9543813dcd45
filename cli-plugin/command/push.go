// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	dockercommand "github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/printer"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/profiles"
	"github.com/manifest-format/manifest-format/format"
)

// pushOptions is what the command line of push says.
type pushOptions struct {
	convertOptions

	image   string
	ref     string
	allTags bool
}

func newPushCommand(dockerCLI dockercommand.Cli) *cobra.Command {
	options := pushOptions{convertOptions: convertOptions{
		engine:    format.Options{OnLoss: format.OnLossWarn, Annotations: format.AnnotationsDrop},
		foreign:   foreignKeep,
		referrers: referrersNone,
		progress:  printer.ProgressDocker,
	}}
	cmd := &cobra.Command{
		Use:   "push [OPTIONS] IMAGE [REF]",
		Short: "Push an image of the engine in the format that a target takes",
		Long: `Push IMAGE, which is the docker engine's unless it says otherwise, to the registry
under the name REF, which is its own unless given, in the format that a target
takes. It is convert with engine://IMAGE for its source.

Without --for the image is for the profile of its registry, if there is one; else
for the default profile (see "manifest-format install"); else it is pushed as the
engine has it, which in an engine with Docker's own store is Docker V2.2.

An engine has of an image what was pulled or built. If that is not all, --platform
says what to push. Docker's own store has neither manifests nor compressed layers:
they are made anew, each time the same.

Progress is shown as docker push shows it, on standard error. The reference of what
was pushed, by digest, is printed on standard output.`,
		Example: `  # as docker push, and in the format that the registry takes
  manifest-format push registry.example.com/app:1.0

  # in Docker V2.2, under another name
  manifest-format push --for docker app:1.0 registry.example.com/app:1.0

  # of an engine of another docker context
  docker --context build-server manifestformat push --for oci app:1.0 ghcr.io/me/app:1.0

  # every tag of it
  manifest-format push --all-tags registry.example.com/app`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 || len(args) == 2 {
				return nil
			}
			return usageError(cmd, fmt.Errorf("push needs an image, and may have a name for it, and got %s", countOf(len(args), "argument")))
		},
		ValidArgsFunction: completePush(dockerCLI),
		RunE: func(cmd *cobra.Command, args []string) error {
			options.image = args[0]
			if len(args) == 2 {
				options.ref = args[1]
			}
			if err := options.check(cmd); err != nil {
				return usageError(cmd, err)
			}
			options.places = reached(dockerCLI, options.places)
			return interruptible(cmd.Context(), runPush(cmd.Context(), dockerCLI, options))
		},
	}
	addTransferFlags(cmd, &options.convertOptions, append([]printer.ProgressMode{printer.ProgressDocker}, printer.ProgressModes()...)...)
	cmd.Flags().BoolVarP(&options.allTags, "all-tags", "a", false, "Push every tag that the engine has of the image")
	return cmd
}

// check says what of the command line makes no sense by itself.
func (o *pushOptions) check(cmd *cobra.Command) error {
	o.print.Brief = true
	if err := o.shapes(); err != nil {
		return err
	}
	if o.print.Quiet && cmd.Flags().Changed("progress") {
		return errors.New("--quiet and --progress exclude each other")
	}
	return printer.ValidTemplate(o.print.Format)
}

// runPush pushes the image, or all its tags.
func runPush(ctx context.Context, dockerCLI dockercommand.Cli, o pushOptions) error {
	if o.allTags {
		return pushTags(ctx, dockerCLI, o)
	}
	way, err := o.route()
	if err != nil {
		return err
	}
	return o.push(ctx, dockerCLI, way)
}

// route is where the image is and where it goes.
func (o *pushOptions) route() (route, error) {
	source, err := pushSource(o.image)
	if err != nil {
		return route{}, err
	}
	ref := o.ref
	if ref == "" {
		if ref, err = ownName(source); err != nil {
			return route{}, err
		}
	}
	destination, err := pushDestination(ref)
	return route{source: source, destination: destination, own: o.ref == ""}, err
}

// pushSource reads an image as docker push does, or with its scheme.
func pushSource(image string) (location.Location, error) {
	if strings.Contains(image, "://") {
		return location.Parse(image)
	}
	return location.Parse(location.SchemeEngine + image)
}

// pushDestination reads the name that an image is pushed under.
func pushDestination(ref string) (location.Location, error) {
	destination, err := location.Parse(ref)
	if err != nil {
		return nil, err
	}
	if _, is := destination.(location.Registry); !is {
		return nil, fmt.Errorf("%s: push goes to a registry: use manifest-format convert", ref)
	}
	return destination, location.CheckDestination(destination)
}

// ownName is what a source is called where it is pushed to, unless the person
// says otherwise.
func ownName(source location.Location) (string, error) {
	switch in := source.(type) {
	case location.Engine:
		if ref, tagged := in.Tagged(); tagged {
			return ref.String(), nil
		}
		return "", unnamed(in.Name)
	case location.Containerd:
		if strings.Contains(in.Name, "@") || strings.HasPrefix(in.Name, "sha256:") {
			return "", unnamed(source.String())
		}
		return in.Name, nil
	}
	return "", fmt.Errorf("%s: say under which name to push it: manifest-format push %s REF", source, source)
}

// unnamed is that an image has no name that it could be pushed under.
func unnamed(image string) error {
	return fmt.Errorf("%s: that is a digest or an ID: say under which name to push it: manifest-format push %s REF", image, image)
}

// push pushes one image.
func (o *pushOptions) push(ctx context.Context, dockerCLI dockercommand.Cli, way route) error {
	one := o.convertOptions
	if one.profile.Name == "" {
		profile, known, err := pushProfile(dockerCLI, way.destination)
		if err != nil {
			return err
		}
		one.profile, one.inferred = profile, known
	}
	return transfer(ctx, dockerCLI, way, one)
}

// pushProfile is what an image is for where the command line does not say:
// known says that its registry does. The profile without a name takes
// everything.
func pushProfile(dockerCLI dockercommand.Cli, destination location.Location) (profile format.Profile, known bool, err error) {
	all, err := profiles.Load(".")
	if err != nil {
		return profile, false, err
	}
	if at, ok := destination.(location.Registry); ok {
		if profile, known = all.ForHost(reference.Domain(at.Ref)); known {
			return profile, true, nil
		}
	}
	fallback, err := defaultProfile(dockerCLI)
	if err != nil || fallback == nil {
		return format.Profile{}, false, err
	}
	return *fallback, false, nil
}

// pushTags pushes every tag that the engine has of a repository. That one fails
// does not keep the others from being pushed.
func pushTags(ctx context.Context, dockerCLI dockercommand.Cli, o pushOptions) error {
	image := strings.TrimPrefix(o.image, location.SchemeEngine)
	if strings.Contains(image, "://") {
		return fmt.Errorf("%s: --all-tags is for the images of an engine", o.image)
	}
	from, err := repositoryOf(image)
	if err != nil {
		return err
	}
	to := from
	if o.ref != "" {
		if to, err = repositoryOf(o.ref); err != nil {
			return err
		}
	}
	engine, err := o.places.Engine()
	if err != nil {
		return err
	}
	tags, err := engine.Tags(ctx, from)
	switch {
	case err != nil:
		return err
	case len(tags) == 0:
		return fmt.Errorf("%s%s: no such image in the engine, under any tag", location.SchemeEngine, reference.FamiliarName(from))
	}
	failed := 0
	for _, name := range tags {
		tag := name[strings.LastIndexByte(name, ':')+1:]
		one := o
		one.image, one.ref = name, to.Name()+":"+tag
		way, err := one.route()
		if err == nil {
			err = one.push(ctx, dockerCLI, way)
		}
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			failed++
			printError(dockerCLI.Err(), err)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %s of %s not pushed", failed, countOf(len(tags), "tag"), reference.FamiliarName(from))
	}
	return nil
}

// repositoryOf reads a name without a tag.
func repositoryOf(name string) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if !reference.IsNameOnly(ref) {
		return nil, fmt.Errorf("%s: --all-tags pushes every tag: leave out the tag", name)
	}
	return ref, nil
}
