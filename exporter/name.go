// SPDX-License-Identifier: Apache-2.0

package exporter

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/epoch"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/cache"
	bkexporter "github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/util/progress"
	"golang.org/x/sync/errgroup"
)

// nameInStore gives an emission its names in the worker's image store, has all
// of its content there, and unpacks it if asked.
func (i *instance) nameInStore(ctx context.Context, e *emitted, src *bkexporter.Source, sessionID string) error {
	if !e.store || len(e.names) == 0 {
		return nil
	}
	for _, name := range e.names {
		all := []string{name}
		// A name that is made of the digest needs no second one with it.
		if e.nameCanonical && e.name != "" && !strings.ContainsRune(name, '@') {
			all = append(all, name+"@"+e.result.Root.Digest.String())
		}
		for _, one := range all {
			done := progress.OneOff(ctx, "naming to "+one)
			if err := done(i.putImage(ctx, e, one)); err != nil {
				return fmt.Errorf("name the image %s: %w", one, err)
			}
		}
	}
	if e.unpack {
		if err := i.unpackImage(ctx, e, src); err != nil {
			return fmt.Errorf("unpack %s: %w", e.names[0], err)
		}
	}
	return unlazy(ctx, e, src, sessionID)
}

// putImage creates or moves a name. Others may create and remove it meanwhile.
func (i *instance) putImage(ctx context.Context, e *emitted, name string) error {
	if at := e.commit.Epoch; at != nil && at.Value != nil {
		// containerd ignores a time in the image itself:
		// https://github.com/containerd/containerd/issues/8322
		ctx = epoch.WithSourceDateEpoch(ctx, at.Value)
	}
	image := images.Image{Name: name, Target: e.result.Root}
	for {
		_, err := i.store.images.Update(ctx, image)
		if err == nil || !errors.Is(err, errdefs.ErrNotFound) {
			return err
		}
		_, err = i.store.images.Create(ctx, image)
		if err == nil || !errors.Is(err, errdefs.ErrAlreadyExists) {
			return err
		}
	}
}

// unlazy fetches the layers that the build left where they were: an image in a
// store has all of its content there.
func unlazy(ctx context.Context, e *emitted, src *bkexporter.Source, sessionID string) error {
	group, ctx := errgroup.WithContext(ctx)
	err := eachRef(src, func(ref cache.ImmutableRef) error {
		group.Go(func() error {
			remotes, err := ref.GetRemotes(ctx, false, e.layers, false, session.NewGroup(sessionID))
			if err != nil {
				return err
			}
			return fetchAll(ctx, remotes[0].Provider)
		})
		return nil
	})
	return errors.Join(err, group.Wait())
}

// fetchAll brings what a provider has elsewhere into the worker's store.
func fetchAll(ctx context.Context, provider any) error {
	if lazy, ok := provider.(cache.Unlazier); ok {
		return lazy.Unlazy(ctx)
	}
	return nil
}
