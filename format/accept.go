// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// AcceptsLayers reports whether p accepts every layer of the image at root in
// the compression that it has, foreign ones aside. It reads documents only. A
// builder that is told so can recompress what Convert would have to.
func (p Profile) AcceptsLayers(ctx context.Context, src content.Provider, root ocispec.Descriptor) (bool, error) {
	for node, err := range Walk(ctx, src, root) {
		if err != nil {
			return false, err
		}
		if t := node.Type; t.Kind == KindLayer && !t.Foreign && !p.Accepts(p.Target(t.Format), t.Compression) {
			return false, nil
		}
	}
	return true, nil
}
