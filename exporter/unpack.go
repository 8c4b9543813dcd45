// SPDX-License-Identifier: Apache-2.0

package exporter

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/containerd/platforms"
	bkexporter "github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/snapshot"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/util/progress"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// unpackImage makes the snapshot that the image's container starts from, of
// the emission's image for the machine's own platform, if it has one.
func (i *instance) unpackImage(ctx context.Context, e *emitted, src *bkexporter.Source) error {
	remote, err := ownPlatform(e, src)
	if err != nil || remote == nil || len(remote.Descriptors) == 0 {
		return err
	}
	done := progress.OneOff(ctx, "unpacking to "+e.names[0])
	return done(i.unpackRemote(ctx, e, remote))
}

// ownPlatform finds what was committed for the machine's platform, nil if
// nothing was.
func ownPlatform(e *emitted, src *bkexporter.Source) (*solver.Remote, error) {
	built, err := exptypes.ParsePlatforms(src.Metadata)
	if err != nil {
		return nil, err
	}
	own := platforms.Only(platforms.Normalize(platforms.DefaultSpec()))
	matching := slices.DeleteFunc(slices.Clone(built.Platforms), func(p exptypes.Platform) bool { return !own.Match(p.Platform) })
	if len(matching) == 0 {
		return nil, nil //nolint:nilnil // an image for other machines has no snapshot here
	}
	slices.SortStableFunc(matching, func(a, b exptypes.Platform) int {
		switch {
		case own.Less(a.Platform, b.Platform):
			return -1
		case own.Less(b.Platform, a.Platform):
			return 1
		}
		return 0
	})
	remote, _ := e.remotes.FindRef(matching[0].ID)
	return remote, nil
}

// unpackRemote applies the layers, and has the config keep the snapshot.
func (i *instance) unpackRemote(ctx context.Context, e *emitted, remote *solver.Remote) (err error) {
	cs, snapshotter := i.store.writer.ContentStore(), i.store.writer.Snapshotter()
	manifest, err := images.Manifest(ctx, cs, format.Plain(e.result.Root), platforms.Default())
	if err != nil {
		return err
	}
	if len(manifest.Layers) != len(remote.Descriptors) {
		return fmt.Errorf("the manifest has %d layers, and the build %d", len(manifest.Layers), len(remote.Descriptors))
	}
	if err := fetchAll(ctx, remote.Provider); err != nil {
		return err
	}
	layers := make([]rootfs.Layer, len(manifest.Layers))
	chain := make([]digest.Digest, len(manifest.Layers))
	for n, desc := range remote.Descriptors {
		chain[n] = digest.Digest(desc.Annotations[labels.LabelUncompressed])
		layers[n] = rootfs.Layer{
			Diff: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: chain[n]},
			Blob: manifest.Layers[n],
		}
	}
	chainID := identity.ChainID(chain)
	// ApplyLayers may find the snapshot there already, and then leases nothing.
	if lease, ok := leases.FromContext(ctx); ok {
		resource := leases.Resource{ID: chainID.String(), Type: "snapshots/" + snapshotter.Name()}
		if err := i.store.leases.AddResource(ctx, leases.Lease{ID: lease}, resource); err != nil {
			return fmt.Errorf("lease the snapshot: %w", err)
		}
	}
	plainSnapshotter, release := snapshot.NewContainerdSnapshotter(snapshotter)
	defer func() { err = errors.Join(err, release()) }()
	// All at once: of layers applied one by one, a parent could be collected.
	applied, err := rootfs.ApplyLayers(ctx, layers, plainSnapshotter, i.store.writer.Applier())
	if err != nil {
		return err
	}
	if applied != chainID {
		return fmt.Errorf("the snapshot is %s, not %s", applied, chainID)
	}
	label := "containerd.io/gc.ref.snapshot." + snapshotter.Name()
	_, err = cs.Update(ctx, content.Info{
		Digest: manifest.Config.Digest,
		Labels: map[string]string{label: chainID.String()},
	}, "labels."+label)
	return err
}
