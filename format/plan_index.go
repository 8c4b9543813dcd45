// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format/internal/jsontree"
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
		if other, ok := c.classes[e.child]; ok && e.child != nil && other != e.class {
			return nil, &Error{Op: "convert", Path: e.path, Desc: e.Descriptor, Err: fmt.Errorf("%w: the same manifest is an image in one entry and an attestation in another", ErrAmbiguous)}
		}
		c.classes[e.child] = e.class
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

// planRootIndex decides what becomes of an image with several platforms.
func (c *conversion) planRootIndex(ctx context.Context) error {
	var err error
	if c.top, err = c.openIndex(c.graph.root, ""); err != nil {
		return err
	}
	if err := c.selectPlatforms(ctx); err != nil {
		return err
	}
	if err := c.selectSingle(); err != nil {
		return err
	}
	if err := c.planAttestations(); err != nil {
		return err
	}
	if err := c.top.each(func(e *entry) error { return c.planEntry(ctx, e) }); err != nil {
		return err
	}
	if c.only != nil {
		c.loseIndex(c.top)
		return nil
	}
	if c.target == Docker && !c.checking && !c.top.has(classImage) {
		return &Error{Op: "convert", Desc: c.graph.root.desc, Err: fmt.Errorf("%w: the index holds no image, and a Docker manifest list holds nothing else", ErrNotFixable)}
	}
	c.noteSamePlatform()
	return c.planIndex(ctx, c.top, 0)
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

// selectPlatforms leaves out the images of platforms that were not asked for,
// and what speaks of them.
func (c *conversion) selectPlatforms(ctx context.Context) error {
	if len(c.opts.Platforms) == 0 && c.target != Docker {
		return nil
	}
	if err := c.top.each(func(e *entry) error { return c.findPlatform(ctx, e) }); err != nil {
		return err
	}
	if len(c.opts.Platforms) == 0 {
		return nil
	}
	matched := make([]bool, len(c.opts.Platforms))
	gone := map[digest.Digest]bool{}
	var there []string
	_ = c.top.each(func(e *entry) error {
		if e.class != classImage {
			return nil
		}
		e.out = true
		if e.platform != nil {
			there = append(there, platforms.FormatAll(*e.platform))
			for i, p := range c.opts.Platforms {
				if platforms.NewMatcher(p).Match(*e.platform) {
					matched[i], e.out = true, false
				}
			}
		}
		if e.out {
			gone[e.Digest] = true
		}
		return nil
	})
	for i, ok := range matched {
		if !ok {
			return noPlatform(c.graph.root, c.opts.Platforms[i], there)
		}
	}
	return c.top.each(func(e *entry) error {
		if e.class == classAttestation && gone[e.about()] {
			e.out = true
		}
		if e.class == classOther && e.child != nil && e.child.subject != nil && gone[e.child.subject.Digest] {
			e.out = true
		}
		return nil
	})
}

func noPlatform(d *document, p ocispec.Platform, there []string) error {
	err := fmt.Errorf("platform %s is not there; the image has %s%.0w", platforms.FormatAll(p), strings.Join(there, ", "), errdefs.ErrNotFound)
	return &Error{Op: "convert", Path: d.path, Desc: d.desc, Err: err}
}

// findPlatform reads an image's platform from its config where the index does
// not name it.
func (c *conversion) findPlatform(ctx context.Context, e *entry) error {
	if e.class != classImage || e.unread || e.platform != nil && e.platform.OS != "" && e.platform.Architecture != "" {
		return nil
	}
	var err error
	if e.platform, err = c.platformOf(ctx, e.child); err != nil {
		return err
	}
	if e.platform == nil && c.target == Docker && len(c.opts.Platforms) == 0 {
		return c.refuse(rulePlatform, e.path, e.Descriptor, fmt.Errorf("%w: neither the index nor the config names its platform, and a Docker manifest list needs one", ErrNotFixable))
	}
	return nil
}

// selectRoot checks the platform of an image that is no index.
func (c *conversion) selectRoot(ctx context.Context, d *document) error {
	if len(c.opts.Platforms) == 0 {
		return nil
	}
	have, err := c.platformOf(ctx, d)
	if err != nil {
		return err
	}
	there := []string{"none"}
	if have != nil {
		if platforms.Any(c.opts.Platforms...).Match(*have) {
			return nil
		}
		there = []string{platforms.FormatAll(*have)}
	}
	return noPlatform(d, c.opts.Platforms[0], there)
}

// selectSingle finds the one manifest that is to be the root, if one is.
func (c *conversion) selectSingle() error {
	if !c.opts.Single && !c.profile.NoIndex {
		return nil
	}
	c.broken(ruleSingle, "", c.graph.root.desc, "an index, where a single manifest is needed")
	if c.checking {
		return nil
	}
	var left []string
	_ = c.top.each(func(e *entry) error {
		if e.class == classImage && !e.out && c.only != e.child {
			c.only = e.child
			name := e.Digest.String()
			if e.platform != nil {
				name = platforms.FormatAll(*e.platform)
			}
			left = append(left, name)
		}
		return nil
	})
	if len(left) == 1 {
		return nil
	}
	err := fmt.Errorf("%w: a single manifest is needed, and the index has %d images: %s; choose one with a platform", ErrNotFixable, len(left), strings.Join(left, ", "))
	if len(left) == 0 {
		err = fmt.Errorf("%w: a single manifest is needed, and the index has no image", ErrNotFixable)
	}
	return &Error{Op: "convert", Desc: c.graph.root.desc, Err: err}
}

// loseIndex records what goes with the indexes when one manifest is the root.
func (c *conversion) loseIndex(x *indexPlan) {
	const why = "the result has no index"
	if v := x.doc.tree.Root.Get("annotations"); v != nil {
		c.loseAnnotations(v.Items(), x.path, why)
	}
	for _, e := range x.entries {
		if e.nested != nil {
			c.loseIndex(e.nested)
		}
		if v := e.node.Get("annotations"); v != nil && e.class != classAttestation && !e.out {
			c.loseAnnotations(v.Items(), e.path, why)
		}
		if e.class == classOther && !e.out {
			c.lose(ruleSingle, e.path, e.what(), e.Digest.String(), why)
		}
	}
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

// planEntry plans the document of an entry.
func (c *conversion) planEntry(ctx context.Context, e *entry) error {
	if e.class == classOther && c.target == Docker && !e.out {
		c.broken(ruleArtifact, e.path, e.Descriptor, "%s", e.what())
		c.lose(ruleArtifact, e.path, e.what(), e.Digest.String(), "Docker's formats hold images only")
		e.out = true
	}
	if e.out || e.child == nil || e.class == classAttestation {
		return nil
	}
	return c.planManifest(ctx, e.child)
}

// planIndex edits an index whose entries are planned.
func (c *conversion) planIndex(ctx context.Context, x *indexPlan, depth int) error {
	if x.planned {
		return nil
	}
	x.planned = true
	if err := c.planType(&x.plan); err != nil {
		return err
	}
	for _, e := range x.entries {
		if e.nested != nil {
			if err := c.planIndex(ctx, e.nested, depth+1); err != nil {
				return err
			}
		}
	}
	if c.target == Docker {
		if err := c.stripIndex(ctx, x); err != nil {
			return err
		}
		if depth == 0 {
			c.flatten(x)
		}
		return nil
	}
	if x.doc.tree.Root.Get("manifests").Filter(func(i int, _ *jsontree.Item) bool { return !x.entries[i].gone() }) {
		x.did("entries removed")
		x.entries = remaining(x.entries)
	}
	return nil
}

// gone reports whether nothing of an entry is left.
func (e *entry) gone() bool {
	return e.out || e.nested != nil && len(e.nested.entries) == 0 && len(e.child.manifests) > 0
}

func remaining(entries []*entry) []*entry {
	var left []*entry
	for _, e := range entries {
		if !e.gone() {
			left = append(left, e)
		}
	}
	return left
}

// stripIndex removes what only OCI defines from an index and its entries, and
// adds platforms.
func (c *conversion) stripIndex(ctx context.Context, x *indexPlan) error {
	if err := c.stripAnnotations(ctx, &x.plan); err != nil {
		return err
	}
	for _, field := range []string{"artifactType", "subject"} {
		v := x.doc.tree.Root.Get(field)
		if v == nil {
			continue
		}
		c.broken(ruleFields, x.path+"/"+field, x.doc.desc, "%s, which docker does not define", field)
		c.lose(ruleFields, x.path+"/"+field, field, string(v.Raw()), "docker does not define it")
		x.doc.tree.Root.Remove(field)
		x.did("fields of OCI's removed")
	}
	for _, e := range x.entries {
		if e.out {
			continue
		}
		parent := strings.TrimSuffix(e.path, "/"+e.field)
		if err := c.stripDescriptor(ctx, &x.plan, e.descriptor, parent, dockerEntryFields); err != nil {
			return err
		}
		if e.class == classImage {
			c.addPlatform(x, e)
		}
	}
	return nil
}

// addPlatform writes the platform that was read from the config.
func (c *conversion) addPlatform(x *indexPlan, e *entry) {
	if e.platform == nil || e.platform == e.Platform {
		return
	}
	c.broken(rulePlatform, e.path, e.Descriptor, "an entry without a platform")
	object := jsontree.Object{
		{Name: "architecture", Value: e.platform.Architecture},
		{Name: "os", Value: e.platform.OS},
	}
	if v := e.platform.OSVersion; v != "" {
		object = append(object, jsontree.Member{Name: "os.version", Value: v})
	}
	if v := e.platform.OSFeatures; len(v) > 0 {
		object = append(object, jsontree.Member{Name: "os.features", Value: v})
	}
	if v := e.platform.Variant; v != "" {
		object = append(object, jsontree.Member{Name: "variant", Value: v})
	}
	e.node.Remove("platform")
	x.doc.tree.Insert(e.node, "", jsontree.Member{Name: "platform", Value: object})
	x.did("platforms added")
}

// flatten puts the images of nested indexes in the place of those, in order,
// each once.
func (c *conversion) flatten(x *indexPlan) {
	var items []*jsontree.Item
	var entries []*entry
	seen := map[digest.Digest]bool{}
	nested := false
	for _, e := range x.entries {
		nested = nested || e.nested != nil
	}
	var add func(x *indexPlan)
	add = func(x *indexPlan) {
		for _, e := range x.entries {
			switch {
			case e.nested != nil:
				c.broken(ruleNestedIndex, e.path, e.Descriptor, "an index in an index")
				add(e.nested)
			case e.out || nested && seen[e.Digest]:
			default:
				seen[e.Digest] = true
				items, entries = append(items, e.item), append(entries, e)
			}
		}
	}
	add(x)
	if nested {
		x.did("nested indexes flattened")
	}
	if len(items) != len(x.entries) {
		x.did("entries removed")
	}
	x.entries = entries
	x.doc.tree.Root.Get("manifests").SetItems(items)
}

// noteSamePlatform notes that clients take the first of several.
func (c *conversion) noteSamePlatform() {
	if c.target != Docker {
		return
	}
	first := map[string]*entry{}
	_ = c.top.each(func(e *entry) error {
		if e.class != classImage || e.out || e.platform == nil {
			return nil
		}
		name := platforms.FormatAll(*e.platform)
		switch other := first[name]; {
		case other == nil:
			first[name] = e
		case other.Digest != e.Digest:
			c.note(ruleSamePlatform, e.path, "%s is the platform of %s too: clients take the first", name, other.path)
		}
		return nil
	})
}
