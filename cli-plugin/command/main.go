// SPDX-License-Identifier: Apache-2.0

// Package command is the command line of manifest-format: one file for each
// command, and [Main], which runs it as a Docker CLI plugin or alone.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli-plugins/metadata"
	"github.com/docker/cli/cli-plugins/plugin"
	dockercommand "github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/buildx"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/printer"
)

// The names of the program: alone, and as a plugin. Docker refuses a plugin
// with a hyphen in its name.
const (
	standaloneName = "manifest-format"
	pluginName     = "manifestformat"
)

// Exit codes.
const (
	exitDone          = 0
	exitFailed        = 1
	exitNonConforming = 2   // a target does not take the image
	exitUsage         = 125 // docker's own, for bad flags
	exitInterrupted   = 130 // 128 + SIGINT
)

// Main runs the program with args, the first being its own name, and returns
// its exit code. It prints the error, if there is one.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal the next one has its usual effect: it kills.
	context.AfterFunc(ctx, stop)

	dockerCLI, err := dockercommand.NewDockerCli(dockercommand.WithBaseContext(ctx))
	if err != nil {
		printError(os.Stderr, err)
		return exitFailed
	}
	if runsAlone(args[0]) {
		root := newStandaloneCommand(ctx, dockerCLI)
		root.SetArgs(args[1:])
		err = root.Execute()
	} else {
		err = plugin.RunPlugin(dockerCLI, newPluginCommand(ctx, dockerCLI), pluginMetadata())
	}
	if err == nil {
		return exitDone
	}
	if failed, ok := errors.AsType[*buildx.ExitError](err); ok {
		return failed.Code // buildx has said what is wrong
	}
	printError(dockerCLI.Err(), err)
	return exitCode(err)
}

// printError prints an error in one line: its text may be a registry's or an
// image's. One about the command line shows the usage below it.
func printError(out io.Writer, err error) {
	text, usage, found := strings.Cut(err.Error(), "\n\nUsage:")
	if found = found && exitCode(err) == exitUsage; !found {
		text = err.Error()
	}
	fmt.Fprintf(out, "%s: %s\n", standaloneName, printer.Line(text))
	if found {
		fmt.Fprintf(out, "\nUsage:%s\n", usage)
	}
}

// runsAlone reports whether the program was started by a person or a script
// rather than by docker. The name decides first: docker's environment reaches
// a manifest-format that another plugin starts.
func runsAlone(program string) bool {
	name := strings.TrimSuffix(filepath.Base(program), ".exe")
	return name == standaloneName || plugin.RunningStandalone()
}

// pluginMetadata is what docker asks a plugin for. Docker before 29 takes no
// SchemaVersion but this one.
func pluginMetadata() metadata.Metadata {
	return metadata.Metadata{
		SchemaVersion:    "0.1.0",
		Vendor:           "manifest-format",
		Version:          version(),
		ShortDescription: "Build and convert images in OCI and Docker formats",
		URL:              "https://github.com/manifest-format/manifest-format",
	}
}

// exitCode is the status that the process ends with.
func exitCode(err error) int {
	if status, ok := errors.AsType[cli.StatusError](err); ok && status.StatusCode != 0 {
		return status.StatusCode
	}
	return exitFailed
}

// usageError is a command line that makes no sense, with docker's exit code
// for it.
func usageError(cmd *cobra.Command, err error) error {
	return cli.FlagErrorFunc(cmd, err)
}
