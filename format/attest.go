// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format/internal/jsontree"
)

// artifactTypeAttestation is what BuildKit itself calls an attestation
// manifest that is written as an OCI artifact.
const artifactTypeAttestation = "application/vnd.docker.attestation.manifest.v1+json"

// planAttestations decides what becomes of BuildKit's attestation manifests.
func (c *conversion) planAttestations(ctx context.Context) error {
	if !c.top.has(classAttestation) {
		return nil
	}
	var err error
	if c.attests, err = c.chooseAttestations(); err != nil {
		return err
	}
	images := map[digest.Digest]bool{}
	_ = c.top.each(func(e *entry) error {
		if e.class == classImage && !e.out {
			images[e.Digest] = true
		}
		return nil
	})
	return c.top.each(func(e *entry) error {
		if e.class != classAttestation || e.out {
			return nil
		}
		if err := c.planAttestation(e, images[e.about()]); err != nil || e.out && c.attests != AttestationsReferrers {
			return err
		}
		if e.child == nil {
			return nil
		}
		for i, l := range e.child.layers {
			if err := c.orderVerification(ctx, e.child, l, i); err != nil {
				return err
			}
		}
		return nil
	})
}

// planAttestation records what happens to one attestation manifest.
func (c *conversion) planAttestation(e *entry, known bool) error {
	if e.child != nil && e.child.missing {
		e.out = true
		c.lose(ruleAttestations, e.path, "attestation manifest", e.Digest.String(), "the source names it, but does not hold it")
		return nil
	}
	if c.attests == AttestationsKeep {
		if !known {
			c.note(ruleAttestations, e.path, "it speaks of %s, which is not in the index", e.about())
		}
		if _, done := c.plans[e.child]; done || e.child == nil {
			return nil
		}
		p := &plan{doc: e.child, typ: e.child.typ}
		c.plans[e.child] = p
		return c.planAttestationDocument(p)
	}
	c.broken(ruleAttestations, e.path, e.Descriptor, "an attestation in the index")
	switch {
	case c.attests == AttestationsDrop:
		e.out = true
		c.lose(ruleAttestations, e.path, "attestation manifest", e.Digest.String(), c.whyDropped())
	case !known:
		e.out = true
		c.lose(ruleAttestations, e.path, "attestation manifest", e.Digest.String(), fmt.Sprintf("it speaks of %s, which is not in the index", e.about()))
	default:
		e.out = true
		c.leaving = append(c.leaving, e)
	}
	return nil
}

// planAttestationDocument gives an attestation manifest that stays in an OCI
// index OCI's media types. Its layers are no filesystem, and stay as they are.
func (c *conversion) planAttestationDocument(p *plan) error {
	if err := c.planType(p); err != nil {
		return err
	}
	if err := c.asImage(p); err != nil {
		return err
	}
	c.mendSubject(p, p.doc.path)
	c.mendConfigAnnotations(p)
	for _, hold := range []func(*document) error{c.holdTypes, c.holdSubject, c.holdArtifact, c.holdSize} {
		if err := hold(p.doc); err != nil {
			return err
		}
	}
	if p.doc.config == nil {
		return nil
	}
	return c.planConfig(p)
}

// whyDropped says why attestations do not stay.
func (c *conversion) whyDropped() string {
	if c.opts.Attestations == AttestationsDrop {
		return "dropping attestations was asked for"
	}
	return "neither the target's index nor the destination holds attestations"
}

// chooseAttestations takes what was asked for, or else the first treatment of
// the profile's that the result allows.
func (c *conversion) chooseAttestations() (Attestations, error) {
	canKeep := c.target == OCI && c.only == nil
	if a := c.opts.Attestations; a != "" {
		if a == AttestationsKeep && !canKeep {
			return "", &Error{Op: "convert", Desc: c.graph.root.desc, Err: fmt.Errorf("%w: attestations are kept in an OCI index, and the result has none; choose %s or %s", ErrNotFixable, AttestationsReferrers, AttestationsDrop)}
		}
		return a, nil
	}
	for _, a := range c.profile.attestations() {
		if a == AttestationsKeep && canKeep || a == AttestationsReferrers && !c.opts.NoReferrers {
			return a, nil
		}
	}
	return AttestationsDrop, nil
}

// buildAttestations finishes the attestation manifests of x, after the images
// that they speak of.
func (c *conversion) buildAttestations(ctx context.Context, x *indexPlan) error {
	finish := func(e *entry, build func(context.Context, *entry, ocispec.Descriptor) error) error {
		image, known := c.images[e.about()]
		if known && image.Digest != e.about() {
			c.note(ruleAttestations, e.path, "the in-toto statements in it still name the image as it was, %s", e.about())
		}
		return build(ctx, e, image)
	}
	for _, e := range c.leaving {
		if err := finish(e, c.buildReferrer); err != nil {
			return err
		}
	}
	return x.each(func(e *entry) error {
		if e.class != classAttestation || e.out {
			return nil
		}
		return finish(e, c.buildKept)
	})
}

// buildKept points an attestation manifest that stays in the index at the
// converted image.
func (c *conversion) buildKept(ctx context.Context, e *entry, image ocispec.Descriptor) error {
	p := c.plans[e.child]
	if p.built {
		return nil
	}
	if s := e.child.subject; s != nil && image.Digest != "" && s.Digest == e.about() && image.Digest != s.Digest {
		setContent(s.node, image)
		p.did("subject re-pointed")
	}
	if err := c.writeBlobs(ctx, p); err != nil {
		return err
	}
	_, err := c.finish(ctx, p)
	return err
}

// buildReferrer makes an OCI artifact of an attestation manifest, with the
// converted image as its subject. It edits a copy: the same manifest may speak
// of two images.
func (c *conversion) buildReferrer(ctx context.Context, e *entry, image ocispec.Descriptor) error {
	d, err := e.child.copy(e.path)
	if err != nil {
		return err
	}
	p := &plan{doc: d, typ: MediaType{Format: OCI, Kind: KindManifest}}
	root := d.tree.Root
	if !d.typed {
		d.tree.Insert(root, "schemaVersion", jsontree.Member{Name: "mediaType", Value: p.typ.String()})
	} else if d.typ != p.typ {
		root.Get("mediaType").SetText(p.typ.String())
	}
	if d.artifactType == "" {
		root.Remove("artifactType")
		d.tree.Insert(root, "mediaType", jsontree.Member{Name: "artifactType", Value: artifactTypeAttestation})
		if err := c.emptyConfig(ctx, d); err != nil {
			return err
		}
	}
	if d.subject == nil {
		root.Remove("subject")
		d.tree.Insert(root, "layers", jsontree.Member{Name: "subject", Value: jsontree.Object{
			{Name: "mediaType", Value: image.MediaType},
			{Name: "digest", Value: image.Digest.String()},
			{Name: "size", Value: image.Size},
		}})
	} else {
		setContent(d.subject.node, image)
	}
	if c.profile.holds(ruleSubjectPlatform) {
		removeSubjectPlatform(root)
	}
	p.did("attestation as referrer")
	desc, err := c.finish(ctx, p)
	if err != nil {
		return err
	}
	desc.ArtifactType, _ = root.Get("artifactType").Text()
	if !slices.ContainsFunc(c.referrers, func(r ocispec.Descriptor) bool { return r.Digest == desc.Digest }) {
		c.referrers = append(c.referrers, desc)
	}
	return nil
}

// emptyConfig replaces the image config that old attestation manifests have:
// an artifact has OCI's empty one.
func (c *conversion) emptyConfig(ctx context.Context, d *document) error {
	empty := ocispec.DescriptorEmptyJSON
	if err := writeBlob(ctx, c.store, Plain(empty), empty.Data); err != nil {
		return at("convert", d.path+"/config", empty, err)
	}
	root := d.tree.Root
	for _, it := range root.Items() {
		if it.Name == "config" {
			d.tree.Replace(root, it, jsontree.Object{
				{Name: "mediaType", Value: empty.MediaType},
				{Name: "digest", Value: empty.Digest.String()},
				{Name: "size", Value: empty.Size},
			})
		}
	}
	return nil
}
