// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// buildImages finishes the images of an index, then what points at them.
func (c *conversion) buildImages(ctx context.Context, x *indexPlan) error {
	err := x.each(func(e *entry) error {
		if e.out || e.child == nil || e.class == classAttestation {
			return nil
		}
		_, err := c.buildManifest(ctx, e.child)
		return err
	})
	if err != nil {
		return err
	}
	_ = x.each(func(e *entry) error {
		if e.class == classImage && !e.out {
			c.images[e.Digest] = c.plans[e.child].result
		}
		return nil
	})
	if err := c.buildAttestations(ctx, x); err != nil {
		return err
	}
	return x.each(func(e *entry) error {
		if e.class != classOther || e.out || e.child == nil || e.child.subject == nil {
			return nil
		}
		was := e.child.subject.Digest
		if now, ok := c.images[was]; ok && now.Digest != was {
			c.note(ruleArtifact, e.path+"/subject", "it still refers to the image as it was, %s", was)
		}
		return nil
	})
}

// buildIndex finishes an index: of the root its images and attestations, then
// itself. Entries that are left out are gone by now.
func (c *conversion) buildIndex(ctx context.Context, x *indexPlan) (ocispec.Descriptor, error) {
	if x == c.top {
		if err := c.buildImages(ctx, x); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	if x.built {
		return x.result, nil
	}
	for _, e := range x.entries {
		if err := c.buildEntry(ctx, x, e); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	return c.finish(ctx, &x.plan)
}

// buildEntry makes an entry name what its document has become.
func (c *conversion) buildEntry(ctx context.Context, x *indexPlan, e *entry) error {
	if e.child == nil {
		return nil
	}
	var to ocispec.Descriptor
	if e.nested != nil {
		var err error
		if to, err = c.buildIndex(ctx, e.nested); err != nil {
			return err
		}
	} else {
		to = c.plans[e.child].result
	}
	if to.Digest != e.Digest || to.MediaType != e.MediaType {
		setContent(e.node, to)
		if e.node.Remove("data") {
			c.note(ruleFields, e.path+"/data", "the embedded data was that of the document before, and is removed")
		}
		x.did("digests")
	}
	if e.class == classAttestation {
		if image, ok := c.images[e.about()]; ok && image.Digest != e.about() {
			e.node.Get("annotations").Get(annotationReferenceDigest).SetText(image.Digest.String())
			x.did("attestations re-pointed")
		}
	}
	return nil
}

// wrapPlatform returns the platform of a single manifest that is to be wrapped
// in an index, and whether it has one.
func (c *conversion) wrapPlatform(ctx context.Context) (ocispec.Platform, bool, error) {
	d := c.graph.root
	platform, ok, err := c.platformOf(ctx, d)
	if err == nil && !ok && c.target == Docker {
		err = &Error{Op: "convert", Path: d.path, Desc: d.desc, Err: fmt.Errorf("%w: its config names no platform, and a Docker manifest list needs one", ErrNotFixable)}
	}
	return platform, ok, err
}

// wrap makes an index around a single manifest.
func (c *conversion) wrap(ctx context.Context) (ocispec.Descriptor, error) {
	platform, ok, err := c.wrapPlatform(ctx)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	typ := MediaType{Format: c.target, Kind: KindIndex}
	entry := c.result
	if ok {
		entry.Platform = &platform
	}
	body := indexOf(typ, entry)
	desc := ocispec.Descriptor{MediaType: typ.String(), Digest: digest.FromBytes(body), Size: int64(len(body))}
	if err := writeBlob(ctx, c.store, desc, body); err != nil {
		return ocispec.Descriptor{}, at("convert", "", desc, err)
	}
	c.changes = append(c.changes, Change{From: c.result, To: desc, What: "wrapped in an index"})
	return desc, nil
}
