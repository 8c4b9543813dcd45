// SPDX-License-Identifier: Apache-2.0

package exporter

import (
	"context"
	"errors"
	"fmt"

	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/distribution/reference"
	bkexporter "github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/util/errutil"
	"github.com/moby/buildkit/util/progress"
	"github.com/moby/buildkit/util/push"

	"github.com/manifest-format/manifest-format/format"
)

// finalizer returns what pushes the emissions, in order, or nil if none is
// pushed. The later ones find the layers of the earlier ones in the registry.
func (i *instance) finalizer(all []*emitted, sessionID string) bkexporter.FinalizeFunc {
	var pushed []*emitted
	for _, e := range all {
		if e.push && len(e.names) > 0 {
			pushed = append(pushed, e)
		}
	}
	if len(pushed) == 0 {
		return nil
	}
	return func(ctx context.Context) error {
		for _, e := range pushed {
			if err := i.pushAll(ctx, e, sessionID); err != nil {
				return err
			}
		}
		return nil
	}
}

// pushAll pushes an emission to each of its names: what refers to its images
// first, so that whoever sees the tag finds it, then the image, whose tag is
// last.
func (i *instance) pushAll(ctx context.Context, e *emitted, sessionID string) error {
	referred := map[string]bool{} // repositories that have the referrers
	for _, name := range e.names {
		if err := i.push(ctx, e, name, sessionID, referred); err != nil {
			return fmt.Errorf("push %s: %w", name, withDetails(err))
		}
	}
	return nil
}

// withDetails adds what the registry answered.
func withDetails(err error) error {
	var status remoteserrors.ErrUnexpectedStatus
	if errors.As(err, &status) {
		return errutil.WithDetails(err)
	}
	return err
}

func (i *instance) push(ctx context.Context, e *emitted, name, sessionID string, referred map[string]bool) error {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return err
	}
	if len(e.result.Referrers) > 0 && !referred[named.Name()] {
		if err := i.pushReferrers(ctx, e, named, sessionID); err != nil {
			return err
		}
		referred[named.Name()] = true
	}
	cs := i.store.writer.ContentStore()
	return push.Push(ctx, i.sessions, sessionID, e.content, cs, e.result.Root.Digest, name, e.insecure, i.store.hosts, e.pushByDigest, e.origins)
}

// pushReferrers pushes artifacts by digest. BuildKit's pusher knows no
// referrers: a registry without the API for them needs an index under a tag.
func (i *instance) pushReferrers(ctx context.Context, e *emitted, named reference.Named, sessionID string) error {
	repository, err := i.openRepository(e, named, sessionID)
	if err != nil {
		return err
	}
	for _, referrer := range e.result.Referrers {
		done := progress.OneOff(ctx, "pushing referrer "+referrer.Digest.String())
		if err := done(format.Copy(ctx, repository, e.content, plain(referrer), format.CopyOptions{})); err != nil {
			return err
		}
	}
	return nil
}
