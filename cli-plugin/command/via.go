// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"

	"github.com/containerd/errdefs"
	dockercommand "github.com/docker/cli/cli/command"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/conversion"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/printer"
)

// via is who does the work, if not this program.
type via string

const viaContainerd via = "containerd"

// validateVia says what others cannot be asked for.
func (o *convertOptions) validateVia() error {
	switch {
	case o.via != "" && o.dryRun:
		return errors.New("--via and --dry-run exclude each other: without --via the digest is the same, and nothing is written either")
	case o.via != "" && o.foreign == foreignFetch:
		return errors.New("--via and --foreign-layers=fetch exclude each other: containerd fetches none")
	}
	return nil
}

// transferVia is transfer for a containerd that does the work itself.
func transferVia(ctx context.Context, dockerCLI dockercommand.Cli, way route, o convertOptions) error {
	daemon, err := location.OpenDaemon(ctx, way.source, way.destination, o.places)
	if err != nil {
		return err
	}
	defer daemon.Close()
	if o.print.Quiet {
		o.progress = printer.ProgressQuiet
	}
	display, err := printer.NewDisplay(dockerCLI.Err(), o.progress)
	if err != nil {
		return err
	}
	o.engine.Progress = display.Update
	result, err := daemon.Convert(ctx, o.profile, o.engine)
	display.Close()
	if errdefs.IsNotFound(err) {
		// What of the image is there, in the words of the command line.
		job := conversion.Job{Source: daemon, Root: daemon.Root(), Options: o.engine}
		if _, part := job.Holdings(ctx); part != nil {
			err = part
		}
	}
	if err != nil {
		return o.refused(dockerCLI, way.source, daemon.Root(), err)
	}
	return printer.Conversion{Reference: way.destination.Pinned(result.Root.Digest), Result: result}.Print(dockerCLI, o.print)
}
