// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// maxDocument is the size that a manifest, an index or a configuration may
// have: what registries accept.
const maxDocument = 4 << 20

// document is what this package wants to know of a manifest or an index.
type document struct {
	MediaType    string              `json:"mediaType"`
	ArtifactType string              `json:"artifactType"`
	Config       *ocispec.Descriptor `json:"config"`
	Layers       jsontext.Value      `json:"layers"`
	FSLayers     jsontext.Value      `json:"fsLayers"`
	Manifests    jsontext.Value      `json:"manifests"`
	Subject      *ocispec.Descriptor `json:"subject"`
	Annotations  map[string]string   `json:"annotations"`
}

// decode parses strictly: exact member names, none twice, valid UTF-8, nothing
// after the value. what names the document in errors.
func decode(body []byte, what string, v any) error {
	switch err := json.Unmarshal(body, v); {
	case err == nil:
		return nil
	case errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Errorf("%s: %w: %w", what, format.ErrAmbiguous, err)
	default:
		return fmt.Errorf("%s: %w: %w", what, format.ErrCorrupt, err)
	}
}

// encode is the inverse of decode: compact, map keys sorted, and without
// escapes that JSON does not ask for.
func encode(v any) ([]byte, error) {
	return json.Marshal(v, json.Deterministic(true))
}

// readDocument reads a manifest, an index or a configuration whole, and
// compares it with its digest.
func readDocument(ctx context.Context, src content.Provider, desc ocispec.Descriptor) ([]byte, error) {
	blob, err := src.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	if blob.Size() > maxDocument {
		return nil, fmt.Errorf("document %s: %w: %d bytes, at most %d are read",
			desc.Digest, format.ErrTooLarge, blob.Size(), maxDocument)
	}
	body := make([]byte, blob.Size())
	if err := readFullAt(blob, body); err != nil {
		return nil, err
	}
	return body, nil
}

// parse decodes a manifest or an index.
func parse(body []byte, what string) (document, error) {
	var doc document
	if err := decode(body, what, &doc); err != nil {
		return document{}, err
	}
	if doc.Manifests != nil && (doc.Layers != nil || doc.FSLayers != nil || doc.Config != nil) {
		return document{}, fmt.Errorf("%s: %w: it reads as an index and as a manifest", what, format.ErrAmbiguous)
	}
	return doc, nil
}

// mediaType is what the document says it is or, as OCI 1.0 documents may leave
// it out, what it looks like.
func (d document) mediaType() (string, error) {
	switch {
	case d.MediaType != "":
		return d.MediaType, nil
	case d.Manifests != nil:
		return ocispec.MediaTypeImageIndex, nil
	case d.Config != nil && d.Config.Digest != "": // that of an image configuration is another thing
		return ocispec.MediaTypeImageManifest, nil
	case d.FSLayers != nil:
		return format.MediaTypeDockerSchema1Signed, nil
	}
	return "", errNoDocument
}

// errNoDocument is a blob that a digest names and that is no image.
var errNoDocument = fmt.Errorf("neither a manifest nor an index%.0w", errdefs.ErrInvalidArgument)

// isObject reports whether body looks like a JSON object.
func isObject(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{"))
}

// artifactType is the type of a referrer as a referrers list states it: that
// of the manifest, or else of its config (distribution-spec, "Listing
// Referrers").
func (d document) artifactType() string {
	if d.ArtifactType == "" && d.Config != nil {
		return d.Config.MediaType
	}
	return d.ArtifactType
}
