// SPDX-License-Identifier: Apache-2.0

// Package engine reads images from a Docker engine and loads them into it,
// through its API, as `docker save` and `docker load` do.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/flags"
	"github.com/moby/moby/client"
)

// Engine is a Docker engine. Make one with [Open].
type Engine struct {
	name string
	api  client.APIClient
}

// Open returns the engine of a docker context; with an empty name the one that
// docker would use. It contacts nothing.
func Open(cli command.Cli, dockerContext string) (*Engine, error) {
	if dockerContext == "" || dockerContext == cli.CurrentContext() {
		if _, err := cli.ContextStore().GetMetadata(cli.CurrentContext()); err != nil {
			return nil, fmt.Errorf("docker context %s: %w", cli.CurrentContext(), err)
		}
		return &Engine{cli.CurrentContext(), cli.Client()}, nil
	}
	other, err := command.NewDockerCli()
	if err != nil {
		return nil, err
	}
	if err := other.Initialize(&flags.ClientOptions{Context: dockerContext}); err != nil {
		return nil, err
	}
	// Client ends the process where there is no such context.
	if _, err := other.ContextStore().GetMetadata(dockerContext); err != nil {
		return nil, fmt.Errorf("docker context %s: %w", dockerContext, err)
	}
	return &Engine{dockerContext, other.Client()}, nil
}

// HoldsManifests reports whether the engine keeps images as they are, index
// and manifests and all: that is containerd's image store. Docker's own keeps
// configs and unpacked layers.
func (e *Engine) HoldsManifests(ctx context.Context) (bool, error) {
	result, err := e.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return false, e.failed("ask it what it is", err)
	}
	for _, status := range result.Info.DriverStatus {
		if status[0] == "driver-type" && status[1] == "io.containerd.snapshotter.v1" {
			return true, nil
		}
	}
	return false, nil
}

// Save writes an image, by name or ID, into the file at path, as `docker save`
// writes it.
func (e *Engine) Save(ctx context.Context, image, path string) (err error) {
	archive, err := e.api.ImageSave(ctx, []string{image})
	if err != nil {
		return e.failed("save "+image, err)
	}
	defer archive.Close()
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := io.Copy(file, archive); err != nil {
		return e.failed("save "+image, err)
	}
	return nil
}

func (e *Engine) failed(what string, err error) error {
	return fmt.Errorf("docker engine of the context %s: %s: %w", e.name, what, err)
}
