// SPDX-License-Identifier: Apache-2.0

package location

import (
	"context"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format/registry"
)

// FetchForeign opens the content of a foreign layer at one of its URLs. No
// credentials are sent to any of them. The caller closes the reader.
func (o Options) FetchForeign(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	return registry.FetchForeign(ctx, desc, o.registry())
}
