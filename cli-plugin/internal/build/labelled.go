// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/buildx"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/engine"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/emission"
)

// labelled makes emissions with a builder that has our exporter: in one build,
// inside BuildKit. What --emit sends to a layout or an archive is converted
// here, from a layout that the builder exports.
func (x *run) labelled(ctx context.Context) ([]Emitted, error) {
	var inside, here []*Wanted
	for _, w := range x.r.Wanted {
		if w.fromEmit && w.kind == toFile {
			here = append(here, w)
		} else {
			inside = append(inside, w)
		}
	}
	all, err := x.inside(ctx, inside)
	if err != nil {
		return nil, err
	}
	converted, err := x.stock(ctx, here)
	return append(all, converted...), err
}

// inside makes emissions inside BuildKit.
func (x *run) inside(ctx context.Context, wanted []*Wanted) ([]Emitted, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	outputs, order := outputsFor(wanted)
	m, err := x.build(ctx, nil, outputs...)
	if err != nil {
		return nil, err
	}
	reported, err := m.emissions()
	if err != nil {
		return nil, err
	}
	if len(reported) != len(order) {
		return nil, fmt.Errorf("the builder made %d emissions, and %d were asked for: update its BuildKit, see manifest-format builder create", len(reported), len(order))
	}
	var all []Emitted
	for i, w := range order {
		e := Emitted{Emission: reported[i]}
		if len(outputs) == 1 && i == 0 {
			// BuildKit's own keys are the first emission's of the last output.
			e.config = digest.Digest(m.text(keyConfigDigest))
		}
		if w.kind == toEngine {
			x.identify(ctx, w, &e)
		}
		all = append(all, w.spread(e)...)
	}
	return all, nil
}

// identify finds out what the engine calls an image that buildx loaded. One
// that does not say keeps its manifests, as newer ones do.
func (x *run) identify(ctx context.Context, w *Wanted, e *Emitted) {
	to, err := engine.Open(x.Docker, w.context)
	if err != nil {
		return
	}
	if holds, err := to.HoldsManifests(ctx); err == nil && !holds {
		e.Notes = append(e.Notes, noManifests)
		return
	}
	e.config = ""
}

// emissions are what our exporter answered.
func (m metadata) emissions() ([]emission.Emission, error) {
	file, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return emission.FromMetadata(file)
}

// outputsFor is one output for all emissions that are pushed, and one for each
// of the others, with the emissions in the order in which they are answered.
func outputsFor(wanted []*Wanted) ([]buildx.Output, []*Wanted) {
	var outputs []buildx.Output
	var pushed, order []*Wanted
	for _, w := range wanted {
		if w.kind == toRegistry {
			pushed = append(pushed, w)
		}
	}
	if len(pushed) > 0 {
		o := buildx.Output{Type: emission.ExporterType}
		for i, w := range pushed {
			o.Attrs = append(o.Attrs, w.numbered(i)...)
		}
		outputs, order = append(outputs, o.With(attrPush, "true")), pushed
	}
	for _, w := range wanted {
		if w.kind != toRegistry {
			outputs, order = append(outputs, w.native()), append(order, w)
		}
	}
	return outputs, order
}

// numbered are the attributes of an emission among others of one output.
func (w *Wanted) numbered(n int) []buildx.Attribute {
	prefix := emission.AttrEmit + strconv.Itoa(n) + "."
	attrs := []buildx.Attribute{
		{Key: prefix + attrName, Value: strings.Join(w.names(), ",")},
		{Key: prefix + emission.AttrFor, Value: profileAttribute(w.Profile)},
	}
	for _, a := range w.attributes() {
		attrs = append(attrs, buildx.Attribute{Key: prefix + a.Key, Value: a.Value})
	}
	return attrs
}

// profileAttribute is how a profile travels to the builder: by its name, where
// the builder has the same under that name, and otherwise as a whole.
func profileAttribute(p format.Profile) string {
	if known, ok := format.LookupProfile(p.Name); ok && reflect.DeepEqual(known, p) {
		return p.Name
	}
	text, err := json.Marshal(p)
	if err != nil {
		return p.Name // it has nothing that JSON does not have
	}
	return string(text)
}

// native is an output of one of BuildKit's own types that emits for a profile:
// so buildx loads it, or writes it where it is to go.
func (w *Wanted) native() buildx.Output {
	o := w.output
	if given := w.Profile.Attestations; w.kind == toEngine && w.options.Attestations == "" && len(given) > 0 && given[0] == format.AttestationsReferrers {
		// BuildKit writes an archive, which holds referrers, and does not know
		// that an engine will read it, which drops them: it is to say so.
		lossy := *w
		lossy.options.Attestations = format.AttestationsDrop
		w = &lossy
	}
	o.Attrs = append(w.attributes(), buildx.Attribute{Key: emission.AttrManifestFormat, Value: profileAttribute(w.Profile)})
	switch file := w.file.(type) {
	case location.Layout:
		o.Dest = file.Path
	case location.Archive:
		o.Dest = file.Path
	}
	if len(w.Names) > 0 {
		o = o.With(attrName, strings.Join(w.names(), ","))
	}
	return o
}

// attributes are those of the output that the emission comes from, and ours.
func (w *Wanted) attributes() []buildx.Attribute {
	attrs := w.output.Without(attrName, attrPush).Attrs
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, buildx.Attribute{Key: key, Value: value})
		}
	}
	add(emission.AttrAttestations, string(w.options.Attestations))
	add(emission.AttrOnLoss, string(w.options.OnLoss))
	add(emission.AttrAnnotations, string(w.options.Annotations))
	var names []string
	for _, p := range w.options.Platforms {
		names = append(names, platforms.FormatAll(p))
	}
	add(emission.AttrPlatform, strings.Join(names, ","))
	if w.options.Single {
		add(emission.AttrSingle, "true")
	}
	return attrs
}
