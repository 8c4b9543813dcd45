// SPDX-License-Identifier: Apache-2.0

// Package engine speaks to a Docker engine, or to Podman as one, through its
// API: it saves images and loads them, as `docker save` and `docker load` do,
// and knows what the engine keeps of an image.
package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/flags"
	"github.com/moby/moby/client"
)

// Engine is a Docker engine. Make one with [Open].
type Engine struct {
	name string
	api  client.APIClient
}

// Open returns the engine of a docker context; with an empty name the one that
// docker would use. It contacts nothing but, as docker does, the engine itself
// to agree on a version of its API.
func Open(cli command.Cli, dockerContext string) (*Engine, error) {
	if dockerContext == "" {
		dockerContext = cli.CurrentContext()
	}
	if dockerContext != cli.CurrentContext() {
		other, err := command.NewDockerCli()
		if err != nil {
			return nil, err
		}
		if err := other.Initialize(&flags.ClientOptions{Context: dockerContext}); err != nil {
			return nil, err
		}
		cli = other
	}
	if err := reachable(cli); err != nil {
		return nil, fmt.Errorf("docker context %s: %w", dockerContext, err)
	}
	return &Engine{dockerContext, cli.Client()}, nil
}

// reachable says why there can be no client for the current context: where
// docker's own code finds that out it ends the process.
func reachable(cli command.Cli) error {
	meta, err := cli.ContextStore().GetMetadata(cli.CurrentContext())
	if err != nil {
		return err
	}
	endpoint, err := docker.EndpointFromContext(meta)
	if err != nil {
		return err
	}
	complete, err := docker.WithTLSData(cli.ContextStore(), cli.CurrentContext(), endpoint)
	if err != nil {
		return err
	}
	options, err := complete.ClientOpts()
	if err != nil {
		return err
	}
	_, err = client.New(options...)
	return err
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

// Save opens an image, by name or ID, as `docker save` writes it. The caller
// closes it.
func (e *Engine) Save(ctx context.Context, image string) (io.ReadCloser, error) {
	archive, err := e.api.ImageSave(ctx, []string{image})
	if err != nil {
		return nil, e.failed("save "+image, err)
	}
	return archive, nil
}

// Load loads a tar as `docker load` does, and returns when the engine has it.
func (e *Engine) Load(ctx context.Context, tar io.Reader) error {
	answer, err := e.api.ImageLoad(ctx, tar)
	if err != nil {
		return e.failed("load the image", err)
	}
	defer answer.Close()
	// Its errors come in the middle of the answer.
	for messages := json.NewDecoder(answer); ; {
		var message struct {
			Error string `json:"error"`
		}
		switch err := messages.Decode(&message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return e.failed("load the image", err)
		case message.Error != "":
			return e.failed("load the image", errors.New(message.Error))
		}
	}
}

func (e *Engine) failed(what string, err error) error {
	return fmt.Errorf("docker engine of the context %s: %s: %w", e.name, what, err)
}
