// SPDX-License-Identifier: Apache-2.0

package inspection

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/manifest-format/manifest-format/format"
)

// BuildKit's annotations on the descriptor of an attestation manifest, and
// in-toto's on that of a statement.
// Source: moby/buildkit docs/attestations/attestation-storage.md.
const (
	annotationReferenceType   = "vnd.docker.reference.type"
	annotationReferenceDigest = "vnd.docker.reference.digest"
	annotationPredicateType   = "in-toto.io/predicate-type"
	attestationManifest       = "attestation-manifest"
	mediaTypeInToto           = "application/vnd.in-toto+json"
)

// maxConfigSize is as much of a config as is read for its platform.
const maxConfigSize = 8 << 20

// manyReads is how many things are asked of a registry at once.
const manyReads = 8

// read walks the graph below root, of which all but what is missing is there.
func read(ctx context.Context, src content.Provider, root ocispec.Descriptor, missing map[digest.Digest]bool) (*Document, error) {
	byPath := map[string]*Document{}
	walk := format.Walk
	if len(missing) > 0 {
		walk = format.WalkHeld
	}
	for node, err := range walk(ctx, src, root) {
		if err != nil {
			return nil, err
		}
		parent, field := split(node.Path)
		owner := byPath[parent]
		switch {
		case node.Body != nil:
			doc, err := newDocument(node)
			if err != nil {
				return nil, err
			}
			byPath[node.Path] = doc
			if owner != nil {
				owner.Manifests = append(owner.Manifests, doc)
			}
		case owner == nil:
			return nil, fmt.Errorf("%s is no image", root.MediaType)
		case field == "config":
			config := newBlob(node)
			config.Missing = missing[node.Desc.Digest]
			owner.Config = &config
		case field == "layers":
			layer := newBlob(node)
			layer.Missing = missing[node.Desc.Digest]
			owner.Layers = append(owner.Layers, layer)
		default:
			doc := unread(node)
			doc.Missing = missing[node.Desc.Digest]
			owner.Manifests = append(owner.Manifests, doc)
		}
	}
	top := byPath[""]
	top.each(func(d *Document) { d.Format = formatOf(d) })
	return top, nil
}

// split takes "/manifests/1/layers/0" apart: the document that holds it, and
// which of its fields it is in.
func split(path string) (parent, field string) {
	steps := strings.Split(path, "/")
	if n := len(steps); n >= 3 && steps[n-1] != "config" {
		return strings.Join(steps[:n-2], "/"), steps[n-2]
	} else if n >= 2 {
		return strings.Join(steps[:n-1], "/"), steps[n-1]
	}
	return "", ""
}

// newDocument reads what Walk does not say of a document.
func newDocument(node format.Node) (*Document, error) {
	var body struct {
		ArtifactType string              `json:"artifactType"`
		Annotations  map[string]string   `json:"annotations"`
		Config       *ocispec.Descriptor `json:"config"`
		Subject      *ocispec.Descriptor `json:"subject"`
	}
	if err := json.Unmarshal(node.Body, &body); err != nil {
		return nil, fmt.Errorf("%s: %w", node.Desc.Digest, err)
	}
	doc := &Document{
		Path: node.Path, Kind: KindManifest, Format: string(node.Type.Format),
		MediaType: node.Type.String(), Digest: node.Desc.Digest, Size: node.Desc.Size,
		Annotations: body.Annotations, desc: node.Desc, body: node.Body,
	}
	if p := node.Desc.Platform; p != nil {
		doc.Platform = platforms.FormatAll(*p)
	}
	configType := format.MediaType{Kind: format.KindConfig}
	if body.Config != nil {
		configType, _ = format.ParseMediaType(body.Config.MediaType)
	}
	switch {
	case node.Type.Kind == format.KindIndex:
		doc.Kind = KindIndex
	case node.Desc.Annotations[annotationReferenceType] == attestationManifest:
		doc.Kind = KindAttestation
		doc.Platform = "" // unknown/unknown
		doc.speaksOf = digest.Digest(node.Desc.Annotations[annotationReferenceDigest])
	case body.ArtifactType != "" || configType.Kind != format.KindConfig:
		doc.Kind = KindArtifact
	}
	if doc.Kind == KindArtifact || doc.Kind == KindAttestation {
		doc.ArtifactType = body.ArtifactType
		if doc.ArtifactType == "" && doc.Kind == KindArtifact {
			doc.ArtifactType = body.Config.MediaType
		}
	}
	return doc, nil
}

// unread is an entry of an index that is no document of an image, or one that
// is not there.
func unread(node format.Node) *Document {
	doc := &Document{
		Path: node.Path, Kind: KindArtifact, MediaType: node.Desc.MediaType, Digest: node.Desc.Digest,
		Size: node.Desc.Size, ArtifactType: node.Desc.ArtifactType, desc: node.Desc,
	}
	switch {
	case node.Desc.Annotations[annotationReferenceType] == attestationManifest:
		doc.Kind, doc.Format = KindAttestation, string(node.Type.Format)
		doc.speaksOf = digest.Digest(node.Desc.Annotations[annotationReferenceDigest])
	case node.Type.Kind == format.KindIndex:
		doc.Kind, doc.Format = KindIndex, string(node.Type.Format)
	case node.Type.Kind == format.KindManifest && node.Desc.ArtifactType == "":
		doc.Kind, doc.Format = KindManifest, string(node.Type.Format)
		if p := node.Desc.Platform; p != nil {
			doc.Platform = platforms.FormatAll(*p)
		}
	}
	return doc
}

func newBlob(node format.Node) Blob {
	b := Blob{
		Format: string(node.Type.Format), MediaType: node.Desc.MediaType, Digest: node.Desc.Digest, Size: node.Desc.Size,
		Compression: node.Type.Compression, Foreign: node.Type.Foreign,
	}
	if node.Desc.MediaType == mediaTypeInToto {
		b.PredicateType = node.Desc.Annotations[annotationPredicateType]
		b.Statement = statementName(b.PredicateType)
	}
	return b
}

// readPlatforms reads the configs of images that nothing says the platform of.
func readPlatforms(ctx context.Context, src content.Provider, top *Document) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(manyReads)
	top.each(func(d *Document) {
		if d.Kind != KindManifest || d.Platform != "" || d.Config == nil || d.Config.Missing || d.Config.Size > maxConfigSize {
			return
		}
		group.Go(func() error {
			config := ocispec.Descriptor{MediaType: d.Config.MediaType, Digest: d.Config.Digest, Size: d.Config.Size}
			platform, err := platformOf(ctx, src, config)
			if err != nil {
				return &format.Error{Op: "inspect", Path: d.Path + "/config", Desc: config, Err: err}
			}
			d.Platform = platform
			return nil
		})
	})
	return group.Wait()
}

func platformOf(ctx context.Context, src content.Provider, config ocispec.Descriptor) (string, error) {
	body, err := content.ReadBlob(ctx, src, config)
	if err != nil {
		return "", err
	}
	if config.Digest.Algorithm().FromBytes(body) != config.Digest {
		return "", fmt.Errorf("%w: it does not hash to its digest", format.ErrCorrupt)
	}
	var p ocispec.Platform
	if err := json.Unmarshal(body, &p); err != nil {
		return "", fmt.Errorf("%w: the config is no JSON object", format.ErrCorrupt)
	}
	if p.OS == "" || p.Architecture == "" {
		return "", nil
	}
	return platforms.FormatAll(platforms.Normalize(p)), nil
}

// readReferrers asks for what refers to the images and indexes. That it fails
// is a warning: the image itself was read.
func readReferrers(ctx context.Context, src Source, top *Document) []string {
	var subjects []*Document
	top.each(func(d *Document) {
		if d.Kind == KindIndex || d.Kind == KindManifest {
			subjects = append(subjects, d)
		}
	})
	warnings := make([]string, len(subjects))
	var group errgroup.Group
	group.SetLimit(manyReads)
	for i, d := range subjects {
		group.Go(func() error {
			found, err := src.Referrers(ctx, d.desc)
			if err != nil {
				warnings[i] = fmt.Sprintf("what refers to %s is not known: %v", d.Digest, err)
				return nil
			}
			for _, desc := range found {
				doc, err := read(ctx, src, desc, nil)
				if err != nil {
					warnings[i] = fmt.Sprintf("a referrer of %s cannot be read: %v", d.Digest, err)
					continue
				}
				doc.each(func(d *Document) { d.body = nil }) // no one asks for it, and there may be many
				d.Referrers = append(d.Referrers, doc)
			}
			return nil
		})
	}
	_ = group.Wait() // the errors are in warnings
	var said []string
	for _, w := range warnings {
		if w != "" {
			said = append(said, w)
		}
	}
	return said
}

// placeAttestations moves attestation manifests from the index to the images
// that they speak of. One that speaks of none stays where it is.
func placeAttestations(top *Document) {
	images := map[digest.Digest]*Document{}
	top.each(func(d *Document) {
		if d.Kind == KindManifest {
			images[d.Digest] = d
		}
	})
	top.each(func(d *Document) {
		var rest []*Document
		for _, m := range d.Manifests {
			if image := images[m.speaksOf]; m.Kind == KindAttestation && image != nil {
				image.Attestations = append(image.Attestations, m)
			} else {
				rest = append(rest, m)
			}
		}
		d.Manifests = rest
	})
}
