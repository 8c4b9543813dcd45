// SPDX-License-Identifier: Apache-2.0

package exporter

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/moby/buildkit/client"
	bkexporter "github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/util/compression"
	"github.com/moby/buildkit/util/leaseutil"

	"github.com/manifest-format/manifest-format/format/emission"
)

// imageExporter makes emissions of builds. typ is the type it is asked for
// under: ours, or one of BuildKit's.
type imageExporter struct {
	typ      string
	store    workerStore
	sessions *session.Manager
}

// Resolve implements [bkexporter.Exporter]. BuildKit calls it before the build.
func (e *imageExporter) Resolve(ctx context.Context, id int, attrs map[string]string) (bkexporter.ExporterInstance, error) {
	all, err := split(e.typ, attrs)
	if err != nil {
		return nil, err
	}
	if isArchive(e.typ) && len(all) > 1 {
		return nil, fmt.Errorf("%s: an archive holds one emission: use an output for each", e.typ)
	}
	i := &instance{imageExporter: e, id: id, attrs: attrs}
	for _, one := range all {
		s, err := newSpec(ctx, e.typ, one)
		if err != nil {
			return nil, err
		}
		i.specs = append(i.specs, s)
	}
	i.compression = i.specs[0].commit.RefCfg.Compression
	return i, disjoint(e.typ, i.specs)
}

// instance is one output of one build.
type instance struct {
	*imageExporter
	id    int
	attrs map[string]string
	specs []*spec

	mu          sync.Mutex
	compression compression.Config
}

// ID implements [bkexporter.ExporterInstance].
func (i *instance) ID() int { return i.id }

// Name implements [bkexporter.ExporterInstance]: it is the title of the step.
func (i *instance) Name() string {
	var profiles []string
	for _, s := range i.specs {
		profiles = append(profiles, s.profile.Name)
	}
	what := "image"
	if isArchive(i.typ) {
		what = i.typ + " archive"
	}
	return fmt.Sprintf("exporting to %s for %s", what, strings.Join(profiles, ", "))
}

// Type implements [bkexporter.ExporterInstance].
func (i *instance) Type() string { return i.typ }

// Attrs implements [bkexporter.ExporterInstance].
func (i *instance) Attrs() map[string]string { return i.attrs }

// Config implements [bkexporter.ExporterInstance]. BuildKit asks for it when
// an emission asks for its inline cache, which names layers as they are
// compressed there: the answer is of the emission that is being committed.
func (i *instance) Config() *bkexporter.Config {
	i.mu.Lock()
	defer i.mu.Unlock()
	return bkexporter.NewConfigWithCompression(i.compression)
}

// committing says which compression the emission at hand has.
func (i *instance) committing(c compression.Config) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.compression = c
}

// Export implements [bkexporter.ExporterInstance]: all emissions are in the
// store, converted and named, before the finalizer pushes the first.
func (i *instance) Export(ctx context.Context, src *bkexporter.Source, info bkexporter.ExportBuildInfo) (
	response map[string]string, finalize bkexporter.FinalizeFunc, ref bkexporter.DescriptorReference, err error,
) {
	ctx, release, err := leaseutil.WithLease(ctx, i.store.leases, leaseutil.MakeTemporary)
	if err != nil {
		return nil, nil, nil, err
	}
	defer func() {
		// After success the reference holds the lease, until the root is in
		// the build's history.
		if ref == nil {
			err = errors.Join(err, release(context.WithoutCancel(ctx)))
		}
	}()
	var all []*emitted
	for _, s := range i.specs {
		e, err := i.emit(ctx, s, src, info)
		if err != nil {
			return nil, nil, nil, err
		}
		all = append(all, e)
	}
	if err := i.deliver(ctx, all, src, info); err != nil {
		return nil, nil, nil, err
	}
	if response, err = i.response(all); err != nil {
		return nil, nil, nil, err
	}
	ref = containerimage.NewDescriptorReference(all[0].result.Root, release)
	return response, i.finalizer(all, info.SessionID), ref, nil
}

// deliver brings the emissions to where they go, short of a registry.
func (i *instance) deliver(ctx context.Context, all []*emitted, src *bkexporter.Source, info bkexporter.ExportBuildInfo) error {
	if isArchive(i.typ) {
		return i.sendArchive(ctx, all[0], info.SessionID)
	}
	if i.store.images == nil {
		return nil
	}
	for _, e := range all {
		if err := i.nameInStore(ctx, e, src, info.SessionID); err != nil {
			return err
		}
	}
	return nil
}

// response is BuildKit's own keys, of the first emission, and one key for each.
func (i *instance) response(all []*emitted) (map[string]string, error) {
	response := map[string]string{}
	for n, e := range all {
		encoded, err := e.report().Encode()
		if err != nil {
			return nil, err
		}
		response[emission.ResponseKey(i.id, n)] = encoded
	}
	first := all[0]
	descriptor, err := json.Marshal(first.result.Root)
	if err != nil {
		return nil, fmt.Errorf("encode the root's descriptor: %w", err)
	}
	response[exptypes.ExporterImageDigestKey] = first.result.Root.Digest.String()
	response[exptypes.ExporterImageDescriptorKey] = base64.StdEncoding.EncodeToString(descriptor)
	if first.configDigest != "" {
		response[exptypes.ExporterImageConfigDigestKey] = first.configDigest.String()
	}
	if len(first.names) > 0 {
		response[exptypes.ExporterImageNameKey] = strings.Join(first.names, ",")
	}
	return response, nil
}

// withMetadata returns the source with the metadata that the attributes add.
func (s *spec) withMetadata(src *bkexporter.Source) *bkexporter.Source {
	out := src.Clone()
	if out.Metadata == nil {
		out.Metadata = map[string][]byte{}
	}
	maps.Copy(out.Metadata, s.meta)
	return out
}

// exporterType is what BuildKit is told to commit for.
func (i *instance) exporterType() string {
	if i.typ == emission.ExporterType {
		return client.ExporterImage
	}
	return i.typ
}
