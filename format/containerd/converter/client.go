// SPDX-License-Identifier: Apache-2.0

package converter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"

	"github.com/manifest-format/manifest-format/format"
	v1 "github.com/manifest-format/manifest-format/format/containerd/converter/v1"
)

// Request is what a containerd is asked for.
type Request struct {
	// Source and Destination are names of images, verbatim, and may be the same.
	Source, Destination string
	Profile             format.Profile
	// Options are those of the engine. Partial, NoReferrers and Concurrency are
	// the daemon's to choose, and are not sent.
	Options format.Options
}

// ErrNoConverter is a containerd without the plugin.
var ErrNoConverter = fmt.Errorf("this containerd is built without manifest-format's converter%.0w", errdefs.ErrNotImplemented)

// Convert has the containerd at conn convert an image in the namespace of ctx.
// No content passes through the caller. When ctx is done, so is the daemon's
// work, and nothing of it stays, unless the image had got its name by then.
//
// Errors are as if the conversion had been done here: *[format.Error] over the
// same sentinels and classes. [ErrNoConverter] is of a daemon that has no such
// service.
func Convert(ctx context.Context, conn grpc.ClientConnInterface, r Request) (*format.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := r.proto()
	if err != nil {
		return nil, err
	}
	stream, err := v1.NewConverterClient(conn).Convert(ctx, request, grpc.MaxCallRecvMsgSize(defaults.DefaultMaxRecvMsgSize))
	if err != nil {
		return nil, failed(err, nil)
	}
	result := &format.Result{Referrers: noReferrers, Changes: []format.Change{}, Losses: []format.Loss{}, Notes: []format.Note{}}
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("containerd ended the conversion without a result%.0w", errdefs.ErrUnknown)
		}
		if err != nil {
			return nil, failed(err, result.Losses)
		}
		switch e := event.GetEvent().(type) {
		case *v1.ConvertEvent_Progress:
			if r.Options.Progress != nil {
				r.Options.Progress(progressOf(e.Progress))
			}
		case *v1.ConvertEvent_Change:
			result.Changes = append(result.Changes, changeOf(e.Change))
		case *v1.ConvertEvent_Loss:
			result.Losses = append(result.Losses, lossOf(e.Loss))
		case *v1.ConvertEvent_Note:
			result.Notes = append(result.Notes, noteOf(e.Note))
		case *v1.ConvertEvent_Result:
			result.Source, result.Root = descriptorOf(e.Result.GetSource()), descriptorOf(e.Result.GetRoot())
			return result, nil
		}
	}
}

// noReferrers is what a containerd keeps of them.
var noReferrers = []ocispec.Descriptor{}

// proto is the request as it is sent. The profile goes as a whole, evidence and
// all, as it decides what is refused: the daemon may know another one under its
// name.
func (r Request) proto() (*v1.ConvertRequest, error) {
	profile, err := json.Marshal(r.Profile)
	if err != nil {
		return nil, err
	}
	o := r.Options
	request := &v1.ConvertRequest{
		Source: r.Source, Destination: r.Destination, Profile: string(profile),
		OnLoss: string(o.OnLoss), Attestations: string(o.Attestations), Annotations: string(o.Annotations),
		Compression: string(o.Compression), Single: o.Single, Index: o.Index, Verify: o.Verify,
	}
	for _, p := range o.Platforms {
		request.Platforms = append(request.Platforms, platformProto(&p))
	}
	return request, nil
}
