// SPDX-License-Identifier: Apache-2.0

package format

import (
	"fmt"

	"github.com/manifest-format/manifest-format/format/internal/jsontree"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// class is what an entry of an index stands for.
type class int

const (
	classImage class = iota
	classIndex
	classAttestation // BuildKit's, about another entry
	classOther       // an artifact, or something that is no document
)

// entry is one descriptor of an index.
type entry struct {
	*descriptor
	item     *jsontree.Item
	child    *document
	nested   *indexPlan
	class    class
	path     string
	platform *ocispec.Platform
	// out says that the result does not have it.
	out bool
}

// indexPlan is what becomes of an index.
type indexPlan struct {
	plan
	path    string
	entries []*entry
	planned bool
}

// How BuildKit marks the attestation manifests in an index:
// https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md
const (
	annotationReferenceType   = "vnd.docker.reference.type"
	annotationReferenceDigest = "vnd.docker.reference.digest"
	referenceAttestation      = "attestation-manifest"
)

// openIndex classifies the entries of an index and of those in it. An index
// that is named twice has one plan.
func (c *conversion) openIndex(d *document, path string) (*indexPlan, error) {
	if x, ok := c.indexes[d]; ok {
		return x, nil
	}
	x := &indexPlan{plan: plan{doc: d, typ: d.typ}, path: path}
	c.indexes[d] = x
	items := d.tree.Root.Get("manifests").Items()
	for i, m := range d.manifests {
		e := &entry{descriptor: m, item: items[i], child: d.children[i], path: path + "/" + m.field, platform: m.Platform}
		e.classify()
		if e.class == classIndex {
			var err error
			if e.nested, err = c.openIndex(e.child, e.path); err != nil {
				return nil, err
			}
		}
		if other, ok := c.classes[e.child]; ok && other != e.class {
			return nil, &Error{Op: "convert", Path: e.path, Desc: e.Descriptor, Err: fmt.Errorf("%w: the same manifest is an image in one entry and an attestation in another", ErrAmbiguous)}
		}
		if e.child != nil {
			c.classes[e.child] = e.class
		}
		x.entries = append(x.entries, e)
	}
	return x, nil
}

// isAttestation reports whether an entry is marked as one of BuildKit's
// attestation manifests.
func (d *descriptor) isAttestation() bool {
	return d.typ.Kind == KindManifest && d.Annotations[annotationReferenceType] == referenceAttestation && d.about() != ""
}

// about returns the digest of the image that an attestation speaks of, empty
// if it names none.
func (d *descriptor) about() digest.Digest {
	about, err := digest.Parse(d.Annotations[annotationReferenceDigest])
	if err != nil {
		return ""
	}
	return about
}

func (e *entry) classify() {
	switch {
	case e.isAttestation():
		e.class = classAttestation
	case e.unread && e.typ.Kind == KindIndex:
		e.class = classOther
	case e.unread:
		e.class = classImage
	case e.child == nil:
		e.class = classOther
	case e.child.typ.Kind == KindIndex:
		e.class = classIndex
	case e.child.isArtifact():
		e.class = classOther
	default:
		e.class = classImage
	}
}

// each calls f for every entry that is not a nested index, in order, until an
// error.
func (x *indexPlan) each(f func(e *entry) error) error {
	for _, e := range x.entries {
		var err error
		if e.nested != nil {
			err = e.nested.each(f)
		} else {
			err = f(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// has reports whether an entry of that class is left.
func (x *indexPlan) has(k class) bool {
	found := false
	_ = x.each(func(e *entry) error {
		found = found || e.class == k && !e.out
		return nil
	})
	return found
}

// what names an entry that is no image.
func (e *entry) what() string {
	if e.child == nil {
		return "content of type " + clip(e.MediaType)
	}
	return e.child.artifactName()
}

// artifactName names a manifest that is no image's.
func (d *document) artifactName() string {
	name := d.artifactType
	if name == "" && d.config != nil {
		name = d.config.MediaType
	}
	return "artifact " + clip(name)
}
