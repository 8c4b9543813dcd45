// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Ref is one entry of a layout's index.json.
type Ref struct {
	// Name is the full reference ("docker.io/library/alpine:3") if the entry
	// has one, else the tag ("3"), else empty.
	Name string
	// Desc is the entry without the annotations that name it.
	Desc ocispec.Descriptor
}

// tagPattern is distribution's grammar of a tag.
var tagPattern = regexp.MustCompile(`^\w[\w.-]{0,127}$`)

// name is what one entry is called.
type name struct {
	full string // io.containerd.image.name
	tag  string // org.opencontainers.image.ref.name: most often a tag
}

func nameOf(desc ocispec.Descriptor) name {
	return name{full: desc.Annotations[images.AnnotationImageName], tag: desc.Annotations[ocispec.AnnotationRefName]}
}

// parseName takes apart what a person or a program calls an image: a tag, or a
// reference in Docker's grammar.
func parseName(ref string) (name, error) {
	if tagPattern.MatchString(ref) {
		return name{tag: ref}, nil
	}
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return name{}, fmt.Errorf("%q is neither a tag nor a reference: %w%.0w", ref, err, errdefs.ErrInvalidArgument)
	}
	// One without a tag has a digest: then containerd's exporter gives the
	// whole reference in place of a tag.
	if tagged, ok := named.(reference.Tagged); ok {
		return name{full: named.String(), tag: tagged.Tag()}, nil
	}
	return name{full: named.String(), tag: named.String()}, nil
}

func (n name) String() string {
	if n.full != "" {
		return n.full
	}
	return n.tag
}

// on returns desc called n in place of what it was called.
func (n name) on(desc ocispec.Descriptor) ocispec.Descriptor {
	annotations := maps.Clone(desc.Annotations)
	delete(annotations, images.AnnotationImageName)
	delete(annotations, ocispec.AnnotationRefName)
	if annotations == nil {
		annotations = map[string]string{}
	}
	if n.full != "" {
		annotations[images.AnnotationImageName] = n.full
	}
	if n.tag != "" {
		annotations[ocispec.AnnotationRefName] = n.tag
	}
	if len(annotations) == 0 {
		annotations = nil
	}
	desc.Annotations = annotations
	return desc
}

// answers says how well an entry called n answers to ref: 0 is by its name,
// 1 is by a tag that it shares with the images of other repositories, -1 not.
func (n name) answers(ref string) int {
	own := n.String()
	asked, err := parseName(ref)
	has, hasErr := parseName(own)
	switch {
	case own == "":
		return -1
	case own == ref, err == nil && hasErr == nil && asked.full != "" && asked.full == has.full:
		return 0
	case n.tag == ref, hasErr == nil && has.tag == ref:
		return 1
	}
	return -1
}

// view is a set of named images, and what they consist of.
type view struct {
	where   string // names the place in errors: "layout /tmp/x"
	entries []ocispec.Descriptor
	blobs   content.Provider
}

// refs lists the entries in order.
func (v view) refs() []Ref {
	refs := make([]Ref, 0, len(v.entries))
	for _, desc := range v.entries {
		refs = append(refs, Ref{Name: nameOf(desc).String(), Desc: name{}.on(desc)})
	}
	return refs
}

// resolve is documented at Dir.Resolve.
func (v view) resolve(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	if ref == "" {
		return v.only(ctx)
	}
	if dgst, err := digest.Parse(ref); err == nil {
		return v.byDigest(ctx, dgst)
	}
	for rank := range 2 {
		found := distinct(v.entries, func(desc ocispec.Descriptor) bool { return nameOf(desc).answers(ref) == rank })
		if len(found) > 1 {
			return ocispec.Descriptor{}, fmt.Errorf("%s has %d images called %q: %s: ask for one by its full name or its digest%.0w",
				v.where, len(found), ref, list(found), errdefs.ErrInvalidArgument)
		}
		if len(found) == 1 {
			return name{}.on(found[0]), nil
		}
	}
	return ocispec.Descriptor{}, fmt.Errorf("%s has no image called %q, it has %s%.0w",
		v.where, ref, list(v.entries), errdefs.ErrNotFound)
}

// only returns the image, if there is one and no other. What refers to an
// image beside it (a signature, an SBOM) is no other image.
func (v view) only(ctx context.Context) (ocispec.Descriptor, error) {
	found := distinct(v.entries, func(ocispec.Descriptor) bool { return true })
	if len(found) > 1 {
		var images []ocispec.Descriptor
		for _, desc := range found {
			doc, err := v.document(ctx, desc)
			if err != nil && !errdefs.IsNotFound(err) {
				return ocispec.Descriptor{}, err
			}
			if doc.Subject == nil {
				images = append(images, desc)
			}
		}
		found = images
	}
	switch len(found) {
	case 0:
		return ocispec.Descriptor{}, fmt.Errorf("%s has no image%.0w", v.where, errdefs.ErrNotFound)
	case 1:
		return name{}.on(found[0]), nil
	}
	return ocispec.Descriptor{}, fmt.Errorf("%s has %d images, ask for one of %s%.0w",
		v.where, len(found), list(found), errdefs.ErrInvalidArgument)
}

// byDigest finds a root, or any other document that is there.
func (v view) byDigest(ctx context.Context, dgst digest.Digest) (ocispec.Descriptor, error) {
	for _, desc := range v.entries {
		if desc.Digest == dgst {
			return name{}.on(desc), nil
		}
	}
	desc := ocispec.Descriptor{Digest: dgst}
	body, err := readDocument(ctx, v.blobs, desc)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if !isObject(body) {
		return ocispec.Descriptor{}, fmt.Errorf("blob %s in %s: %w", dgst, v.where, errNoDocument)
	}
	doc, err := parse(body, "blob "+dgst.String())
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc.Size = int64(len(body))
	if desc.MediaType, err = doc.mediaType(); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("blob %s in %s: %w", dgst, v.where, err)
	}
	return desc, nil
}

// referrers is documented at Dir.Referrers.
func (v view) referrers(ctx context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var referrers []ocispec.Descriptor
	for _, desc := range distinct(v.entries, func(ocispec.Descriptor) bool { return true }) {
		doc, err := v.document(ctx, desc)
		if err != nil && !errdefs.IsNotFound(err) { // a layout may lack blobs
			return nil, err
		}
		if doc.Subject == nil || doc.Subject.Digest != subject.Digest {
			continue
		}
		referrers = append(referrers, ocispec.Descriptor{
			MediaType:    desc.MediaType,
			Digest:       desc.Digest,
			Size:         desc.Size,
			ArtifactType: doc.artifactType(),
			Annotations:  doc.Annotations,
		})
	}
	return referrers, nil
}

// document reads the manifest or index that an entry names. An entry of
// another type is none, and no error (image-spec, image-layout.md: "an
// encountered mediaType that is unknown MUST NOT generate an error").
func (v view) document(ctx context.Context, desc ocispec.Descriptor) (document, error) {
	if !images.IsManifestType(desc.MediaType) && !images.IsIndexType(desc.MediaType) {
		return document{}, nil
	}
	body, err := readDocument(ctx, v.blobs, desc)
	if err != nil {
		return document{}, err
	}
	return parse(body, "blob "+desc.Digest.String())
}

// distinct returns the entries that are wanted, one for each digest.
func distinct(entries []ocispec.Descriptor, wanted func(ocispec.Descriptor) bool) []ocispec.Descriptor {
	var found []ocispec.Descriptor
	seen := map[digest.Digest]bool{}
	for _, desc := range entries {
		if wanted(desc) && !seen[desc.Digest] {
			seen[desc.Digest] = true
			found = append(found, desc)
		}
	}
	return found
}

// listed is how many names an error lists.
const listed = 10

// list names entries for a person, those without a name by digest.
func list(entries []ocispec.Descriptor) string {
	var names []string
	for _, desc := range entries {
		n := nameOf(desc).String()
		if n == "" {
			n = desc.Digest.String()
		}
		if strings.ContainsFunc(n, func(r rune) bool { return !unicode.IsPrint(r) }) {
			n = strconv.Quote(n) // it could steer a terminal
		}
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > listed:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:listed], ", "), len(names)-listed)
	}
	return strings.Join(names, ", ")
}
