// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"
	"fmt"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/format/internal/jsontree"
)

// planRootIndex decides what becomes of an image with several platforms.
func (c *conversion) planRootIndex(ctx context.Context) error {
	var err error
	if c.top, err = c.openIndex(c.graph.root, ""); err != nil {
		return err
	}
	if err := c.selectPlatforms(ctx); err != nil {
		return err
	}
	if err := c.holdRootIndex(ctx); err != nil {
		return err
	}
	if err := c.selectSingle(); err != nil {
		return err
	}
	if err := c.planAttestations(ctx); err != nil {
		return err
	}
	if err := c.top.each(func(e *entry) error { return c.planEntry(ctx, e) }); err != nil {
		return err
	}
	if c.only != nil {
		c.loseIndex(c.top)
		return nil
	}
	if c.target == Docker && !c.top.has(classImage) && !c.shallow {
		err := c.refuse(ruleArtifact, "", c.graph.root.desc, fmt.Errorf("%w: the index holds no image, and a Docker manifest list holds nothing else", ErrNotFixable))
		if err != nil {
			return err
		}
	}
	if c.profile.holds(ruleImageRoot) && !c.top.has(classImage) && !c.shallow && c.target == OCI {
		if err := c.unmet(ruleImageRoot, "", c.graph.root.desc, "an index that holds no image"); err != nil {
			return err
		}
	}
	c.noteSamePlatform()
	return c.planIndex(ctx, c.top, 0)
}

// loseIndex records what goes with the indexes when one manifest is the root.
func (c *conversion) loseIndex(x *indexPlan) {
	const why = "the result has no index"
	root := x.doc.tree.Root
	if v := root.Get("annotations"); v != nil {
		c.loseAnnotations(v.Items(), x.path, why)
	}
	for _, field := range []string{"artifactType", "subject"} {
		if v := root.Get(field); v != nil {
			c.lose(ruleSingle, x.path+"/"+field, field, string(v.Raw()), why)
		}
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

// planEntry plans the document of an entry.
func (c *conversion) planEntry(ctx context.Context, e *entry) error {
	if e.unread && e.typ.Kind == KindIndex {
		if c.target == Docker || c.profile.holds(ruleNestedIndex) {
			c.broken(ruleNestedIndex, e.path, e.Descriptor, "an index in an index")
		}
		return nil
	}
	if e.class == classOther && c.target == Docker && !e.out {
		c.broken(ruleArtifact, e.path, e.Descriptor, "%s", e.what())
		c.lose(ruleArtifact, e.path, e.what(), e.Digest.String(), "Docker's formats hold images only")
		e.out = true
	}
	if c.profile.holds(ruleImageConfig) && e.class == classOther && e.child != nil && !e.child.isImageConfig() && !e.out {
		c.broken(ruleImageConfig, e.path, e.Descriptor, "%s", e.what())
		c.lose(ruleImageConfig, e.path, e.what(), e.Digest.String(), "the target takes no config but an image's")
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
	if err := c.holdIndex(x); err != nil {
		return err
	}
	if c.profile.holds(ruleNestedIndex) {
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

// holdIndex holds an OCI index to what the target wants beside the format.
func (c *conversion) holdIndex(x *indexPlan) error {
	c.mendSubject(&x.plan, x.path)
	for _, e := range x.entries {
		if c.profile.holds(rulePlatform) && e.class == classImage && !e.out {
			c.addPlatform(x, e)
		}
	}
	if err := c.holdTypes(x.doc); err != nil {
		return err
	}
	return c.holdSize(x.doc)
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
		if err := c.stripDescriptor(ctx, &x.plan, e.descriptor, x.path, dockerEntryFields); err != nil {
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

// loseNested records what goes with an OCI index that is flattened.
func (c *conversion) loseNested(e *entry) {
	const why = "the target takes no index in an index"
	root := e.child.tree.Root
	if v := root.Get("annotations"); v != nil {
		c.loseAnnotations(v.Items(), e.path, why)
	}
	for _, field := range []string{"artifactType", "subject"} {
		if v := root.Get(field); v != nil {
			c.lose(ruleNestedIndex, e.path+"/"+field, field, string(v.Raw()), why)
		}
	}
	if v := e.node.Get("annotations"); v != nil {
		c.loseAnnotations(v.Items(), e.path, why)
	}
}

// flatten puts the images of nested indexes in the place of those, in order,
// each once.
func (c *conversion) flatten(x *indexPlan) {
	var items []*jsontree.Item
	var entries []*entry
	type image struct {
		digest   digest.Digest
		platform string
	}
	seen := map[image]bool{}
	nested := false
	for _, e := range x.entries {
		nested = nested || e.nested != nil
	}
	var add func(x *indexPlan)
	add = func(x *indexPlan) {
		for _, e := range x.entries {
			is := image{digest: e.Digest}
			if e.platform != nil {
				is.platform = platforms.FormatAll(*e.platform)
			}
			switch {
			case e.nested != nil:
				c.broken(ruleNestedIndex, e.path, e.Descriptor, "an index in an index")
				if c.target == OCI {
					c.loseNested(e)
				}
				add(e.nested)
			case e.out || nested && seen[is]:
			default:
				seen[is] = true
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
