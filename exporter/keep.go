// SPDX-License-Identifier: Apache-2.0

package exporter

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/containerd"
)

// labelContent begins the label by which a document keeps what it names from
// being collected. BuildKit's history keeps what it reaches by such labels.
// https://github.com/containerd/containerd/blob/main/docs/garbage-collection.md
const labelContent = "containerd.io/gc.ref.content."

// keep gives every document of the emission the labels that BuildKit gives
// its own, and measures the emission. A document may have been in the store
// without them: another client's pull of the same bytes.
func (i *instance) keep(ctx context.Context, e *emitted) error {
	e.blobs = map[digest.Digest]bool{}
	for _, root := range append([]ocispec.Descriptor{e.result.Root}, e.result.Referrers...) {
		for node, err := range format.Walk(ctx, e.content, root) {
			if err != nil {
				return err
			}
			if e.blobs[node.Desc.Digest] {
				continue
			}
			e.blobs[node.Desc.Digest] = true
			if !node.Type.Foreign {
				e.size += node.Desc.Size
			}
			if node.Body == nil {
				continue
			}
			if err := i.label(ctx, e, node); err != nil {
				return err
			}
		}
	}
	return nil
}

// document is what a manifest or an index names.
type document struct {
	Config    *ocispec.Descriptor  `json:"config"`
	Layers    []ocispec.Descriptor `json:"layers"`
	Manifests []ocispec.Descriptor `json:"manifests"`
}

// label labels one document with what it names, in BuildKit's numbers: the
// config is 0 and layers follow, or an index's manifests from 0. The root
// names its referrers too, which nothing else in the store would.
func (i *instance) label(ctx context.Context, e *emitted, node format.Node) error {
	var doc document
	if err := json.Unmarshal(node.Body, &doc); err != nil {
		return fmt.Errorf("label %s: %w", node.Desc.Digest, err)
	}
	children := doc.Manifests
	if doc.Config != nil {
		children = append([]ocispec.Descriptor{*doc.Config}, doc.Layers...)
	}
	labels := map[string]string{}
	for n, child := range children {
		labels[fmt.Sprintf("%s%d", labelContent, n)] = child.Digest.String()
	}
	if node.Desc.Digest == e.result.Root.Digest {
		if doc.Config != nil {
			e.configDigest = doc.Config.Digest
		}
		for n, referrer := range e.result.Referrers {
			labels[fmt.Sprintf("%sreferrer.%d", labelContent, n)] = referrer.Digest.String()
		}
	}
	return containerd.AddLabels(ctx, i.store.writer.ContentStore(), node.Desc.Digest, labels)
}
