// SPDX-License-Identifier: Apache-2.0

package converter

import (
	"context"

	"github.com/containerd/log"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/containerd"
	"github.com/manifest-format/manifest-format/format/containerd/converter"
)

// owner is on the leases of this plugin's conversions.
const owner = "converter"

// service converts the images of the containerd that it is in.
type service struct {
	store *containerd.Store
	turns *semaphore.Weighted
}

func newService(s containerd.Services, config Config) *service {
	return &service{containerd.New(s), semaphore.NewWeighted(int64(config.MaxConcurrentConversions))}
}

// Register is how containerd puts a plugin of this type on its socket.
func (s *service) Register(server *grpc.Server) error {
	converter.Register(server, s.convert)
	return nil
}

// convert is a [converter.Func].
func (s *service) convert(ctx context.Context, r converter.Request) (*format.Result, error) {
	if err := s.turns.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.turns.Release(1)
	done, err := s.store.Convert(ctx, r.Source, r.Destination, r.Profile, containerd.ConvertOptions{
		Engine: r.Options,
		Draft:  containerd.DraftOptions{Owner: owner},
	})
	logger := log.G(ctx).WithFields(log.Fields{"source": r.Source, "destination": r.Destination, "profile": r.Profile.Name})
	if err != nil {
		logger.WithError(err).Info("image not converted")
		return nil, err
	}
	logger.WithFields(log.Fields{"digest": done.Root.Digest, "losses": len(done.Losses)}).Info("image converted")
	return done.Result, nil
}
