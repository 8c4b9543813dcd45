// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	dockercommand "github.com/docker/cli/cli/command"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/inspection"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/printer"
	"github.com/manifest-format/manifest-format/format"
)

// inspectOptions is what the command line of inspect says.
type inspectOptions struct {
	image     string
	platforms []ocispec.Platform
	raw       bool
	print     printer.InspectionOptions
	places    location.Options
}

func newInspectCommand(dockerCLI dockercommand.Cli) *cobra.Command {
	var options inspectOptions
	cmd := &cobra.Command{
		Use:   "inspect [OPTIONS] IMAGE",
		Short: "Show what an image is made of",
		Long: `Show the documents of an image as a tree: in which format each is, its platform,
its layers and how they are compressed, and what is attested of it, in the
index and beside it. The last line sums it up.

Digests are short on a terminal and whole in a pipe.`,
		Example: `  # what is this image?
  manifest-format inspect alpine

  # the digest of its root, for a script
  manifest-format inspect --format '{{.Root.Digest}}' oci-layout://app:1.0

  # the manifest for one platform, byte for byte
  manifest-format inspect --raw --platform linux/arm64 alpine`,
		Args:              exactArgs(1),
		ValidArgsFunction: completeImage(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			options.image = args[0]
			if err := options.validate(); err != nil {
				return usageError(cmd, err)
			}
			options.places = reached(dockerCLI, options.places)
			return interruptible(cmd.Context(), runInspect(cmd.Context(), dockerCLI, options))
		},
	}
	addCompleted(cmd, platformFlag{&options.platforms}, "platform", "Show only this platform; may be repeated", commonPlatforms...)
	flags := cmd.Flags()
	flags.BoolVar(&options.raw, "raw", false, "Print the document itself, byte for byte")
	flags.StringVar(&options.print.Format, "format", "", `Format the output: "json", or a Go template`)
	flags.BoolVar(&options.print.NoTrunc, "no-trunc", false, "Do not shorten digests on a terminal")
	addPlaceFlags(flags, &options.places)
	return cmd
}

// validate says what of the command line makes no sense by itself.
func (o *inspectOptions) validate() error {
	switch {
	case o.raw && o.print.Format != "":
		return errors.New("--raw and --format exclude each other")
	case o.raw && len(o.platforms) > 1:
		return errors.New("--raw prints one document: name one --platform")
	}
	return printer.ValidTemplate(o.print.Format)
}

func runInspect(ctx context.Context, dockerCLI dockercommand.Cli, o inspectOptions) error {
	place, err := location.Parse(o.image)
	if err != nil {
		return err
	}
	src, root, err := location.OpenImage(ctx, place, dockerCLI.In(), o.places)
	if err != nil {
		return err
	}
	defer src.Close()
	if o.raw && len(o.platforms) == 0 {
		return explain(place, printRaw(ctx, dockerCLI, src, root))
	}
	image, err := inspectHeld(ctx, place, src, root)
	if err != nil {
		return explain(place, err)
	}
	image.Reference = place.String()
	if len(o.platforms) > 0 {
		if err := image.Select(o.platforms); err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
	}
	if o.raw {
		return printOnly(dockerCLI, place, image.Root)
	}
	return printer.Inspection(dockerCLI, image, o.print)
}

// inspectHeld looks first at what is there, where a part may be.
func inspectHeld(ctx context.Context, place location.Location, src location.Source, root ocispec.Descriptor) (*inspection.Image, error) {
	if !location.HoldsPart(place) {
		return inspection.Inspect(ctx, src, root)
	}
	held, err := format.Holdings(ctx, src, root)
	if err != nil {
		return nil, err
	}
	return inspection.InspectHeld(ctx, src, root, held)
}

// maxRawSize is as large as a document may be.
const maxRawSize = 4 << 20

// printRaw writes the root as it is. It is not parsed, so that what cannot be
// parsed can be looked at.
func printRaw(ctx context.Context, dockerCLI dockercommand.Cli, src content.Provider, root ocispec.Descriptor) error {
	if root.Size > maxRawSize {
		return &format.Error{Op: "inspect", Desc: root, Err: fmt.Errorf("%w: it has %d bytes", format.ErrTooLarge, root.Size)}
	}
	body, err := content.ReadBlob(ctx, src, root)
	if err != nil {
		return err
	}
	if root.Digest.Algorithm().FromBytes(body) != root.Digest {
		return &format.Error{Op: "inspect", Desc: root, Err: fmt.Errorf("%w: it does not hash to its digest", format.ErrCorrupt)}
	}
	_, err = dockerCLI.Out().Write(body)
	return err
}

// printOnly writes the one image that is left of an index.
func printOnly(dockerCLI dockercommand.Cli, place location.Location, root *inspection.Document) error {
	for root.Kind == inspection.KindIndex {
		if len(root.Manifests) != 1 {
			return fmt.Errorf("%s: %d images match the platform: name the one by its digest", place, len(root.Manifests))
		}
		root = root.Manifests[0]
	}
	if root.Missing {
		return fmt.Errorf("%s: %s is not there: it was not pulled", place, root.Digest)
	}
	_, err := dockerCLI.Out().Write(root.Body())
	return err
}
