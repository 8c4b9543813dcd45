// SPDX-License-Identifier: Apache-2.0

package inspection

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// maxDocumentSize is as large as a manifest may be.
const maxDocumentSize = 4 << 20

func isSchema1(mediaType string) bool {
	return mediaType == format.MediaTypeDockerSchema1 || mediaType == format.MediaTypeDockerSchema1Signed
}

// inspectSchema1 reads a Docker V2 Schema 1 manifest, which names layers
// newest first and has its configs inside.
// Source: distribution docs, spec/deprecated-schema-v1.md.
func inspectSchema1(ctx context.Context, src content.Provider, root ocispec.Descriptor) (*Image, error) {
	wrap := func(err error) error { return &format.Error{Op: "inspect", Desc: root, Err: err} }
	if root.Size > maxDocumentSize {
		return nil, wrap(fmt.Errorf("%w: it has %d bytes", format.ErrTooLarge, root.Size))
	}
	body, err := content.ReadBlob(ctx, src, root)
	if err != nil {
		return nil, err
	}
	var manifest struct {
		SchemaVersion int    `json:"schemaVersion"`
		Architecture  string `json:"architecture"`
		Layers        []struct {
			Blob digest.Digest `json:"blobSum"`
		} `json:"fsLayers"`
		History []struct {
			Compatibility string `json:"v1Compatibility"`
		} `json:"history"`
	}
	if err := json.Unmarshal(body, &manifest); err != nil {
		return nil, wrap(fmt.Errorf("%w: %w", format.ErrCorrupt, err))
	}
	if manifest.SchemaVersion != 1 {
		return nil, wrap(fmt.Errorf("%w: its media type says schema 1, the document says %d", format.ErrAmbiguous, manifest.SchemaVersion))
	}
	doc := &Document{
		Kind: KindManifest, Format: FormatDockerV1, MediaType: root.MediaType, Digest: root.Digest,
		Size: root.Size, desc: root, body: body,
	}
	if len(manifest.History) > 0 {
		var p ocispec.Platform
		if err := json.Unmarshal([]byte(manifest.History[0].Compatibility), &p); err == nil && p.OS != "" {
			p.Architecture = manifest.Architecture
			doc.Platform = platforms.FormatAll(platforms.Normalize(p))
		}
	}
	for i := len(manifest.Layers) - 1; i >= 0; i-- {
		doc.Layers = append(doc.Layers, Blob{
			Format: FormatDockerV1, MediaType: "application/octet-stream", Digest: manifest.Layers[i].Blob, Compression: format.Gzip,
		})
	}
	image := &Image{Root: doc}
	image.summarize()
	return image, nil
}
