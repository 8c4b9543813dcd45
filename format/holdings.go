// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// Holding says how much of one manifest of an image a place holds.
type Holding struct {
	// Path is where the image names the manifest first.
	Path string
	// Desc is the manifest's descriptor, Platform what the index or the config
	// says that it runs on: nil if neither can be read, or says.
	Desc     ocispec.Descriptor
	Platform *ocispec.Platform
	// About is set for one of BuildKit's attestation manifests: the image that
	// it speaks of.
	About digest.Digest
	// Missing are the manifest, or what it names, as far as it is not there.
	// Foreign layers never count: registries and engines need not have them.
	Missing []ocispec.Descriptor
}

// Whole reports whether all of it is there.
func (h Holding) Whole() bool { return len(h.Missing) == 0 }

// Holdings lists the manifests of the image at root, in document order and each
// once, and what src lacks of them. A container engine has the index of all
// platforms and the content of those that were pulled; the manifest being there
// says nothing about the layers. The error is of class ErrNotFound if the root
// itself is not there, and otherwise for what must not be read.
//
// It opens every blob and reads none: src should be near.
func Holdings(ctx context.Context, src content.Provider, root ocispec.Descriptor) ([]Holding, error) {
	g, err := load(ctx, src, root, loadOptions{holdings: true})
	if err != nil {
		return nil, withOp("look for", err)
	}
	l := holdings{conversion: newConversion(src, Profile{}, Options{}), about: map[*document]*descriptor{}}
	for _, d := range g.unique {
		for i, m := range d.manifests {
			if c := d.children[i]; c != nil && l.about[c] == nil {
				l.about[c] = m
			}
		}
	}
	var found []Holding
	for _, d := range inOrder(g.root) {
		if d.typ.Kind == KindIndex {
			continue
		}
		h, err := l.holding(ctx, d)
		if err != nil {
			return nil, withOp("look for", err)
		}
		found = append(found, h)
	}
	return found, nil
}

// PulledPart returns src without the attestation manifests of which holdings,
// those of src, miss something: [Options.Partial] makes losses of them. What
// else is missing stays missing.
func PulledPart(src content.Provider, holdings []Holding) content.Provider {
	part := pulledPart{src, map[digest.Digest]bool{}}
	for _, h := range holdings {
		if h.About != "" && !h.Whole() {
			part.hidden[h.Desc.Digest] = true
		}
	}
	if len(part.hidden) == 0 {
		return src
	}
	return part
}

type pulledPart struct {
	content.Provider
	hidden map[digest.Digest]bool
}

// ReaderAt implements [content.Provider].
func (p pulledPart) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if p.hidden[desc.Digest] {
		return nil, fmt.Errorf("%s is not all there%.0w", desc.Digest, errdefs.ErrNotFound)
	}
	return p.Provider.ReaderAt(ctx, desc)
}

// lacksDocument reports whether the manifest or its config is not there: what
// is read of an image.
func (h Holding) lacksDocument() bool {
	return slices.ContainsFunc(h.Missing, func(m ocispec.Descriptor) bool {
		t, _ := ParseMediaType(m.MediaType)
		return m.Digest == h.Desc.Digest || t.Kind == KindConfig
	})
}

// name is what a person calls it.
func (h Holding) name() string {
	switch {
	case h.About != "":
		return "the attestation " + h.Desc.Digest.String()
	case h.Platform != nil:
		return platforms.FormatAll(*h.Platform)
	}
	return h.Desc.Digest.String()
}

// lack says what is not there.
func (h Holding) lack() string {
	switch n := len(h.Missing); {
	case h.Missing[0].Digest == h.Desc.Digest:
		return h.name() + " lacks its manifest"
	case n == 1:
		return h.name() + " lacks 1 blob"
	default:
		return fmt.Sprintf("%s lacks %d blobs", h.name(), n)
	}
}

// DescribePart says which images for the platforms wanted, for any if none is
// named, are all there and which are not, in a line; nothing if all are. What
// is attested of them does not count: see [PulledPart].
func DescribePart(holdings []Holding, wanted []ocispec.Platform) string {
	whole, parts := split(holdings, wanted)
	if len(parts) == 0 {
		return ""
	}
	const most = 4
	var lacks, have []string
	for _, h := range parts[:min(len(parts), most)] {
		lacks = append(lacks, h.lack())
	}
	if more := len(parts) - most; more > 0 {
		lacks = append(lacks, fmt.Sprintf("%d more are not whole", more))
	}
	for _, h := range whole {
		have = append(have, h.name())
	}
	text := "nothing of the image is all there"
	if len(have) > 0 {
		text = "of the image, only " + strings.Join(have, ", ") + " is all there"
	}
	return text + ", as no more was pulled: " + strings.Join(lacks, ", ")
}

// RequireWhole returns an error of class ErrNotFound that says what
// [DescribePart] does, unless holdings, those of one image, have all that is
// wanted.
func RequireWhole(holdings []Holding, wanted []ocispec.Platform) error {
	_, parts := split(holdings, wanted)
	if len(parts) == 0 {
		return nil
	}
	err := fmt.Errorf("%s; choose a platform that is, or pull the others%.0w", DescribePart(holdings, wanted), errdefs.ErrNotFound)
	return &Error{Op: "look for", Path: parts[0].Path, Desc: parts[0].Desc, Err: err}
}

// split tells the images that are all there from those that are not. Of one
// whose platform is not known it is not known whether it was wanted.
func split(holdings []Holding, wanted []ocispec.Platform) (whole, parts []Holding) {
	for _, h := range holdings {
		switch {
		case h.About != "":
		case len(wanted) > 0 && (h.Platform == nil || !platforms.Any(wanted...).Match(*h.Platform)):
		case h.Whole():
			whole = append(whole, h)
		default:
			parts = append(parts, h)
		}
	}
	return whole, parts
}

// inOrder lists the documents below d, and d, each once.
func inOrder(d *document) []*document {
	seen := map[*document]bool{}
	var all []*document
	var visit func(d *document)
	visit = func(d *document) {
		if d == nil || seen[d] {
			return
		}
		seen[d] = true
		all = append(all, d)
		for _, c := range d.children {
			visit(c)
		}
	}
	visit(d)
	return all
}

// holdings looks for what an image names.
type holdings struct {
	*conversion
	// about is what an index says of a document first.
	about map[*document]*descriptor
}

func (l holdings) holding(ctx context.Context, d *document) (Holding, error) {
	h := Holding{Path: d.path, Desc: d.desc, Platform: d.desc.Platform}
	if m := l.about[d]; m != nil && m.isAttestation() {
		h.About, h.Platform = m.about(), nil
	}
	if d.missing {
		h.Missing = []ocispec.Descriptor{d.desc}
		return h, nil
	}
	var err error
	if h.Missing, err = l.missing(ctx, d); err != nil {
		return h, err
	}
	if p := h.Platform; h.About != "" || p != nil && p.OS != "" && p.Architecture != "" {
		return h, nil
	}
	if d.config == nil || slices.ContainsFunc(h.Missing, func(m ocispec.Descriptor) bool { return m.Digest == d.config.Digest }) {
		return h, nil
	}
	p, ok, err := l.platformOf(ctx, d)
	if h.Platform = nil; ok {
		h.Platform = &p
	}
	return h, err
}

// missing lists what a manifest names and src lacks.
func (l holdings) missing(ctx context.Context, d *document) ([]ocispec.Descriptor, error) {
	named := slices.Clone(d.layers)
	if d.config != nil {
		named = append([]*descriptor{d.config}, named...)
	}
	var mu sync.Mutex
	lacks := map[digest.Digest]bool{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(defaultReads)
	for _, n := range named {
		if n.typ.Foreign {
			continue
		}
		group.Go(func() error {
			ra, err := l.src.ReaderAt(ctx, Plain(n.Descriptor))
			if err == nil {
				return ra.Close()
			}
			if !errdefs.IsNotFound(err) {
				return at("look for", d.path+"/"+n.field, n.Descriptor, err)
			}
			mu.Lock()
			defer mu.Unlock()
			lacks[n.Digest] = true
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var missing []ocispec.Descriptor
	for _, n := range named {
		if lacks[n.Digest] {
			missing = append(missing, n.Descriptor)
			delete(lacks, n.Digest)
		}
	}
	return missing, nil
}
