// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/buildx"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/engine"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/format"
)

// source is a build as BuildKit has it, at a place that it can be converted
// from.
type source struct {
	location.Source
	place location.Location
	root  ocispec.Descriptor
}

// way is how a build gets to where it can be converted from.
type way string

const (
	// byDigest is pushed to a registry, under no tag.
	byDigest way = "push"
	// toLayout is written into a layout on this machine.
	toLayout way = "layout"
	// fromEngine is built into the engine, and saved from it: its own store
	// can do neither of the others.
	fromEngine way = "engine"
)

// wayFor is how an emission's build gets here.
func (x *run) wayFor(w *Wanted) way {
	switch {
	case x.node.Driver == buildx.DriverDocker && !x.node.ExportsOCI():
		return fromEngine
	case w.kind == toRegistry && x.node.Driver != buildx.DriverDocker:
		return byDigest
	}
	return toLayout
}

// The attributes of layers' compression.
const (
	attrCompression      = "compression"
	attrCompressionLevel = "compression-level"
	attrForceCompression = "force-compression"
)

// sourceFor returns the build that an emission is made of. Layers that its
// profile does not take are recompressed by BuildKit, which knows them, in a
// second build that takes all else from its cache.
func (x *run) sourceFor(ctx context.Context, w *Wanted) (*source, error) {
	o := w.imageAttributes()
	s, err := x.source(ctx, x.wayFor(w), o)
	if err != nil {
		return nil, err
	}
	accepted, err := w.Profile.AcceptsLayers(ctx, s, s.root)
	if err != nil || accepted || x.wayFor(w) == fromEngine {
		return s, err
	}
	compression := format.Gzip
	if len(w.Profile.Compressions) > 0 {
		compression = w.Profile.Compressions[0]
	}
	o = o.Without(attrCompressionLevel).With(attrCompression, string(compression)).With(attrForceCompression, "true")
	return x.source(ctx, x.wayFor(w), o)
}

// attrInline keeps a provenance that is not asked for, as BuildKit's pushes
// have it, in an image of one platform too.
const attrInline = "attestation-inline"

// imageAttributes are the attributes of the emission's output that are about
// the image, and not about where it goes.
func (w *Wanted) imageAttributes() buildx.Output {
	o := w.output.Without(attrName, attrPush, attrPushByDigest, attrContext, attrTar, attrUnpack, attrInsecure,
		"store", "name-canonical", "dangling-name-prefix", "danging-name-empty-only", "oci-mediatypes")
	if w.kind == toRegistry || w.fromEmit {
		o = o.With(attrInline, "true")
	}
	return o
}

// source builds with the attributes given, unless that was done already.
func (x *run) source(ctx context.Context, way way, o buildx.Output) (*source, error) {
	slices.SortFunc(o.Attrs, func(a, b buildx.Attribute) int { return strings.Compare(a.Key, b.Key) })
	o.Type, o.Dest = string(way), ""
	key := o.String()
	if s, ok := x.sources[key]; ok {
		return s, nil
	}
	var s *source
	var err error
	switch way {
	case byDigest:
		s, err = x.pushed(ctx, o)
	case toLayout:
		s, err = x.exported(ctx, o)
	case fromEngine:
		s, err = x.saved(ctx)
	}
	if err != nil {
		return nil, err
	}
	x.sources[key] = s
	return s, nil
}

// transitTag is what a builder of several nodes calls the image that it makes
// of theirs: buildx tags such an image whatever it is told.
const transitTag = "manifest-format-transit"

// pushed pushes a build by its digest to one of the repositories that it goes
// to: from there it is mounted, or copied, to the others.
func (x *run) pushed(ctx context.Context, o buildx.Output) (*source, error) {
	w := x.firstPushed()
	repository := reference.TrimNamed(w.Names[0])
	name := repository.Name()
	o.Type = buildx.TypeImage
	o = o.With("oci-mediatypes", "true").With(attrPush, "true").With(attrUnpack, "false").With("store", "false")
	if w.output.Is(attrInsecure) {
		o = o.With(attrInsecure, "true")
	}
	if len(x.node.Nodes) > 1 {
		name += ":" + transitTag
		x.Warn(fmt.Sprintf("the builder has several nodes: buildx leaves the tag %s behind, which you may delete", name))
	} else {
		o = o.With(attrPushByDigest, "true").With("name-canonical", "true")
	}
	m, err := x.build(ctx, nil, o.With(attrName, name))
	if err != nil {
		return nil, err
	}
	root, err := m.root()
	if err != nil {
		return nil, err
	}
	canonical, err := reference.WithDigest(repository, root)
	if err != nil {
		return nil, err
	}
	return x.open(ctx, location.Registry{Ref: canonical}, w.places(x))
}

// firstPushed is the emission whose repository the build is pushed to: one
// that gets OCI anyway, if there is such a one, and otherwise the first.
func (x *run) firstPushed() *Wanted {
	var first *Wanted
	for _, w := range x.r.Wanted {
		switch {
		case w.kind != toRegistry:
		case w.Profile.Target(format.OCI) == format.OCI:
			return w
		case first == nil:
			first = w
		}
	}
	return first
}

// places says how the emission's registry is reached.
func (w *Wanted) places(x *run) location.Options {
	return location.Options{Warn: x.Warn, PlainHTTP: w.output.Is(attrInsecure)}
}

// exported writes a build into a layout.
func (x *run) exported(ctx context.Context, o buildx.Output) (*source, error) {
	dir := filepath.Join(x.dir, "layout-"+strconv.Itoa(x.builds))
	o.Type, o.Dest = buildx.TypeOCI, dir
	m, err := x.build(ctx, nil, o.With(attrTar, "false").With("oci-mediatypes", "true"))
	if err != nil {
		return nil, err
	}
	root, err := m.root()
	if err != nil {
		return nil, err
	}
	return x.open(ctx, location.Layout{Path: dir, Name: root.String()}, location.Options{})
}

// saved builds into the engine, under the tags that the person gave, and
// saves the image from there.
func (x *run) saved(ctx context.Context) (*source, error) {
	id, err := x.loadByBuildx(ctx)
	if err != nil {
		return nil, err
	}
	from, err := engine.Open(x.Docker, x.node.Nodes[0].Endpoint)
	if err != nil {
		return nil, err
	}
	o := location.Options{Engine: func() (*engine.Engine, error) { return from, nil }}
	return x.open(ctx, location.Engine{Name: id.String()}, o)
}

// loadByBuildx builds into the engine's own store, as buildx does, and returns
// the image's ID.
func (x *run) loadByBuildx(ctx context.Context) (digest.Digest, error) {
	var flags []string
	for _, tag := range x.r.Args.Values("tag") {
		flags = append(flags, "--tag="+tag)
	}
	m, err := x.build(ctx, append(flags, "--load"))
	if err != nil {
		return "", err
	}
	if id := digest.Digest(m.text(keyConfigDigest)); id.Validate() == nil {
		return id, nil
	}
	return m.root()
}

func (x *run) open(ctx context.Context, place location.Location, o location.Options) (*source, error) {
	src, root, err := location.OpenImage(ctx, place, nil, o)
	if err != nil {
		return nil, fmt.Errorf("find what was built: %w", err)
	}
	return &source{Source: src, place: place, root: root}, nil
}
