// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/docker/cli/cli"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/registry"
)

// explain says which image an error of the engine is about. A registry's own
// errors name it already.
func explain(image location.Location, err error) error {
	var engine *format.Error
	var answer *registry.Error
	if err == nil || errors.As(err, &answer) || !errors.As(err, &engine) {
		return err
	}
	return fmt.Errorf("%s: %w", image, err)
}

// interruptible turns the error of a command that was interrupted into one
// that says so, whatever it was that failed first. A command that was done by
// then stays done.
func interruptible(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return cli.StatusError{Cause: err, Status: "interrupted", StatusCode: exitInterrupted}
}
