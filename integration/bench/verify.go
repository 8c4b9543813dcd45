// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// verify looks at what a tool wrote: all of it must be there, in the types
// that were asked for. It returns how large the layers are.
func verify(ctx context.Context, m *image, dst string, want outcome) (int64, error) {
	repo, tag, err := parseReference(m.repo.client, dst)
	if err != nil {
		return 0, err
	}
	body, mediaType, err := repo.document(ctx, tag)
	if err != nil {
		return 0, err
	}
	if got := digest.FromBytes(body); want == isCopy && got != m.root.Digest {
		return 0, fmt.Errorf("the copy is %s, not %s", got, m.root.Digest)
	}
	v := verifier{repo: repo, format: format.OCI}
	if want == isDocker {
		v.format = format.Docker
	}
	err = v.document(ctx, body, mediaType)
	return v.layers, err
}

// verifier reads what is below a root.
type verifier struct {
	repo   repository
	format format.Format
	layers int64
}

func (v *verifier) document(ctx context.Context, body []byte, mediaType string) error {
	var doc struct {
		MediaType string               `json:"mediaType"`
		Manifests []ocispec.Descriptor `json:"manifests"`
		Config    *ocispec.Descriptor  `json:"config"`
		Layers    []ocispec.Descriptor `json:"layers"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return err
	}
	if doc.MediaType != mediaType {
		return fmt.Errorf("a document says that it is %q, and the registry %q", doc.MediaType, mediaType)
	}
	if err := v.typed(mediaType); err != nil {
		return err
	}
	for _, desc := range doc.Manifests {
		if err := v.manifest(ctx, desc); err != nil {
			return err
		}
	}
	if doc.Config != nil {
		if err := v.blob(ctx, *doc.Config); err != nil {
			return err
		}
	}
	for _, desc := range doc.Layers {
		if err := v.blob(ctx, desc); err != nil {
			return err
		}
		v.layers += desc.Size
	}
	return nil
}

// manifest verifies what an index names.
func (v *verifier) manifest(ctx context.Context, desc ocispec.Descriptor) error {
	body, mediaType, err := v.repo.document(ctx, desc.Digest.String())
	if err != nil {
		return err
	}
	if mediaType != desc.MediaType {
		return fmt.Errorf("%s is %s to the index, and %s to the registry", desc.Digest, desc.MediaType, mediaType)
	}
	return v.document(ctx, body, mediaType)
}

func (v *verifier) blob(ctx context.Context, desc ocispec.Descriptor) error {
	if err := v.typed(desc.MediaType); err != nil {
		return err
	}
	return v.repo.has(ctx, desc)
}

// typed fails for a media type of the other format.
func (v *verifier) typed(mediaType string) error {
	if m, ok := format.ParseMediaType(mediaType); !ok || m.Format != v.format || !m.Standard() {
		return fmt.Errorf("%q is no media type of %s", mediaType, v.format)
	}
	return nil
}
