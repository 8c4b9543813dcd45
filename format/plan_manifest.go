// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format/internal/jsontree"
)

// layerPatch is a layer descriptor that waits for its recompressed blob.
type layerPatch struct {
	at  *descriptor
	job *layerJob
}

// embedded is a blob that was only in its descriptor's data.
type embedded struct {
	desc ocispec.Descriptor
	body []byte
	path string
}

// planManifest decides what becomes of an image manifest, or, in OCI, of an
// artifact. It edits the parsed document; what depends on results comes later.
func (c *conversion) planManifest(ctx context.Context, d *document) error {
	if _, done := c.plans[d]; done {
		return nil
	}
	p := &plan{doc: d, typ: d.typ}
	c.plans[d] = p
	from := d.typ.Format
	if err := c.planType(p); err != nil {
		return err
	}
	if c.target == Docker {
		if err := c.stripManifest(ctx, p); err != nil {
			return err
		}
	}
	if err := c.holdManifest(ctx, p); err != nil {
		return err
	}
	if err := c.planConfig(p); err != nil {
		return err
	}
	for i, l := range d.layers {
		if err := c.planLayer(ctx, p, l, i); err != nil {
			return err
		}
	}
	if from == Docker && c.target == OCI {
		return c.healthcheck(ctx, d)
	}
	return nil
}

// planType gives a document the target's media type.
func (c *conversion) planType(p *plan) error {
	d := p.doc
	to, err := d.typ.In(c.target)
	if err != nil {
		return c.refuse(ruleMediaType, d.path, d.desc, err)
	}
	p.typ = to
	root := d.tree.Root
	switch {
	case d.typed && to != d.typ:
		c.breaksFormat(d)
		root.Get("mediaType").SetText(to.String())
		p.did("media types")
	case !d.typed && c.target == Docker:
		c.broken(ruleMediaType, d.path, d.desc, "%s without a mediaType of its own", d.typ.Kind)
		d.tree.Insert(root, "schemaVersion", jsontree.Member{Name: "mediaType", Value: to.String()})
		p.did("media types")
	case !d.typed && c.profile.holds(ruleTopMediaType):
		c.broken(ruleTopMediaType, d.path, d.desc, "%s without a mediaType of its own", d.typ.Kind)
		d.tree.Insert(root, "schemaVersion", jsontree.Member{Name: "mediaType", Value: to.String()})
		p.did("media types")
	case to != d.typ:
		// The document does not name its type: its descriptor does.
		c.breaksFormat(d)
	}
	return nil
}

// breaksFormat records that a document is not in the target's format.
func (c *conversion) breaksFormat(d *document) {
	c.broken(c.familyRule(d.typ, d), d.path, d.desc, "%s %s", d.typ.Format, d.typ.Kind)
}

// planConfig gives an image's config the target's media type. A config that
// is no image's stays what it is: OCI takes any.
func (c *conversion) planConfig(p *plan) error {
	cfg := p.doc.config
	if cfg.typ.Kind != KindConfig || cfg.typ.Format == c.target {
		return nil
	}
	path := p.doc.path + "/" + cfg.field
	c.broken(c.familyRule(cfg.typ, p.doc), path, cfg.Descriptor, "%s config", cfg.typ.Format)
	cfg.typ.Format = c.target
	cfg.node.Get("mediaType").SetText(cfg.typ.String())
	p.did("media types")
	return nil
}

// familyRule is the rule that a part of a document breaks by not being in the
// target's format. A target that takes the part's format takes no mixture: of
// the document, or, where the two agree, of the index.
func (c *conversion) familyRule(part MediaType, d *document) Rule {
	switch {
	case len(c.profile.Formats) > 0 && !slices.Contains(c.profile.Formats, part.Format):
		return ruleMediaType
	case part.Format == d.typ.Format:
		return ruleMixedIndex
	default:
		return ruleMixed
	}
}

// planLayer gives a layer the target's media type and, where that has no such
// layer or the caller wants another compression, orders its recompression.
func (c *conversion) planLayer(ctx context.Context, p *plan, l *descriptor, i int) error {
	path := p.doc.path + "/" + l.field
	if l.typ.Kind != KindLayer {
		if err := c.unknownLayer(l, path); err != nil {
			return err
		}
		return c.orderVerification(ctx, p.doc, l, i)
	}
	want := c.profile.compression(c.target, l.typ.Compression)
	if o := c.opts.Compression; o != "" && !l.typ.Foreign && !p.doc.isArtifact() {
		want = o
	}
	to, err := MediaType{Format: c.target, Kind: KindLayer, Compression: want, Foreign: l.typ.Foreign}.In(c.target)
	if err != nil {
		return c.refuse(ruleCompression, path, l.Descriptor, err)
	}
	if want != l.typ.Compression {
		if l.typ.Foreign {
			return c.refuse(ruleCompression, path, l.Descriptor, fmt.Errorf("%w: its compression is %s, the target takes %s, and a foreign layer's bytes are not in the image", ErrNotFixable, l.typ.Compression, want))
		}
		rule := ruleCompression
		if c.profile.lists(l.typ.Compression) && !l.typ.Standard() {
			rule = ruleLayerType // a Docker layer in the field, but not in V2.2
			if l.typ.Compression == Zstd {
				rule = ruleDockerZstd
			}
		}
		c.broken(rule, path, l.Descriptor, "%s", l.typ.describe())
		if err := c.orderRecompression(ctx, p, l, i, to); err != nil {
			return err
		}
	} else if err := c.orderVerification(ctx, p.doc, l, i); err != nil {
		return err
	}
	if to != l.typ {
		if to.Compression == l.typ.Compression {
			c.broken(c.familyRule(l.typ, p.doc), path, l.Descriptor, "%s layer", l.typ.Format)
		}
		l.node.Get("mediaType").SetText(to.String())
		l.typ = to
		p.did("media types")
	}
	return nil
}

// unknownLayer is for what neither format defines. OCI lets it be.
func (c *conversion) unknownLayer(l *descriptor, path string) error {
	if c.target != Docker {
		return nil
	}
	why := fmt.Errorf("%w: docker has no layer of type %q", ErrNoEquivalent, clip(l.MediaType))
	if strings.HasSuffix(l.MediaType, mediaTypeSuffixEncrypted) {
		why = fmt.Errorf("%w: the layer is encrypted, and docker has no encrypted layers; decrypt the image first", ErrNoEquivalent)
	}
	return c.refuse(ruleLayerType, path, l.Descriptor, why)
}

// stripManifest removes what only OCI defines from a manifest.
func (c *conversion) stripManifest(ctx context.Context, p *plan) error {
	d := p.doc
	if err := c.stripAnnotations(ctx, p); err != nil {
		return err
	}
	for _, field := range []string{"artifactType", "subject"} {
		// In an image they can only be empty or null: otherwise it is an artifact.
		if d.tree.Root.Remove(field) {
			c.broken(ruleFields, d.path+"/"+field, d.desc, "%s, which docker does not define", field)
			p.did("fields of OCI's removed")
		}
	}
	if err := c.stripDescriptor(ctx, p, d.config, d.path, dockerConfigFields); err != nil {
		return err
	}
	for _, l := range d.layers {
		if err := c.stripDescriptor(ctx, p, l, d.path, dockerLayerFields); err != nil {
			return err
		}
	}
	return nil
}

// stripAnnotations removes the annotations of a document, into the config's
// labels where that is asked for.
func (c *conversion) stripAnnotations(ctx context.Context, p *plan) error {
	d := p.doc
	v := d.tree.Root.Get("annotations")
	if v == nil {
		return nil
	}
	left := v.Items()
	if c.opts.Annotations == AnnotationsLabels && d.isImageConfig() && len(left) > 0 {
		var err error
		if p.config, left, err = c.labelled(ctx, d, left); err != nil {
			return err
		}
		if p.config != nil {
			p.did("annotations into labels")
			c.note(ruleAnnotations, d.path+"/config", "the config has the manifest's annotations as labels, so its digest changes")
		}
	}
	c.brokenAnnotations(v, d.path, d.desc)
	c.loseAnnotations(left, d.path, "docker has no annotations")
	d.tree.Root.Remove("annotations")
	p.did("annotations removed")
	return nil
}

// brokenAnnotations records annotations where there must be none.
func (c *conversion) brokenAnnotations(v *jsontree.Value, path string, desc ocispec.Descriptor) {
	if len(v.Items()) == 0 {
		c.broken(ruleAnnotations, path+"/annotations", desc, "annotations, though none")
	}
	for _, it := range v.Items() {
		c.broken(ruleAnnotations, path+"/annotations/"+pointer(it.Name), desc, "annotation %q", clip(it.Name))
	}
}

// loseAnnotations records each annotation as a loss.
func (c *conversion) loseAnnotations(items []*jsontree.Item, path, why string) {
	for _, it := range items {
		value, ok := it.Value.Text()
		if !ok {
			value = string(it.Value.Raw())
		}
		c.lose(ruleAnnotations, path+"/annotations/"+pointer(it.Name), fmt.Sprintf("annotation %q", clip(it.Name)), value, why)
	}
}

// What a descriptor in a Docker document may have of the fields that OCI
// defines. A field that neither defines is left alone.
var (
	dockerConfigFields = []string{"mediaType", "size", "digest"}
	dockerLayerFields  = []string{"mediaType", "size", "digest", "urls"}
	dockerEntryFields  = []string{"mediaType", "size", "digest", "platform"}
)

// stripDescriptor removes from a descriptor what only OCI defines.
func (c *conversion) stripDescriptor(ctx context.Context, p *plan, l *descriptor, parent string, allowed []string) error {
	path := parent + "/" + l.field
	for _, field := range descriptorFields {
		v := l.node.Get(field)
		if v == nil || slices.Contains(allowed, field) {
			continue
		}
		switch field {
		case "annotations":
			c.brokenAnnotations(v, path, l.Descriptor)
			c.loseAnnotations(v.Items(), path, "docker descriptors have no annotations")
			p.did("annotations removed")
		case "data":
			if err := c.stripData(ctx, p, l, path); err != nil {
				return err
			}
		default:
			c.broken(ruleFields, path+"/"+field, l.Descriptor, "%s, which docker does not define here", field)
			c.lose(ruleFields, path+"/"+field, field, string(v.Raw()), "docker does not define it here")
			p.did("fields of OCI's removed")
		}
		l.node.Remove(field)
	}
	return nil
}

// stripData removes the content embedded in a descriptor. Where that is the
// only place it is in, the blob is written, so that nothing is lost.
func (c *conversion) stripData(ctx context.Context, p *plan, l *descriptor, path string) error {
	c.broken(ruleFields, path+"/data", l.Descriptor, "embedded data")
	p.did("embedded data removed")
	if c.checking {
		return nil
	}
	ra, err := c.src.ReaderAt(ctx, l.Descriptor)
	if err == nil {
		return ra.Close()
	}
	if !errdefs.IsNotFound(err) {
		return at("convert", path, l.Descriptor, err)
	}
	text, _ := l.node.Get("data").Text()
	body, err := base64.StdEncoding.DecodeString(text)
	if err != nil || int64(len(body)) != l.Size || l.Digest.Algorithm().FromBytes(body) != l.Digest {
		return &Error{Op: "convert", Path: path + "/data", Desc: l.Descriptor, Err: fmt.Errorf("%w: the blob is missing, and the embedded data is not its content", ErrCorrupt)}
	}
	p.blobs = append(p.blobs, embedded{desc: Plain(l.Descriptor), body: body, path: path})
	c.note(ruleFields, path+"/data", "the blob was only embedded in its descriptor: it is written as a blob")
	return nil
}

// buildManifest fills in what was waited for, and writes the document if it
// is another than before.
func (c *conversion) buildManifest(ctx context.Context, d *document) (ocispec.Descriptor, error) {
	p := c.plans[d]
	if p.built {
		return p.result, nil
	}
	if err := c.writeBlobs(ctx, p); err != nil {
		return ocispec.Descriptor{}, err
	}
	if n := p.config; n != nil {
		to := n.desc
		to.MediaType = d.config.typ.String()
		if err := writeBlob(ctx, c.store, Plain(to), n.body); err != nil {
			return ocispec.Descriptor{}, at("convert", d.path+"/config", to, err)
		}
		setContent(d.config.node, to)
		c.changes = append(c.changes, Change{Path: d.path + "/config", From: Plain(d.config.Descriptor), To: Plain(to), What: "annotations into labels"})
	}
	for _, l := range p.layers {
		setContent(l.at.node, l.job.result)
		p.edited = true
	}
	return c.finish(ctx, p)
}

// writeBlobs writes what a document names and no store has yet.
func (c *conversion) writeBlobs(ctx context.Context, p *plan) error {
	for _, b := range p.blobs {
		if err := writeBlob(ctx, c.store, b.desc, b.body); err != nil {
			return at("convert", b.path, b.desc, err)
		}
	}
	return nil
}

// finish writes an edited document, and says what it is now.
func (c *conversion) finish(ctx context.Context, p *plan) (ocispec.Descriptor, error) {
	p.built = true
	p.result = Plain(p.doc.desc)
	p.result.MediaType = p.typ.String()
	if !p.edited {
		return p.result, nil
	}
	body := p.doc.tree.Bytes()
	p.result.Digest, p.result.Size = digest.FromBytes(body), int64(len(body))
	if len(body) > maxDocumentSize {
		return ocispec.Descriptor{}, &Error{Op: "convert", Path: p.doc.path, Desc: p.result, Err: fmt.Errorf("%w: the converted document has %d bytes, and registries take %d", ErrTooLarge, len(body), maxDocumentSize)}
	}
	if err := writeBlob(ctx, c.store, p.result, body); err != nil {
		return ocispec.Descriptor{}, at("convert", p.doc.path, p.result, err)
	}
	if p.result.Digest != p.doc.desc.Digest {
		c.changes = append(c.changes, Change{Path: p.doc.path, From: Plain(p.doc.desc), To: p.result, What: strings.Join(p.what, ", ")})
	}
	return p.result, nil
}

// setContent makes a descriptor in a document name other content.
func setContent(node *jsontree.Value, to ocispec.Descriptor) {
	if v := node.Get("mediaType"); v != nil {
		if text, _ := v.Text(); text != to.MediaType {
			v.SetText(to.MediaType)
		}
	}
	if text, _ := node.Get("digest").Text(); text != to.Digest.String() {
		node.Get("digest").SetText(to.Digest.String())
	}
	if string(node.Get("size").Raw()) != fmt.Sprint(to.Size) {
		node.Get("size").SetInt(to.Size)
	}
}
