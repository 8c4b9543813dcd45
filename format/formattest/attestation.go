// SPDX-License-Identifier: Apache-2.0

package formattest

import (
	"encoding/json"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// Attestation returns an attestation manifest as BuildKit writes it beside
// image, with a statement of each predicate type. As an artifact it has the
// empty config, an artifact type and a subject; otherwise a config and layers,
// as an image would. Source: commitAttestationsManifest in BuildKit's
// exporter/containerimage/writer.go.
func (b Builder) Attestation(artifact bool, image Blob, predicateTypes ...string) Blob {
	var statements []Blob
	for _, predicateType := range predicateTypes {
		statements = append(statements, b.statement(image, predicateType))
	}
	unknown := ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: b.mediaType(format.KindManifest),
		Layers:    descriptors(statements),
	}
	var config Blob
	if artifact {
		config = newContent(ocispec.MediaTypeEmptyJSON, []byte("{}"))
		config.Desc.Data = config.Body
		manifest.ArtifactType = "application/vnd.docker.attestation.manifest.v1+json"
		manifest.Subject = &ocispec.Descriptor{
			MediaType: image.Desc.MediaType, Digest: image.Desc.Digest, Size: image.Desc.Size,
		}
	} else {
		img := ocispec.Image{Platform: unknown, RootFS: ocispec.RootFS{Type: "layers"}}
		for _, statement := range statements {
			img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, statement.DiffID)
		}
		config = b.document(format.KindConfig, img, nil)
		config.Desc.Annotations = nil
	}
	manifest.Config = config.Desc
	doc := b.document(format.KindManifest, manifest, append([]Blob{config}, statements...))
	doc.Desc.Platform = &unknown
	return doc.
		Annotated("vnd.docker.reference.type", "attestation-manifest").
		Annotated("vnd.docker.reference.digest", image.Desc.Digest.String())
}

func (b Builder) statement(image Blob, predicateType string) Blob {
	body, err := json.Marshal(map[string]any{
		"_type":         "https://in-toto.io/Statement/v0.1",
		"predicateType": predicateType,
		"subject":       []any{map[string]any{"name": "app", "digest": map[string]string{"sha256": image.Desc.Digest.Encoded()}}},
		"predicate":     map[string]string{},
	})
	if err != nil {
		panic(err)
	}
	statement := newContent("application/vnd.in-toto+json", body)
	statement.DiffID = digest.FromBytes(body)
	if b.Format == format.OCI {
		statement = statement.Annotated("in-toto.io/predicate-type", predicateType)
	}
	return statement
}
