// SPDX-License-Identifier: Apache-2.0

package exporter

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/cache"
	cacheconfig "github.com/moby/buildkit/cache/config"
	"github.com/moby/buildkit/client"
	bkexporter "github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/result"
	"github.com/moby/buildkit/util/contentutil"
	"github.com/moby/buildkit/util/progress"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/emission"
)

// emitted is one emission as it is in the worker's content store.
type emitted struct {
	*spec
	names   []string
	result  *format.Result
	remotes *result.Result[*solver.Remote]
	// content reads what the emission names, layers that are still in another
	// registry among it.
	content *contentutil.MultiProvider
	// origins are where such layers are known to be, for BuildKit's pusher.
	origins map[digest.Digest]map[string]string
	// blobs are everything that the emission names, size is that of all of
	// them, in bytes.
	blobs map[digest.Digest]bool
	size  int64
	// layers is how the layers were committed.
	layers cacheconfig.RefConfig
	// configDigest is of a root that is a single manifest.
	configDigest digest.Digest
}

// emit commits the build's result, and converts it to what the profile takes.
func (i *instance) emit(ctx context.Context, s *spec, src *bkexporter.Source, info bkexporter.ExportBuildInfo) (*emitted, error) {
	src = s.withMetadata(src)
	e := &emitted{spec: s}
	opts, err := s.commitOptions(src, info.CompatibilityVersion)
	if err != nil {
		return nil, err
	}
	root, err := i.commit(ctx, e, opts, src, info)
	if err != nil {
		return nil, err
	}
	if opts.ImageName = s.name; s.name == anyName {
		opts.ImageName = string(src.Metadata[exptypes.ExporterImageNameKey])
	}
	if err := i.convert(ctx, e, root); err != nil {
		return nil, err
	}
	e.names = s.namesFor(opts.ImageName, e.result.Root.Digest)
	return e, nil
}

// commitOptions are the spec's, with what the frontend adds. They are the
// emission's own: BuildKit's merge of annotations changes its receiver.
func (s *spec) commitOptions(src *bkexporter.Source, compatibility int) (*containerimage.ImageCommitOpts, error) {
	opts := s.commit
	annotations, _, err := containerimage.ParseAnnotations(src.Metadata)
	if err != nil {
		return nil, err
	}
	opts.Annotations = containerimage.AnnotationsGroup(nil).Merge(s.commit.Annotations).Merge(annotations)
	opts.SetOCIArtifactDefault(containerimage.DefaultOCIArtifact(compatibility, &opts))
	return &opts, opts.Validate()
}

// commit writes the image as OCI. A layer of a base image whose compression
// the profile does not take is found by looking at what was committed; BuildKit
// then commits anew with all layers in one that it takes.
func (i *instance) commit(ctx context.Context, e *emitted, opts *containerimage.ImageCommitOpts, src *bkexporter.Source, info bkexporter.ExportBuildInfo) (ocispec.Descriptor, error) {
	for {
		i.committing(opts.RefCfg.Compression)
		// Commit keeps what it finds out in its options: those of a second time
		// are another copy.
		once := *opts
		desc, remotes, err := i.store.writer.Commit(ctx, src, info.SessionID, info.InlineCache, &once, info.CompatibilityVersion, i.exporterType())
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		e.remotes, e.layers = remotes, opts.RefCfg
		if err := i.provide(ctx, e, src, info.SessionID); err != nil {
			return ocispec.Descriptor{}, err
		}
		accepted, err := e.profile.AcceptsLayers(ctx, e.content, *desc)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		if accepted || opts.RefCfg.Compression.Force {
			root := *desc
			// BuildKit passes the config's digest in the root's annotations.
			delete(root.Annotations, exptypes.ExporterConfigDigestKey)
			if len(root.Annotations) == 0 {
				root.Annotations = nil
			}
			return root, nil
		}
		opts.RefCfg.Compression = opts.RefCfg.Compression.SetForce(true)
	}
}

// provide makes the emission's layers readable, wherever they are.
func (i *instance) provide(ctx context.Context, e *emitted, src *bkexporter.Source, sessionID string) error {
	e.content = contentutil.NewMultiProvider(i.store.writer.ContentStore())
	e.origins = map[digest.Digest]map[string]string{}
	return eachRef(src, func(ref cache.ImmutableRef) error {
		remotes, err := ref.GetRemotes(ctx, false, e.layers, false, session.NewGroup(sessionID))
		if err != nil {
			return err
		}
		for _, desc := range remotes[0].Descriptors {
			e.content.Add(desc.Digest, remotes[0].Provider)
			if desc.Annotations != nil && e.origins[desc.Digest] == nil {
				e.origins[desc.Digest] = desc.Annotations
			}
		}
		return nil
	})
}

// eachRef calls f with each image of a build that is not empty. What a step
// left for an attestation is no image: it is read, never compressed to a layer.
func eachRef(src *bkexporter.Source, f func(cache.ImmutableRef) error) error {
	images := append(slices.Collect(maps.Values(src.Refs)), src.Ref)
	for _, ref := range images {
		if ref == nil {
			continue
		}
		if err := f(ref); err != nil {
			return err
		}
	}
	return nil
}

// convert turns the committed image into what the profile takes, in the
// worker's store, and labels what is new so that it is kept.
func (i *instance) convert(ctx context.Context, e *emitted, root ocispec.Descriptor) error {
	done := progress.OneOff(ctx, "converting for "+e.profile.Name)
	res, err := format.Convert(ctx, store{e.content, i.store.writer.ContentStore()}, root, e.profile, e.options)
	if done(err) != nil {
		return fmt.Errorf("emit for %s: %w", e.profile.Name, err)
	}
	if res.Root.Digest != root.Digest {
		// What is said of the image from outside stays: it is no part of it.
		res.Root.Annotations = root.Annotations
		if res.Root.Platform == nil {
			res.Root.Platform = root.Platform
		}
	}
	e.result = res
	if asked := e.asked; asked != nil && asked.Type != e.layers.Compression.Type {
		e.note(fmt.Sprintf("layers are %s: %s takes none that are %s", e.layers.Compression.Type, e.profile.Name, asked.Type))
	}
	if err := i.keep(ctx, e); err != nil {
		return err
	}
	return warn(ctx, e)
}

// note adds a note to the result.
func (e *emitted) note(text string) {
	e.result.Notes = append(e.result.Notes, format.Note{Rule: "layer-compression", Text: text})
}

// warn shows each loss as a warning of the build.
func warn(ctx context.Context, e *emitted) error {
	if len(e.result.Losses) == 0 {
		return nil
	}
	w, _, _ := progress.NewFromContext(ctx)
	for _, loss := range e.result.Losses {
		text := fmt.Sprintf("lost for %s: %s at %s: %s", e.profile.Name, loss.What, loss.Path, loss.Why)
		if err := w.Write(identity.NewID(), client.VertexWarning{Short: []byte(text)}); err != nil {
			return err
		}
	}
	return w.Close()
}

// namesFor lists the names that the emission gets.
func (s *spec) namesFor(name string, root digest.Digest) []string {
	var names []string
	if name != "" {
		names = strings.Split(name, ",")
	}
	if s.danglingPrefix != "" && (!s.danglingEmptyOnly || len(names) == 0) {
		names = append(names, s.danglingPrefix+"@"+root.String())
	}
	return names
}

// report is what the client is told of the emission.
func (e *emitted) report() emission.Emission {
	names := []string{}
	for _, name := range e.names {
		if named, err := reference.ParseNormalizedNamed(name); err == nil && !e.pushByDigest {
			name = reference.TagNameOnly(named).String()
		}
		names = append(names, name)
	}
	t, _ := format.ParseMediaType(e.result.Root.MediaType)
	return emission.Emission{
		Names: names, Profile: e.profile.Name, Format: t.Format, Root: e.result.Root, Size: e.size,
		Pushed: e.push && len(names) > 0, Referrers: e.result.Referrers, Losses: e.result.Losses, Notes: e.result.Notes,
	}
}

// store is the engine's view of a worker: it reads layers wherever they are,
// and writes to the worker's own content.
type store struct {
	content.Provider
	worker content.Store
}

// Writer implements [content.Ingester].
func (s store) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	return s.worker.Writer(ctx, opts...)
}

// Abort removes what an unfinished Writer left.
func (s store) Abort(ctx context.Context, ref string) error { return s.worker.Abort(ctx, ref) }
