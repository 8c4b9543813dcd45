// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format/internal/jsontree"
)

// unmet is for what a target wants and no conversion gives. A check reports
// it. A conversion fails where the target is known to refuse such an image,
// and otherwise goes on with a note.
func (c *conversion) unmet(rule Rule, path string, desc ocispec.Descriptor, text string, args ...any) error {
	detail := fmt.Sprintf(text, args...)
	switch {
	case c.checking:
		c.findings = append(c.findings, Finding{Rule: rule.ID, Path: path, Desc: desc, Detail: printable(detail)})
	case c.profile.severity(rule.ID) == SeverityError:
		return at("convert", path, desc, fmt.Errorf("%w: %s; %s wants that %s", ErrNotFixable, detail, c.profile.Name, c.profile.Wants(rule.ID)))
	default:
		c.note(rule, path, "%s: %s may refuse it, and wants that %s", detail, c.profile.Name, c.profile.Wants(rule.ID))
	}
	return nil
}

// holdManifest holds a manifest to what the target wants beside the format,
// and mends what can be mended.
func (c *conversion) holdManifest(ctx context.Context, p *plan) error {
	c.mendSubject(p, p.doc.path)
	c.mendConfigAnnotations(p)
	for _, hold := range []func(*document) error{c.holdTypes, c.holdSubject, c.holdArtifact, c.holdLayers, c.holdSize} {
		if err := hold(p.doc); err != nil {
			return err
		}
	}
	return c.holdHistory(ctx, p.doc)
}

// mendSubject removes what a subject says beside which content it is.
func (c *conversion) mendSubject(p *plan, path string) {
	if !c.profile.holds(ruleSubjectPlatform) {
		return
	}
	platform := removeSubjectPlatform(p.doc.tree.Root)
	if platform == "" {
		return
	}
	path += "/subject/platform"
	c.broken(ruleSubjectPlatform, path, p.doc.desc, "a subject with a platform")
	c.lose(ruleSubjectPlatform, path, "platform of the subject", platform, "the target takes no platform there")
	p.did("platform of the subject removed")
}

// removeSubjectPlatform returns the platform that it removes, empty if there is
// none.
func removeSubjectPlatform(root *jsontree.Value) string {
	subject := root.Get("subject")
	if subject == nil || subject.Kind() != '{' {
		return ""
	}
	platform := subject.Get("platform")
	if platform == nil {
		return ""
	}
	raw := string(platform.Raw())
	subject.Remove("platform")
	return raw
}

// mendConfigAnnotations removes the annotations of a config's descriptor.
func (c *conversion) mendConfigAnnotations(p *plan) {
	cfg := p.doc.config
	if !c.profile.holds(ruleConfigAnnotations) || cfg == nil {
		return
	}
	v := cfg.node.Get("annotations")
	if v == nil {
		return
	}
	path := p.doc.path + "/" + cfg.field
	c.broken(ruleConfigAnnotations, path+"/annotations", cfg.Descriptor, "annotations on the config's descriptor")
	c.loseAnnotations(v.Items(), path, "the target takes no annotations there")
	cfg.node.Remove("annotations")
	p.did("annotations removed")
}

// holdTypes holds the media types in a document to having no parameter.
func (c *conversion) holdTypes(d *document) error {
	if !c.profile.holds(ruleTypeParameter) {
		return nil
	}
	type named struct{ field, name string }
	names := []named{{"artifactType", d.artifactType}}
	for _, l := range slices.Concat([]*descriptor{d.config, d.subject}, d.layers, d.manifests) {
		if l != nil {
			names = append(names, named{l.field + "/mediaType", l.MediaType}, named{l.field + "/artifactType", l.ArtifactType})
		}
	}
	for _, n := range names {
		if !strings.Contains(n.name, ";") {
			continue
		}
		if err := c.unmet(ruleTypeParameter, d.path+"/"+n.field, d.desc, "the type %q has a parameter", clip(n.name)); err != nil {
			return err
		}
	}
	return nil
}

// holdSubject holds a document to referring to what is there before it: to a
// document of the same image.
func (c *conversion) holdSubject(d *document) error {
	if !c.profile.holds(ruleSubjectPresent) || d.subject == nil {
		return nil
	}
	if slices.ContainsFunc(c.graph.unique, func(other *document) bool { return other.desc.Digest == d.subject.Digest }) {
		return nil
	}
	return c.unmet(ruleSubjectPresent, d.path+"/subject", d.subject.Descriptor, "it refers to %s, which is not part of the image", d.subject.Digest)
}

// holdArtifact holds a manifest to being that of an image, or an artifact of a
// type that the target knows.
func (c *conversion) holdArtifact(d *document) error {
	if c.profile.holds(ruleImageConfig) && !d.isImageConfig() && d.config != nil {
		if err := c.unmet(ruleImageConfig, d.path+"/config", d.config.Descriptor, "a config of type %q", clip(d.config.MediaType)); err != nil {
			return err
		}
	}
	if c.profile.holds(ruleArtifactType) && d.isArtifact() {
		return c.unmet(ruleArtifactType, d.path, d.desc, "%s", d.artifactName())
	}
	return nil
}

// holdLayers holds layers to the target's limits, and to being in a registry.
func (c *conversion) holdLayers(d *document) error {
	limits := c.profile.Limits
	var total int64
	for _, l := range d.layers {
		path := d.path + "/" + l.field
		if limits.LayerBytes > 0 && l.Size > limits.LayerBytes {
			if err := c.unmet(ruleLayerSize, path, l.Descriptor, "a layer of %d bytes", l.Size); err != nil {
				return err
			}
		}
		if len(l.URLs) > 0 && c.profile.holds(ruleLayerURLs) {
			if err := c.unmet(ruleLayerURLs, path+"/urls", l.Descriptor, "a layer that is elsewhere, at %q", clip(l.URLs[0])); err != nil {
				return err
			}
		}
		total += l.Size
	}
	if limits.Layers > 0 && len(d.layers) > limits.Layers {
		if err := c.unmet(ruleLayerCount, d.path, d.desc, "%d layers", len(d.layers)); err != nil {
			return err
		}
	}
	if limits.ImageBytes > 0 && total > limits.ImageBytes {
		return c.unmet(ruleImageSize, d.path, d.desc, "layers of %d bytes in all", total)
	}
	return nil
}

// holdSize holds a document to the target's limit. What a conversion adds to
// it is a few bytes: the document is measured as it is.
func (c *conversion) holdSize(d *document) error {
	if limit := c.profile.Limits.DocumentBytes; limit > 0 && d.desc.Size > limit {
		return c.unmet(ruleDocumentSize, d.path, d.desc, "a document of %d bytes", d.desc.Size)
	}
	return nil
}

// holdHistory holds a config that has a history to one with as many layers as
// the manifest.
func (c *conversion) holdHistory(ctx context.Context, d *document) error {
	if !c.profile.holds(ruleHistory) || !d.isImageConfig() || d.isArtifact() || c.shallow {
		return nil
	}
	cfg, err := c.readConfig(ctx, d)
	if err != nil || len(cfg.History) == 0 {
		return err
	}
	layers := 0
	for _, h := range cfg.History {
		if !h.EmptyLayer {
			layers++
		}
	}
	if layers == len(d.layers) {
		return nil
	}
	return c.unmet(ruleHistory, d.path+"/config/history", d.config.Descriptor, "a history of %d layers, and a manifest of %d", layers, len(d.layers))
}

// holdRootIndex holds an image of several platforms to those that the target
// runs. A platform that is not known may be the right one.
func (c *conversion) holdRootIndex(ctx context.Context) error {
	if len(c.profile.Platforms) == 0 {
		return nil
	}
	var have []ocispec.Platform
	unknown := false
	err := c.top.each(func(e *entry) error {
		if e.class != classImage || e.out {
			return nil
		}
		p, ok, err := c.entryPlatform(ctx, e)
		if unknown = unknown || !ok; ok {
			have = append(have, p)
		}
		return err
	})
	if err != nil || unknown {
		return err
	}
	return c.holdPlatforms(have)
}

// entryPlatform is the platform of an image in an index: what the index says,
// or else the config. Where the image loses its index, the config has the say.
func (c *conversion) entryPlatform(ctx context.Context, e *entry) (ocispec.Platform, bool, error) {
	alone := c.opts.Single || c.profile.Index == IndexForbidden
	said := e.platform != nil && e.platform.OS != ""
	switch {
	case said && (!alone || e.child == nil):
		return *e.platform, true, nil
	case e.child == nil:
		return ocispec.Platform{}, false, nil
	}
	return c.platformOf(ctx, e.child)
}

// holdRootManifest holds an image of one platform to those that the target runs.
func (c *conversion) holdRootManifest(ctx context.Context, d *document) error {
	if len(c.profile.Platforms) == 0 || d.isArtifact() || c.shallow {
		return nil
	}
	have, ok, err := c.platformOf(ctx, d)
	if err != nil || !ok {
		return err
	}
	return c.holdPlatforms([]ocispec.Platform{have})
}

func (c *conversion) holdPlatforms(have []ocispec.Platform) error {
	var names []string
	for _, p := range have {
		names = append(names, platforms.FormatAll(p))
	}
	if len(names) == 0 {
		return nil // what holds no image is found elsewhere
	}
	for _, want := range c.profile.Platforms {
		if slices.ContainsFunc(have, func(p ocispec.Platform) bool { return runs(want, p) }) {
			continue
		}
		if err := c.unmet(rulePlatformNeeded, "", c.graph.root.desc, "an image for %s", strings.Join(names, ", ")); err != nil {
			return err
		}
	}
	return nil
}

// asImage writes an attestation manifest that is an OCI artifact as BuildKit
// did before it wrote artifacts: with an image's config, without a subject.
// Source: attestationsConfig in BuildKit's exporter/containerimage/writer.go.
func (c *conversion) asImage(p *plan) error {
	d := p.doc
	if c.profile.takesForm(FormArtifact) || !d.isArtifact() || d.config == nil {
		return nil
	}
	c.broken(ruleAttestationForm, d.path, d.desc, "an attestation that is an OCI artifact")
	c.note(ruleAttestationForm, d.path, "the attestation is written with an image's config, without artifactType and subject: %s takes no other", c.profile.Name)
	root := d.tree.Root
	root.Remove("artifactType")
	root.Remove("subject")
	d.artifactType, d.subject = "", nil
	body, err := attestationConfig(d.layers)
	if err != nil {
		return at("convert", d.path, d.desc, err)
	}
	to := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(body), Size: int64(len(body))}
	for _, it := range root.Items() {
		if it.Name == "config" {
			d.tree.Replace(root, it, jsontree.Object{
				{Name: "mediaType", Value: to.MediaType},
				{Name: "digest", Value: to.Digest.String()},
				{Name: "size", Value: to.Size},
			})
		}
	}
	d.config = &descriptor{Descriptor: to, node: root.Get("config"), field: "config"}
	d.config.typ, _ = ParseMediaType(to.MediaType)
	p.blobs = append(p.blobs, embedded{desc: to, body: body, path: d.path + "/config"})
	p.did("attestation written as an image")
	return nil
}

// attestationConfig is the config of an attestation manifest that is written
// as an image, the same bytes that BuildKit writes.
func attestationConfig(statements []*descriptor) ([]byte, error) {
	img := ocispec.Image{
		Platform: ocispec.Platform{OS: "unknown", Architecture: "unknown"},
		RootFS:   ocispec.RootFS{Type: "layers"},
	}
	for _, s := range statements {
		img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, s.Digest)
	}
	return json.Marshal(img)
}
