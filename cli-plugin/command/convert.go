// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"

	dockercommand "github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

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
	via         via
	dryRun      bool
	print       printer.ConversionOptions
	progress    printer.ProgressMode
	places      location.Options
	// unpacked says that the source has no layer compressed.
	unpacked bool
	// notes are of the destination.
	notes []format.Note
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
write to on this machine; it does not ask a registry whether you may push.

--via containerd has a containerd convert an image of its own, and prints what
came of it: no content passes through here. It takes a containerd that is built
with our plugin, see docs/containerd.md.`,
		Example: `  # an OCI image, where it is, into Docker V2.2
  manifest-format convert --for docker registry.example.com/app:1.0 registry.example.com/app:1.0

  # from one registry to another, losing nothing
  manifest-format convert --for docker --on-loss=fail ghcr.io/me/app:1.0 registry.example.com/app:1.0

  # what docker save wrote, into an OCI layout, one platform of it
  docker save app | manifest-format convert --for oci --platform linux/arm64 archive://- oci-layout://app:1.0

  # an image of a containerd, by that containerd
  manifest-format convert --for docker --via containerd containerd://app:1.0 containerd://app:1.0-docker`,
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
	addTransferFlags(cmd, o, printer.ProgressModes()...)
	addChoice(cmd, &o.referrers, "referrers", "What becomes of what refers to the source", referrersNone, referrersCopy, referrersRepoint)
	addChoice(cmd, &o.via, "via", "Have the work done where the image is, by a containerd with our plugin in it", viaContainerd)
}

// addTransferFlags adds the flags of every command that writes an image.
func addTransferFlags(cmd *cobra.Command, o *convertOptions, modes ...printer.ProgressMode) {
	addProfileFlag(cmd, profileFlag{&o.profile}, `What the image is for: a profile (see "manifest-format profiles"), several, or a file`)
	addCompleted(cmd, platformFlag{&o.engine.Platforms}, "platform", "Keep only this platform; may be repeated", commonPlatforms...)
	addChoice(cmd, &o.engine.OnLoss, "on-loss", "When something is lost", format.OnLossWarn, format.OnLossFail)
	addChoice(cmd, &o.engine.Attestations, "attestations", "What becomes of SBOM and provenance in the index",
		format.AttestationsKeep, format.AttestationsReferrers, format.AttestationsDrop)
	addChoice(cmd, &o.engine.Annotations, "annotations", "What becomes of annotations that the target has no place for",
		format.AnnotationsDrop, format.AnnotationsLabels)
	addChoice(cmd, &o.engine.Compression, "compression", "Recompress layers that have another compression",
		format.Gzip, format.Zstd, format.Uncompressed)
	addChoice(cmd, &o.foreign, "foreign-layers", "What becomes of layers that registries do not hold", foreignKeep, foreignFetch)
	addChoice(cmd, &o.progress, "progress", "How to show progress", modes...)

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
	if err := o.shapes(); err != nil {
		return err
	}
	switch {
	case o.referrers != referrersNone:
		return fmt.Errorf("--referrers=%s is for a later release: until then, what refers to the source stays behind", o.referrers)
	case o.print.Quiet && cmd.Flags().Changed("progress"):
		return errors.New("--quiet and --progress exclude each other")
	}
	if err := o.validateVia(); err != nil {
		return err
	}
	return printer.ValidTemplate(o.print.Format)
}

// shapes says that the image cannot have both shapes that are asked for.
func (o *convertOptions) shapes() error {
	if o.engine.Single && o.engine.Index {
		return errors.New("--single and --index exclude each other")
	}
	return nil
}

func runConvert(ctx context.Context, dockerCLI dockercommand.Cli, o convertOptions) error {
	source, destination, err := parsePair(o.source, o.destination)
	if err != nil {
		return err
	}
	way := route{source: source, destination: destination}
	if o.via == viaContainerd {
		return transferVia(ctx, dockerCLI, way, o)
	}
	return transfer(ctx, dockerCLI, way, o)
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
