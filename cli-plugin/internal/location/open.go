// SPDX-License-Identifier: Apache-2.0

package location

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/engine"
	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/layout"
	"github.com/manifest-format/manifest-format/format/registry"
)

// Options change how places are reached. The zero value works, with docker's
// credentials.
type Options struct {
	// CAFile is a PEM file of a CA that registries may be certified by.
	CAFile string
	// PlainHTTP speaks to registries without TLS.
	PlainHTTP bool
	// ContainerdAddress is the path of containerd's socket. If empty, it is
	// CONTAINERD_ADDRESS, or where containerd has it by default.
	ContainerdAddress string
	// Warn, if not nil, is told what a person may want to know, from several
	// goroutines.
	Warn func(text string)
	// Engine opens the engine that locations in one are in. It is called for
	// those alone, and not before they are opened.
	Engine func() (*engine.Engine, error)
}

func (o Options) registry() registry.Options {
	return registry.Options{CAFile: o.CAFile, PlainHTTP: o.PlainHTTP, Warn: o.Warn}
}

// Source is a place that an image is read from.
type Source interface {
	content.Provider
	// Resolve finds the image that the location names.
	Resolve(ctx context.Context) (ocispec.Descriptor, error)
	// Names lists what the place calls the image, by full reference or tag.
	Names(ctx context.Context, image ocispec.Descriptor) ([]string, error)
	// Referrers lists what refers to subject.
	Referrers(ctx context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error)
	io.Closer
}

// Destination is a place that an image is written to. Nothing is made there,
// not even a directory, before the first write.
type Destination interface {
	content.Ingester
	// Put writes the root under the name that the location has, and makes the
	// referrers, which must be there, known as such. It is the last thing
	// written.
	Put(ctx context.Context, root ocispec.Descriptor, body []byte, referrers []ocispec.Descriptor) error
	// Close releases the place. Without a Put before, it leaves behind no name.
	io.Closer
}

// OpenSource opens the place at l. An archive of "-" is read from stdin.
func OpenSource(ctx context.Context, l Location, stdin Input, o Options) (Source, error) {
	switch l := l.(type) {
	case Registry:
		repository, err := registry.Open(l.Ref.Name(), o.registry())
		if err != nil {
			return nil, err
		}
		return registrySource{repository, l.Ref}, nil
	case Layout:
		dir, err := layout.Open(l.Path)
		if err != nil {
			return nil, err
		}
		return namedSource{dir, l.Name}, nil
	case Archive:
		return openArchive(ctx, l, stdin)
	case Containerd:
		return l.source(ctx, o)
	case Engine:
		return openEngine(ctx, l, o)
	}
	return nil, errors.ErrUnsupported
}

// HoldsPart reports whether there may be a part of an image at l: an engine
// has the index of all platforms and the content of those that were pulled.
func HoldsPart(l Location) bool {
	switch l.(type) {
	case Archive, Containerd, Engine:
		return true
	}
	return false
}

// Mountable is a [Source] that knows of repositories of a registry, as
// HOST/REPOSITORY, that have blobs of the image too.
type Mountable interface {
	Origins(ctx context.Context, root ocispec.Descriptor, host string) ([]string, error)
}

// OpenImage is OpenSource for the image that l names, which has to be there.
func OpenImage(ctx context.Context, l Location, stdin Input, o Options) (Source, ocispec.Descriptor, error) {
	src, err := OpenSource(ctx, l, stdin, o)
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	root, err := src.Resolve(ctx)
	if err != nil {
		src.Close()
		return nil, ocispec.Descriptor{}, err
	}
	return src, root, nil
}

// named is what layouts and archives have in common.
type named interface {
	content.Provider
	Resolve(ctx context.Context, name string) (ocispec.Descriptor, error)
	Refs(ctx context.Context) ([]layout.Ref, error)
	Referrers(ctx context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error)
	io.Closer
}

type namedSource struct {
	named
	name string
}

// Resolve implements [Source].
func (s namedSource) Resolve(ctx context.Context) (ocispec.Descriptor, error) {
	return s.named.Resolve(ctx, s.name)
}

// Names implements [Source].
func (s namedSource) Names(ctx context.Context, image ocispec.Descriptor) ([]string, error) {
	refs, err := s.Refs(ctx)
	if err != nil {
		return nil, err
	}
	return namesOf(refs, image.Digest), nil
}

type registrySource struct {
	*registry.Repository
	ref reference.Named
}

// Resolve implements [Source].
func (s registrySource) Resolve(ctx context.Context) (ocispec.Descriptor, error) {
	return s.Repository.Resolve(ctx, refOf(s.ref))
}

// Names implements [Source]. One asked for by digest has none.
func (s registrySource) Names(context.Context, ocispec.Descriptor) ([]string, error) {
	if _, ok := s.ref.(reference.Digested); ok {
		return nil, nil
	}
	return []string{s.ref.String()}, nil
}

// Close implements [Source]: a repository needs none.
func (registrySource) Close() error { return nil }

// refOf is the digest of a reference, else its tag.
func refOf(ref reference.Named) string {
	switch r := ref.(type) {
	case reference.Digested:
		return r.Digest().String()
	case reference.Tagged:
		return r.Tag()
	}
	return ""
}

// CheckDestination says why an image cannot be written to l.
func CheckDestination(l Location) error {
	byDigest := func(is bool) error {
		if is {
			return fmt.Errorf("%s: a destination has a tag, not a digest: that comes out of the conversion", l)
		}
		return nil
	}
	switch l := l.(type) {
	case Registry:
		_, is := l.Ref.(reference.Digested)
		return byDigest(is)
	case Layout:
		return byDigest(isDigest(l.Name))
	case Archive:
		return byDigest(isDigest(l.Name))
	case Containerd:
		return byDigest(isDigest(l.Name) || strings.Contains(l.Name, "@"))
	case Engine:
		_, tagged := l.Tagged()
		return byDigest(!tagged)
	}
	return nil
}

// HoldsReferrers reports whether what refers to an image can be kept at l
// beside it. The readers of archives look for images alone, and engines too.
func HoldsReferrers(l Location) bool {
	switch l.(type) {
	case Registry, Layout:
		return true
	}
	return false
}

// Origin is what a destination is opened for.
type Origin struct {
	// Location is where the image comes from.
	Location Location
	// Root is what is there.
	Root ocispec.Descriptor
	// Names are what it is called there.
	Names []string
	// Repositories, as HOST/REPOSITORY, are known to have blobs of it.
	Repositories []string
}

// OriginOf says where an image that goes to a destination comes from.
func OriginOf(ctx context.Context, at Location, src Source, root ocispec.Descriptor, to Location) (Origin, error) {
	origin := Origin{Location: at, Root: root}
	var err error
	if origin.Names, err = src.Names(ctx, root); err != nil {
		return origin, err
	}
	registry, ok := to.(Registry)
	if known, mountable := src.(Mountable); ok && mountable {
		origin.Repositories, err = known.Origins(ctx, root, reference.Domain(registry.Ref))
	}
	return origin, err
}

// OpenDestination opens the place at l for an image. In one registry blobs are
// mounted from the origin. A layout or an archive named without a tag calls the
// image what the origin calls it. An archive of "-" is written to stdout. What
// [Probe] says is an error here too.
func OpenDestination(ctx context.Context, l Location, from Origin, stdout Output, o Options) (Destination, error) {
	if err := Probe(l, from, o); err != nil {
		return nil, err
	}
	switch l := l.(type) {
	case Registry:
		options := o.registry()
		options.MountFrom = from.Repositories
		if source, ok := from.Location.(Registry); ok {
			options.MountFrom = []string{source.Ref.Name()}
		}
		repository, err := registry.Open(l.Ref.Name(), options)
		if err != nil {
			return nil, err
		}
		return registryDestination{repository, refOf(l.Ref)}, nil
	case Layout:
		return &layoutDestination{path: l.Path, names: namesFor(l.Name, from)}, nil
	case Archive:
		return createArchive(l, namesFor(l.Name, from), stdout)
	case Containerd:
		return &containerdDestination{at: l, from: from, options: o}, nil
	case Engine:
		e, err := o.Engine()
		if err != nil {
			return nil, err
		}
		ref, _ := l.Tagged()
		return IntoEngine(ctx, e, []string{ref.String()}), nil
	}
	return nil, errors.ErrUnsupported
}

// Probe says why an image cannot be written to l, as far as can be known
// without writing anything, and without asking a registry.
func Probe(l Location, from Origin, o Options) error {
	if err := CheckDestination(l); err != nil {
		return err
	}
	switch l := l.(type) {
	case Registry:
		_, err := registry.Open(l.Ref.Name(), o.registry())
		return err
	case Layout:
		if source, ok := from.Location.(Layout); ok && source.Path == l.Path && len(namesFor(l.Name, from)) == 0 {
			return fmt.Errorf("%s: the image has no name there that the new one could take: give it a tag, as in %s:1.0", l, l)
		}
		return layout.CheckDraft(l.Path)
	case Archive:
		if l.Path == standardStream {
			return nil
		}
		return layout.CheckArchive(l.Path)
	case Containerd:
		return nil
	case Engine:
		_, err := o.Engine()
		return err
	}
	return errors.ErrUnsupported
}

// namesFor is what a layout or an archive calls an image.
func namesFor(name string, from Origin) []string {
	if name != "" {
		return []string{name}
	}
	return from.Names
}

type registryDestination struct {
	*registry.Repository
	tag string
}

// The engine moves blobs in a registry's own way where it finds one.
var _ format.BlobCopier = registryDestination{}

// Put implements [Destination]. A registry knows referrers by their subject.
// Without a tag the root is put by its digest.
func (d registryDestination) Put(ctx context.Context, root ocispec.Descriptor, body []byte, _ []ocispec.Descriptor) error {
	if d.tag == "" {
		return d.PutRoot(ctx, root, body)
	}
	return d.PutRoot(ctx, root, body, d.tag)
}

// Close implements [Destination]: a repository needs none.
func (registryDestination) Close() error { return nil }
