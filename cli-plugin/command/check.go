// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/docker/cli/cli"
	dockercommand "github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/conformance"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/printer"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/profiles"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/report"
	"github.com/manifest-format/manifest-format/format"
)

// checkOptions is what the command line of check says.
type checkOptions struct {
	image    string
	targets  targetsFlag
	strict   bool
	format   string
	fix      bool
	write    string
	progress printer.ProgressMode
	places   location.Options
}

// targetsFlag is a flag that takes profiles, each by itself.
type targetsFlag struct {
	list []format.Profile
	// specs are how profiles were named that are files.
	specs map[string]string
}

func (f *targetsFlag) String() string {
	var names []string
	for _, p := range f.list {
		names = append(names, p.Name)
	}
	return strings.Join(names, ",")
}

func (f *targetsFlag) Type() string { return "profile" }

func (f *targetsFlag) Set(s string) error {
	known, err := profiles.Load(".")
	if err != nil {
		return err
	}
	for spec := range strings.SplitSeq(s, ",") {
		p, err := known.Find(spec)
		if err != nil {
			return err
		}
		if profiles.IsFile(spec) {
			f.specs[p.Name] = spec
		}
		f.list = append(f.list, p)
	}
	return nil
}

func newCheckCommand(dockerCLI dockercommand.Cli) *cobra.Command {
	options := checkOptions{targets: targetsFlag{specs: map[string]string{}}, progress: printer.ProgressAuto}
	cmd := &cobra.Command{
		Use:   "check [OPTIONS] IMAGE|-",
		Short: "Say whether targets take an image, before it is pushed",
		Long: `Hold an image to what targets accept: every one, as a table, or those named with
--for, with each finding: where it is, what the target wants instead, how sure
that is, since when and from where, what the target would say, and the command
that mends it.

What the vendor documents, or was measured, is an error; what users report, or
what follows from something else, a warning; what a specification alone says, a
note. Exit code 2 says that a target named with --for does not take the image.

With "-" one index or manifest is read from standard input, and what it names
is not looked at.`,
		Example: `  # where can this image go?
  manifest-format check registry.example.com/app:1.0

  # will Lambda take it, and if not, why?
  manifest-format check --for aws-lambda registry.example.com/app:1.0

  # for GitHub code scanning
  manifest-format check --for aws-ecr,ghcr --format sarif registry.example.com/app:1.0 > check.sarif

  # of an index that another tool prints
  docker buildx imagetools inspect --raw alpine | manifest-format check -

  # mend it
  manifest-format check --for heroku --fix --write registry.example.com/app:heroku registry.example.com/app:1.0`,
		Args:              exactArgs(1),
		ValidArgsFunction: completeImage(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			options.image = args[0]
			if err := options.validate(); err != nil {
				return usageError(cmd, err)
			}
			options.places = reached(dockerCLI, options.places)
			return interruptible(cmd.Context(), runCheck(cmd.Context(), dockerCLI, options))
		},
	}
	addProfileFlag(cmd, &options.targets, `Only these targets; may be repeated (see "manifest-format profiles")`)
	flags := cmd.Flags()
	flags.BoolVar(&options.strict, "strict", false, "Take warnings for errors")
	flags.StringVar(&options.format, "format", "", `Format the output: "json", "sarif", "junit", "markdown", "html", or a Go template`)
	flags.BoolVar(&options.fix, "fix", false, "Print the commands that mend the image, nothing else")
	flags.StringVar(&options.write, "write", "", "With --fix: convert the image, and write it to this `DESTINATION`")
	addChoice(cmd, &options.progress, "progress", "How to show progress with --write", printer.ProgressModes()...)
	if err := cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(append(report.Formats(), "json"), cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is there: it was added a few lines above
	}
	addPlaceFlags(flags, &options.places)
	return cmd
}

// validate says what of the command line makes no sense by itself.
func (o *checkOptions) validate() error {
	switch {
	case o.write != "" && !o.fix:
		return errors.New("--write is for --fix")
	case o.write != "" && len(o.targets.list) == 0:
		return errors.New("--write needs the target that the image is for: --for")
	case o.write != "" && o.image == stdinDocument:
		return errors.New("standard input is one document, and --write converts an image: name the image")
	case o.fix && o.format != "":
		return errors.New("--fix and --format exclude each other")
	case report.Known(o.format):
		return nil
	}
	return printer.ValidTemplate(o.format)
}

// stdinDocument is the image that is one document on standard input.
const stdinDocument = "-"

func runCheck(ctx context.Context, dockerCLI dockercommand.Cli, o checkOptions) error {
	if o.write != "" {
		return mend(ctx, dockerCLI, o)
	}
	a, err := assess(ctx, dockerCLI, o)
	if err != nil {
		return err
	}
	switch {
	case o.fix:
		return printer.Fixes(dockerCLI, a)
	case report.Known(o.format):
		err = report.Write(dockerCLI.Out(), o.format, a)
	case o.format != "":
		err = printer.CheckTemplate(dockerCLI, a, o.format)
	case len(o.targets.list) == 0:
		err = printer.Matrix(dockerCLI, a)
	default:
		err = printer.Findings(dockerCLI, a)
	}
	if err != nil || len(o.targets.list) == 0 {
		return err
	}
	return nonConforming(a)
}

// nonConforming is the error with the exit code for an image that a target
// does not take, nil if all do.
func nonConforming(a *conformance.Assessment) error {
	failing := a.Failing()
	if len(failing) == 0 {
		return nil
	}
	var names []string
	for _, t := range failing {
		names = append(names, t.Profile)
	}
	err := fmt.Errorf("%s: %w to %s", a.Reference, format.ErrNonConforming, strings.Join(names, ", "))
	return cli.StatusError{Cause: err, Status: err.Error(), StatusCode: exitNonConforming}
}

// assess holds the image to the targets, all if none is named.
func assess(ctx context.Context, dockerCLI dockercommand.Cli, o checkOptions) (*conformance.Assessment, error) {
	targets := o.targets.list
	if len(targets) == 0 {
		known, err := profiles.Load(".")
		if err != nil {
			return nil, err
		}
		targets = known.All()
	}
	options := conformance.Options{Strict: o.strict, Specs: o.targets.specs}
	if o.image == stdinDocument {
		body, err := io.ReadAll(io.LimitReader(dockerCLI.In(), maxRawSize+1))
		if err != nil {
			return nil, err
		}
		if len(body) > maxRawSize {
			return nil, fmt.Errorf("standard input: %w: it has more than %d bytes", format.ErrTooLarge, maxRawSize)
		}
		return conformance.AssessDocument(ctx, body, o.image, targets, options)
	}
	place, err := location.Parse(o.image)
	if err != nil {
		return nil, err
	}
	src, root, err := location.OpenImage(ctx, place, dockerCLI.In(), o.places)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	options.Part = location.HoldsPart(place)
	a, err := conformance.Assess(ctx, src, root, place.String(), targets, options)
	return a, explain(place, err)
}

// mend converts the image to what all targets named take.
func mend(ctx context.Context, dockerCLI dockercommand.Cli, o checkOptions) error {
	profile, err := format.CombineProfiles(o.targets.list...)
	if err != nil {
		return err
	}
	return runConvert(ctx, dockerCLI, convertOptions{
		source: o.image, destination: o.write, profile: profile,
		engine:  format.Options{OnLoss: format.OnLossWarn, Annotations: format.AnnotationsDrop},
		foreign: foreignKeep, referrers: referrersNone, progress: o.progress, places: o.places,
	})
}
