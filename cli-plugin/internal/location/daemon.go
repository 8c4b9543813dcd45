// SPDX-License-Identifier: Apache-2.0

package location

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/containerd/converter"
)

// Daemon is a containerd that converts an image of its own, under a name of
// its own. As a [Source] it is that image. The caller closes it.
type Daemon struct {
	containerdSource
	destination Containerd
	// name is what containerd calls the source.
	name   string
	root   ocispec.Descriptor
	client *client.Client
}

// OpenDaemon connects to the containerd that both places are in, and looks the
// source up.
func OpenDaemon(ctx context.Context, source, destination Location, o Options) (*Daemon, error) {
	from, ok := source.(Containerd)
	to, also := destination.(Containerd)
	switch {
	case !ok || !also:
		return nil, fmt.Errorf("--via containerd is for an image of a containerd that stays there: name both as %sNAME", SchemeContainerd)
	case from.namespace() != to.namespace():
		return nil, fmt.Errorf("--via containerd works in one namespace, and these are %s and %s: leave it out", from.namespace(), to.namespace())
	}
	_, connected, err := from.open(ctx, o)
	if err != nil {
		return nil, err
	}
	images := containerdSource{imagesOf(connected), connected, from}
	image, err := images.find(ctx)
	if err != nil {
		return nil, errors.Join(err, connected.Close())
	}
	return &Daemon{images, to, image.Name, image.Target, connected}, nil
}

// Root is the image as it was when the daemon was opened.
func (d *Daemon) Root() ocispec.Descriptor { return d.root }

// Convert has the daemon do the work. See [converter.Convert].
func (d *Daemon) Convert(ctx context.Context, p format.Profile, o format.Options) (*format.Result, error) {
	conn, ok := d.client.Conn().(grpc.ClientConnInterface)
	if !ok {
		return nil, fmt.Errorf("%s: containerd is spoken to without gRPC%.0w", d.at, errdefs.ErrInternal)
	}
	result, err := converter.Convert(namespaces.WithNamespace(ctx, d.at.namespace()), conn, converter.Request{
		Source: d.name, Destination: d.destination.Name, Profile: p, Options: o,
	})
	switch {
	case errors.Is(err, converter.ErrNoConverter):
		return nil, fmt.Errorf("%s: %w: leave out --via to have it converted from here", d.at, err)
	case errdefs.IsUnavailable(err):
		return nil, fmt.Errorf("%s: containerd ended in the middle: %w", d.at, err)
	}
	return result, err
}
