// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/buildx"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/conversion"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/engine"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/emission"
)

// stock makes emissions with any BuildKit: it builds OCI, and this program
// converts. With several, all are converted in memory before the first is
// written, so that one that cannot be made keeps the others from having a tag.
func (x *run) stock(ctx context.Context, wanted []*Wanted) ([]Emitted, error) {
	var jobs []*delivery
	for _, w := range wanted {
		d, err := x.prepare(ctx, w)
		if err != nil {
			return nil, err
		}
		if d != nil {
			jobs = append(jobs, d)
		}
	}
	if len(jobs) > 1 {
		for _, d := range jobs {
			if d.kept == nil {
				if _, err := d.job.Dry(ctx); err != nil {
					return nil, d.failed(err)
				}
			}
		}
	}
	var all []Emitted
	for _, d := range jobs {
		emitted, err := x.deliver(ctx, d)
		if err != nil {
			return nil, err
		}
		all = append(all, emitted...)
	}
	return all, nil
}

// delivery is an emission that is built, and how it is to be converted.
type delivery struct {
	*Wanted
	job    conversion.Job
	source *source
	engine *engine.Engine
	// holds says that the engine holds manifests.
	holds bool
	// kept is the emission where there is nothing to convert.
	kept *Emitted
	// size and config are of the result, found out before it is written.
	size   int64
	config digest.Digest
}

// failed says which emission an error is about.
func (d *delivery) failed(err error) error {
	var lossy *format.LossError
	if errors.As(err, &lossy) {
		return &LossError{Destination: d.Destinations()[0], Source: d.source.root, LossError: lossy}
	}
	return fmt.Errorf("%s, for %s: %w", d.Destinations()[0], d.Profile.Name, err)
}

// prepare builds what an emission is made of. It returns nil for one that has
// no place to go to.
func (x *run) prepare(ctx context.Context, w *Wanted) (*delivery, error) {
	if w.kind == toStore {
		if x.node.Driver != buildx.DriverDocker {
			x.Warn("an output of type=image that is not pushed stays in the builder as it is: add --push or --load, or use a builder that has our exporter")
			x.r.rest = append(x.r.rest, w.output)
			_, err := x.build(ctx, nil)
			return nil, err
		}
		w.kind = toEngine
	}
	d := &delivery{Wanted: w}
	if w.kind == toEngine {
		if done, err := x.prepareEngine(ctx, d); done || err != nil {
			return d, err
		}
	}
	var err error
	if d.source, err = x.sourceFor(ctx, w); err != nil {
		return nil, err
	}
	_, archive := w.file.(location.Archive)
	d.job = conversion.Job{Source: d.source, Root: d.source.root, Profile: w.Profile, Options: w.options, Ordered: archive, Unpacked: location.KeepsUnpacked(d.source.Source)}
	d.job.Options.Progress = x.Progress
	d.job.Options.NoReferrers = w.kind == toEngine || w.file != nil && !location.HoldsReferrers(w.file)
	d.job.Check = func(ctx context.Context, image content.Provider, result *format.Result) error {
		return x.look(ctx, d, image, result)
	}
	return d, nil
}

// prepareEngine finds out what the engine is that an emission is loaded into.
// One that has its own store keeps no manifests: where the builder is in that
// engine there is nothing to convert, and done is true.
func (x *run) prepareEngine(ctx context.Context, d *delivery) (done bool, err error) {
	name := d.context
	if x.node.Driver == buildx.DriverDocker {
		name = x.node.Nodes[0].Endpoint
	}
	if x.wayFor(d.Wanted) == fromEngine {
		id, err := x.loadByBuildx(ctx)
		if err != nil {
			return true, err
		}
		d.kept = &Emitted{Emission: emission.Emission{
			Profile: d.Profile.Name, Root: ocispec.Descriptor{Digest: id}, Referrers: []ocispec.Descriptor{}, Losses: []format.Loss{},
			Notes: []format.Note{noManifests},
		}}
		return true, nil
	}
	if d.engine, err = engine.Open(x.Docker, name); err != nil {
		return false, err
	}
	if d.holds, err = d.engine.HoldsManifests(ctx); err == nil && !d.holds {
		// It takes one image, which has to be the root.
		d.options.Single = true
	}
	return false, err
}

// noManifests is said of engines with their own store.
var noManifests = format.Note{
	Rule: "engine-store",
	Text: "this engine's store keeps no manifests: an image gets its format when it is pushed; use manifest-format build --push, or containerd's image store",
}

// look finds out what the result is made of, and lets the caller refuse it.
func (x *run) look(ctx context.Context, d *delivery, image content.Provider, result *format.Result) error {
	var err error
	if d.size, err = conversion.Size(ctx, image, result); err != nil {
		return err
	}
	for node, err := range format.Walk(ctx, image, result.Root) {
		if err != nil {
			return err
		}
		if d.config = ""; node.Type.Kind == format.KindManifest {
			var manifest ocispec.Manifest
			if err := json.Unmarshal(node.Body, &manifest); err != nil {
				return err
			}
			d.config = manifest.Config.Digest
		}
		break
	}
	if x.Check == nil {
		return nil
	}
	for _, e := range d.entries(result) {
		if err := x.Check(e); err != nil {
			return err
		}
	}
	return nil
}

// deliver converts an emission and writes it to each of its places.
func (x *run) deliver(ctx context.Context, d *delivery) ([]Emitted, error) {
	if d.kept != nil {
		return d.spread(*d.kept), nil
	}
	var result *format.Result
	for _, destination := range d.openers(ctx, x) {
		dst, err := destination()
		if err != nil {
			return nil, err
		}
		if result, err = d.job.Into(ctx, dst); err != nil {
			return nil, d.failed(err)
		}
	}
	return d.entries(result), nil
}

// LossError is that an emission was not made since it would lose something.
type LossError struct {
	// Destination is where it would have gone.
	Destination string
	// Source is the image as BuildKit built it.
	Source ocispec.Descriptor
	*format.LossError
}

// Error implements error.
func (e *LossError) Error() string { return e.Destination + ": " + e.LossError.Error() }

// Unwrap returns the engine's error.
func (e *LossError) Unwrap() error { return e.LossError }

// openers open the destinations of an emission, one after the other.
func (d *delivery) openers(ctx context.Context, x *run) []func() (location.Destination, error) {
	names := d.names()
	switch d.kind {
	case toEngine, toStore:
		return []func() (location.Destination, error){func() (location.Destination, error) {
			return location.IntoEngine(ctx, d.engine, names), nil
		}}
	case toFile:
		return []func() (location.Destination, error){func() (location.Destination, error) {
			return location.OpenDestination(ctx, d.file, location.Origin{Names: names}, x.Docker.Out(), d.places(x))
		}}
	case toRegistry:
	}
	var all []func() (location.Destination, error)
	for _, name := range d.Names {
		all = append(all, func() (location.Destination, error) {
			return location.OpenDestination(ctx, location.Registry{Ref: name}, location.Origin{Location: d.source.place}, x.Docker.Out(), d.places(x))
		})
	}
	return all
}

// entries are the emission at each of its places.
func (d *delivery) entries(result *format.Result) []Emitted {
	t, _ := format.ParseMediaType(result.Root.MediaType)
	e := Emitted{config: d.config, Emission: emission.Emission{
		Profile: d.Profile.Name, Format: t.Format, Root: format.Plain(result.Root), Size: d.size, Pushed: d.kind == toRegistry,
		Referrers: result.Referrers, Losses: result.Losses, Notes: result.Notes,
	}}
	switch {
	case d.engine != nil && d.holds:
		e.config = "" // it goes by the root
	case d.engine != nil:
		e.Notes = append(slices.Clone(e.Notes), noManifests)
	}
	return d.spread(e)
}

// spread makes an entry of an emission for each of its destinations.
func (w *Wanted) spread(e Emitted) []Emitted {
	e.wanted = w
	e.Names = w.names()
	var all []Emitted
	for i, destination := range w.Destinations() {
		e.Destination = destination
		switch w.kind {
		case toRegistry:
			e.Reference = location.Registry{Ref: w.Names[i]}.Pinned(e.Root.Digest)
		case toFile:
			e.Reference = w.file.Pinned(e.Root.Digest)
		case toEngine, toStore:
			// What docker calls it, so that docker run $(docker build -q .) works.
			e.Reference = e.imageID()
		}
		all = append(all, e)
	}
	return all
}
