// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/buildx"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/emission"
)

// The attributes of outputs that say where an image goes.
const (
	attrName         = "name"
	attrPush         = "push"
	attrPushByDigest = "push-by-digest"
	attrContext      = "context"
	attrTar          = "tar"
	attrUnpack       = "unpack"
	attrInsecure     = "registry.insecure"
)

// tagged adds the emissions of -t: what --push, --load and each --output make of
// it. With none of these the image is loaded into the engine, as `docker
// build` does, unless --emit says it all.
func (p *parser) tagged(emits bool) error {
	if p.profile == nil {
		if len(p.names) > 0 || p.push || p.load {
			return fmt.Errorf("--%s says what its own image is for; say what that of -t, --push and --load is for, too: --%s PROFILE", FlagEmit, FlagFor)
		}
		p.r.rest = p.outputs
		return nil
	}
	pushed, loaded := false, false
	for _, o := range p.outputs {
		w, err := p.fromOutput(o)
		if err != nil {
			return err
		}
		if w == nil {
			p.r.rest = append(p.r.rest, o)
			continue
		}
		pushed = pushed || w.kind == toRegistry
		loaded = loaded || w.kind == toEngine
		p.r.Wanted = append(p.r.Wanted, w)
	}
	if p.push && !pushed {
		w := p.wanted(toRegistry, buildx.Output{Type: buildx.TypeImage})
		if len(w.Names) == 0 {
			return errNoName
		}
		p.r.Wanted = append(p.r.Wanted, w)
	}
	nothing := len(p.outputs) == 0 && !p.push && !p.load && (len(p.names) > 0 || !emits)
	if p.load && !loaded || nothing {
		p.r.Wanted = append(p.r.Wanted, p.wanted(toEngine, buildx.Output{Type: buildx.TypeDocker}))
	}
	if len(p.r.Wanted) == 0 && !emits && len(p.args.Values(FlagFor)) > 0 {
		return fmt.Errorf("--%s: no output of this build is an image", FlagFor)
	}
	return nil
}

func (p *parser) wanted(kind kind, o buildx.Output) *Wanted {
	return &Wanted{Profile: *p.profile, Names: p.names, kind: kind, options: p.shared, output: o}
}

// fromOutput is the emission that an --output asks for; nil if it is no image,
// or if it says itself what it is for.
func (p *parser) fromOutput(o buildx.Output) (*Wanted, error) {
	if IsOurs(o) {
		return nil, nil //nolint:nilnil // neither an emission of this program's nor an error
	}
	w := p.wanted(toStore, o)
	w.output.Dest = ""
	var err error
	switch o.Type {
	case buildx.TypeRegistry:
		w.output.Type, w.kind = buildx.TypeImage, toRegistry
	case buildx.TypeImage:
		if p.push || o.Is(attrPush) {
			w.kind = toRegistry
		}
	case buildx.TypeDocker, buildx.TypeOCI:
		w.context = o.Get(attrContext)
		w.kind = toFile
		switch {
		case o.IsDirectory():
			w.file = location.Layout{Path: o.Dest}
		case o.Type == buildx.TypeDocker && o.Dest == "":
			w.kind = toEngine
		case o.OnStdout():
			w.file = location.Archive{Path: "-"}
		default:
			w.file = location.Archive{Path: o.Dest}
		}
	default:
		return nil, nil //nolint:nilnil // neither an image nor an error
	}
	if name := o.Get(attrName); len(p.names) == 0 && name != "" {
		w.Names, err = parseNames(strings.Split(name, ","))
	}
	if err == nil && w.kind == toRegistry && len(w.Names) == 0 {
		err = errNoName
	}
	if w.kind == toRegistry && o.Is(attrPushByDigest) {
		w.Names = repositories(w.Names)
	}
	if w.kind == toFile && w.file.String() == location.SchemeLayout {
		err = errors.New("--output " + o.String() + ": dest is required")
	}
	return w, err
}

// repositories are names without their tags, each once: nothing is tagged that
// is pushed by its digest. What is built on several machines, to be merged
// later, is pushed so.
func repositories(names []reference.Named) []reference.Named {
	var all []reference.Named
	for _, name := range names {
		all = appendName(all, reference.TrimNamed(name))
	}
	return all
}

// IsOurs reports whether an output names our exporter itself, by its type or
// by its attribute.
func IsOurs(o buildx.Output) bool {
	return o.Type == emission.ExporterType || o.Get(emission.AttrManifestFormat) != ""
}

// parseEmit reads the value of --emit: PROFILE=REF[,attribute=value...].
func parseEmit(text string, shared format.Options) (*Wanted, error) {
	fields, err := buildx.ParseFields(text)
	if err != nil {
		return nil, err
	}
	if fields[0].Value == "" {
		return nil, errors.New("not PROFILE=REF, such as docker=registry.example.com/app:1.0")
	}
	w := &Wanted{options: shared, output: buildx.Output{Type: buildx.TypeImage}, fromEmit: true}
	if w.Profile, err = lookup(fields[0].Key); err != nil {
		return nil, err
	}
	if err := w.setPlace(fields[0].Value); err != nil {
		return nil, err
	}
	for _, field := range fields[1:] {
		if field.Key == attrInsecure {
			w.output = w.output.With(field.Key, field.Value)
			continue
		}
		if err := setAttribute(&w.options, field); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// setPlace reads the REF of --emit.
func (w *Wanted) setPlace(ref string) error {
	place, err := location.Parse(ref)
	if err != nil {
		return err
	}
	if err := location.CheckDestination(place); err != nil {
		return err
	}
	switch place := place.(type) {
	case location.Registry:
		w.Names = []reference.Named{place.Ref}
	case location.Layout, location.Archive:
		w.kind, w.file = toFile, place
	default:
		return fmt.Errorf("%s: a build is emitted to a registry, to %s or to %s: --load puts it into docker's engine, and convert takes it anywhere from there",
			place, location.SchemeLayout, location.SchemeArchive)
	}
	return nil
}

// emitAttributes are those that --emit takes.
var emitAttributes = []string{
	emission.AttrAnnotations, emission.AttrAttestations, emission.AttrOnLoss, emission.AttrPlatform, attrInsecure, emission.AttrSingle,
}

func setAttribute(o *format.Options, field buildx.Attribute) error {
	var err error
	switch field.Key {
	case emission.AttrAnnotations:
		err = choose(&o.Annotations, field.Value, format.AnnotationsDrop, format.AnnotationsLabels)
	case emission.AttrAttestations:
		err = setAttestations(o, field.Value)
	case emission.AttrOnLoss:
		err = setOnLoss(o, field.Value)
	case emission.AttrPlatform:
		for name := range strings.SplitSeq(field.Value, ",") {
			platform, failed := platforms.Parse(strings.TrimSpace(name))
			if failed != nil {
				return fmt.Errorf("not a platform, such as linux/arm64: %q", name)
			}
			o.Platforms = append(o.Platforms, platform)
		}
	case emission.AttrSingle:
		o.Single, err = strconv.ParseBool(field.Value)
		if err != nil {
			err = errors.New("it is true or false")
		}
	default:
		return fmt.Errorf("no attribute %q: there is %s", field.Key, list(emitAttributes))
	}
	if err != nil {
		return fmt.Errorf("%s=%s: %w", field.Key, field.Value, err)
	}
	return nil
}

func setAttestations(o *format.Options, value string) error {
	return choose(&o.Attestations, value, format.AttestationsKeep, format.AttestationsReferrers, format.AttestationsDrop)
}

func setOnLoss(o *format.Options, value string) error {
	return choose(&o.OnLoss, value, format.OnLossWarn, format.OnLossFail)
}

// choose sets target to a word if it is one of a few; empty leaves it.
func choose[T ~string](target *T, word string, of ...T) error {
	if word == "" {
		return nil
	}
	if !slices.Contains(of, T(word)) {
		return fmt.Errorf("there is %s", list(of))
	}
	*target = T(word)
	return nil
}

func list[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	return strings.Join(texts, ", ")
}
