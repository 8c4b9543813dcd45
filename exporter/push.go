// SPDX-License-Identifier: Apache-2.0

package exporter

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
		run := &pushing{instance: i, sessionID: sessionID}
		for _, e := range pushed {
			for _, name := range e.names {
				if err := run.push(ctx, e, name); err != nil {
					return fmt.Errorf("push %s: %w", name, withDetails(err))
				}
			}
		}
		return nil
	}
}

// pushing is one run of a finalizer.
type pushing struct {
	*instance
	sessionID string
	earlier   []pushedTo
}

// withDetails adds what the registry answered.
func withDetails(err error) error {
	var status remoteserrors.ErrUnexpectedStatus
	if errors.As(err, &status) {
		return errutil.WithDetails(err)
	}
	return err
}

// push pushes an emission to one name: what refers to its images first, so
// that whoever sees the tag finds it, then the image, whose tag is last.
func (p *pushing) push(ctx context.Context, e *emitted, name string) error {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return err
	}
	if err := p.pushReferrers(ctx, e, named); err != nil {
		return err
	}
	manager := mounting{Manager: p.store.writer.ContentStore(), target: named, earlier: p.earlier}
	if err := push.Push(ctx, p.sessions, p.sessionID, e.content, manager, e.result.Root.Digest, name,
		e.insecure, p.store.hosts, e.pushByDigest, e.origins); err != nil {
		return err
	}
	p.earlier = append(p.earlier, pushedTo{named, e.blobs})
	return nil
}

// pushReferrers pushes artifacts by digest, once to each repository. BuildKit's
// pusher knows no referrers: a registry without the API for them needs an index
// under a tag.
func (p *pushing) pushReferrers(ctx context.Context, e *emitted, named reference.Named) error {
	there := slices.ContainsFunc(p.earlier, func(before pushedTo) bool {
		return before.repository.Name() == named.Name() && before.content[e.result.Root.Digest]
	})
	if len(e.result.Referrers) == 0 || there {
		return nil
	}
	repository, err := p.openRepository(e, named, p.sessionID)
	if err != nil {
		return err
	}
	for _, referrer := range e.result.Referrers {
		done := progress.OneOff(ctx, "pushing referrer "+referrer.Digest.String())
		if err := done(format.Copy(ctx, repository, e.content, format.Plain(referrer), format.CopyOptions{})); err != nil {
			return err
		}
	}
	return nil
}
