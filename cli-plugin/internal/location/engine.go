// SPDX-License-Identifier: Apache-2.0

package location

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/engine"
	"github.com/manifest-format/manifest-format/format/layout"
)

// Engine is an image in a Docker engine, or in Podman as one.
type Engine struct {
	// Name is what docker reads: a name with a tag, a digest or neither, or an
	// ID. Which one "c0ffee" is, the engine decides.
	Name string
}

func (Engine) sealed() {}

// String implements [Location].
func (e Engine) String() string { return SchemeEngine + e.Name }

// Pinned implements [Location]. An engine with a store of its own knows no
// roots: see [Reference].
func (e Engine) Pinned(d digest.Digest) string {
	if ref, err := reference.ParseAnyReference(e.Name); err == nil {
		if named, ok := ref.(reference.Named); ok {
			return SchemeEngine + reference.FamiliarName(named) + "@" + d.String()
		}
	}
	return SchemeEngine + d.String()
}

// Tagged is the whole name with its tag; not ok if it is an ID or has a digest.
func (e Engine) Tagged() (ref reference.NamedTagged, ok bool) {
	name, err := reference.ParseAnyReference(e.Name)
	if err != nil {
		return nil, false
	}
	named, ok := name.(reference.Named)
	if !ok {
		return nil, false
	}
	if _, digested := named.(reference.Digested); digested {
		return nil, false
	}
	ref, ok = reference.TagNameOnly(named).(reference.NamedTagged)
	return ref, ok
}

// parseEngine reads a name the way docker does, and does not add a tag: the
// name may be the start of an ID.
func parseEngine(s string) (Location, error) {
	name := strings.TrimPrefix(s, SchemeEngine)
	if name == "" {
		return nil, fmt.Errorf("%s: no image name after the scheme", s)
	}
	ref, err := reference.ParseAnyReference(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s, err)
	}
	if canonical, ok := ref.(reference.Canonical); ok {
		if err := canonical.Digest().Validate(); err != nil {
			return nil, fmt.Errorf("%s: %w", s, err)
		}
		// As in a registry's name: a tag beside a digest may have moved on.
		if ref, err = reference.WithDigest(reference.TrimNamed(canonical), canonical.Digest()); err != nil {
			return nil, fmt.Errorf("%s: %w", s, err)
		}
	}
	return Engine{Name: reference.FamiliarString(ref)}, nil
}

// engineSource is what an engine saved of an image.
type engineSource struct {
	*layout.Archive
	found engine.Image
	names []string
	// unpacked says that the engine keeps no manifests.
	unpacked bool
}

// openEngine has the engine save the image, all that it has of it. Told to save
// one platform an engine leaves out the index, and with it what is attested of
// that platform and what makes the digest.
func openEngine(ctx context.Context, l Engine, o Options) (Source, error) {
	e, err := o.Engine()
	if err != nil {
		return nil, err
	}
	found, err := e.Find(ctx, l.Name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l, err)
	}
	// By its name without a tag an engine saves all images of that name.
	name, names := found.ID.String(), found.Tags
	if ref, ok := l.Tagged(); ok && slices.Contains(found.Tags, ref.String()) {
		name, names = ref.String(), []string{ref.String()}
	}
	saved, err := e.Save(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l, err)
	}
	defer saved.Close()
	archive, err := layout.ReadArchive(ctx, saved)
	if err != nil {
		return nil, fmt.Errorf("%s: what the engine saved: %w", l, err)
	}
	src := engineSource{Archive: archive, found: found, names: names}
	_, err = archive.Resolve(ctx, found.ID.String())
	// A config is no document that can be asked for.
	src.unpacked = errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err)
	if err != nil && !src.unpacked {
		return nil, errors.Join(fmt.Errorf("%s: %w", l, err), archive.Close())
	}
	return src, nil
}

// Resolve implements [Source].
func (s engineSource) Resolve(ctx context.Context) (ocispec.Descriptor, error) {
	if s.unpacked {
		return s.Archive.Resolve(ctx, "")
	}
	return s.Archive.Resolve(ctx, s.found.ID.String())
}

// Names implements [Source].
func (s engineSource) Names(context.Context, ocispec.Descriptor) ([]string, error) {
	return s.names, nil
}

// KeepsUnpacked reports whether the place that src is of keeps layers unpacked,
// so that how they are compressed is nothing of the image's: they are not, until
// someone writes it elsewhere.
func KeepsUnpacked(src Source) bool {
	s, ok := src.(engineSource)
	return ok && s.unpacked
}
