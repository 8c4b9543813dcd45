// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	dockercommand "github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/conversion"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/printer"
	"github.com/manifest-format/manifest-format/format"
)

// convertOptions is what the command line of convert says.
type convertOptions struct {
	source      string
	destination string
	profile     format.Profile
	inferred    bool // from where the destination is
	engine      format.Options
	foreign     foreignLayers
	referrers   referrersMode
	dryRun      bool
	print       printer.ConversionOptions
	progress    printer.ProgressMode
	places      location.Options
}

// foreignLayers is what becomes of layers that registries do not hold.
type foreignLayers string

const (
	foreignKeep  foreignLayers = "keep"
	foreignFetch foreignLayers = "fetch"
)

// referrersMode is what becomes of what refers to the source.
type referrersMode string

const (
	referrersNone    referrersMode = "none"
	referrersCopy    referrersMode = "copy"
	referrersRepoint referrersMode = "repoint"
)

func newConvertCommand(dockerCLI dockercommand.Cli) *cobra.Command {
	options := convertOptions{
		engine:    format.Options{OnLoss: format.OnLossWarn, Annotations: format.AnnotationsDrop},
		foreign:   foreignKeep,
		referrers: referrersNone,
		progress:  printer.ProgressAuto,
	}
	cmd := &cobra.Command{
		Use:   "convert [OPTIONS] SOURCE DESTINATION",
		Short: "Convert an image into the format that a target takes",
		Long: `Convert the image SOURCE into the format that a target takes, and write it to
DESTINATION. Both may be the same: the tag then moves to the converted image.

The result's reference, by digest, is printed on standard output. What was
changed and what was lost is printed on standard error, each with its place in
the image: /manifests/1/layers/0 is the first layer of the second manifest.

In one registry no layer is moved, and between two none touches the disk unless
it has to be recompressed. Tags are written last: a failed run leaves them as
they were.

--dry-run reads SOURCE and converts it all the same, so that the digest is that
of the result. Of DESTINATION it checks its name and whether there is a place to
write to on this machine; it does not ask a registry whether you may push.`,
		Example: `  # an OCI image, where it is, into Docker V2.2
  manifest-format convert --for docker registry.example.com/app:1.0 registry.example.com/app:1.0

  # from one registry to another, losing nothing
  manifest-format convert --for docker --on-loss=fail ghcr.io/me/app:1.0 registry.example.com/app:1.0

  # what docker save wrote, into an OCI layout, one platform of it
  docker save app | manifest-format convert --for oci --platform linux/arm64 archive://- oci-layout://app:1.0`,
		Args:              exactArgs(2),
		ValidArgsFunction: completeImage(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			options.source, options.destination = args[0], args[1]
			if err := options.validate(cmd); err != nil {
				return usageError(cmd, err)
			}
			options.places = reached(dockerCLI, options.places)
			return interruptible(cmd.Context(), runConvert(cmd.Context(), dockerCLI, options))
		},
	}
	addConvertFlags(cmd, &options)
	return cmd
}

func addConvertFlags(cmd *cobra.Command, o *convertOptions) {
	addProfileFlag(cmd, profileFlag{&o.profile}, `What the image is for: a profile (see "manifest-format profiles"), several, or a file`)
	addCompleted(cmd, platformFlag{&o.engine.Platforms}, "platform", "Keep only this platform; may be repeated", commonPlatforms...)
	addChoice(cmd, &o.engine.OnLoss, "on-loss", "When something is lost", format.OnLossWarn, format.OnLossFail)
	addChoice(cmd, &o.engine.Attestations, "attestations", "What becomes of SBOM and provenance in the index",
		format.AttestationsKeep, format.AttestationsReferrers, format.AttestationsDrop)
	addChoice(cmd, &o.referrers, "referrers", "What becomes of what refers to the source", referrersNone, referrersCopy, referrersRepoint)
	addChoice(cmd, &o.engine.Annotations, "annotations", "What becomes of annotations that the target has no place for",
		format.AnnotationsDrop, format.AnnotationsLabels)
	addChoice(cmd, &o.engine.Compression, "compression", "Recompress layers that have another compression",
		format.Gzip, format.Zstd, format.Uncompressed)
	addChoice(cmd, &o.foreign, "foreign-layers", "What becomes of layers that registries do not hold", foreignKeep, foreignFetch)
	addChoice(cmd, &o.progress, "progress", "How to show progress", printer.ProgressModes()...)

	flags := cmd.Flags()
	flags.BoolVar(&o.engine.Single, "single", false, "Make the one platform that is left the root, without an index")
	flags.BoolVar(&o.engine.Index, "index", false, "Wrap a single manifest in an index")
	flags.BoolVar(&o.engine.Verify, "verify", false, "Read every layer and compare it with what it should be")
	flags.BoolVar(&o.dryRun, "dry-run", false, "Write nothing, and do not ask DESTINATION's registry")
	flags.BoolVarP(&o.print.Quiet, "quiet", "q", false, "Print the result and what was lost, nothing else")
	flags.StringVar(&o.print.Format, "format", "", `Format the output: "json", or a Go template`)
	addPlaceFlags(flags, &o.places)
}

// validate says what of the command line makes no sense by itself.
func (o *convertOptions) validate(cmd *cobra.Command) error {
	if o.profile.Name == "" {
		var err error
		if o.profile, err = inferProfile(o.destination); err != nil {
			return err
		}
		o.inferred = true
	}
	switch {
	case o.engine.Single && o.engine.Index:
		return errors.New("--single and --index exclude each other")
	case o.referrers != referrersNone:
		return fmt.Errorf("--referrers=%s is for a later release: until then, what refers to the source stays behind", o.referrers)
	case o.print.Quiet && cmd.Flags().Changed("progress"):
		return errors.New("--quiet and --progress exclude each other")
	}
	return printer.ValidTemplate(o.print.Format)
}

func runConvert(ctx context.Context, dockerCLI dockercommand.Cli, o convertOptions) error {
	source, destination, err := parsePair(o.source, o.destination)
	if err != nil {
		return err
	}
	if o.inferred && !o.print.Quiet {
		printer.Note(dockerCLI, fmt.Sprintf("for %s, whose registry %s is in (--for names another target)", o.profile.Name, destination))
	}
	src, root, err := location.OpenImage(ctx, source, dockerCLI.In(), o.places)
	if err != nil {
		return err
	}
	defer src.Close()
	if o.print.Quiet {
		o.progress = printer.ProgressQuiet
	}
	progress, err := printer.NewProgress(dockerCLI.Err(), o.progress)
	if err != nil {
		return err
	}
	o.engine.Progress = progress.Update
	o.print.OnStderr = location.IsStream(destination) && !o.dryRun
	o.engine.NoReferrers = !location.HoldsReferrers(destination)

	origin, err := location.OriginOf(ctx, source, src, root, destination)
	if err != nil {
		return err
	}
	way := route{destination: destination, origin: origin}
	job := conversion.Job{Source: src, Root: root, Profile: o.profile, Options: o.engine, Part: location.HoldsPart(source)}
	var result *format.Result
	if o.dryRun {
		result, err = way.dry(ctx, job, o)
	} else {
		result, err = way.write(ctx, dockerCLI, job, o)
	}
	progress.Close()
	if err != nil {
		var lossy *format.LossError
		if errors.As(err, &lossy) {
			refusal := printer.Refusal{DryRun: o.dryRun, Source: root, Losses: lossy.Losses}
			err = errors.Join(err, refusal.Print(dockerCLI, o.print))
		}
		return explain(source, err)
	}
	return printer.Conversion{
		Reference: destination.Pinned(result.Root.Digest),
		DryRun:    o.dryRun,
		Result:    result,
	}.Print(dockerCLI, o.print)
}

// parsePair reads both arguments before either place is looked at.
func parsePair(source, destination string) (src, dst location.Location, err error) {
	if src, err = location.Parse(source); err != nil {
		return nil, nil, err
	}
	if dst, err = location.Parse(destination); err != nil {
		return nil, nil, err
	}
	return src, dst, location.CheckDestination(dst)
}

// route is where an image comes from and where it goes.
type route struct {
	destination location.Location
	origin      location.Origin
}

// dry converts in memory, and looks at the destination without touching it.
func (r route) dry(ctx context.Context, job conversion.Job, o convertOptions) (*format.Result, error) {
	if err := location.Probe(r.destination, r.origin, o.places); err != nil {
		return nil, err
	}
	return job.Dry(ctx)
}

// write converts and writes.
func (r route) write(ctx context.Context, dockerCLI dockercommand.Cli, job conversion.Job, o convertOptions) (*format.Result, error) {
	dst, err := location.OpenDestination(r.destination, r.origin, dockerCLI.Out(), o.places)
	if err != nil {
		return nil, err
	}
	_, job.Ordered = r.destination.(location.Archive)
	job.Check = func(_ context.Context, _ content.Provider, result *format.Result) error {
		// A template that fails does so before anything is written.
		return printer.Conversion{Reference: r.destination.Pinned(result.Root.Digest), Result: result}.Try(o.print)
	}
	if o.foreign == foreignFetch {
		job.Foreign = o.places.FetchForeign
	}
	return job.Into(ctx, dst)
}
