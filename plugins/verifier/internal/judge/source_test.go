// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// TestProvider has containerd's client be asked for content by its digest, and
// never at an address out of a document.
func TestProvider(t *testing.T) {
	body := "{}" + strings.Repeat(" ", 100)
	src := provider{remotes.FetcherFunc(func(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
		if len(desc.URLs) > 0 || desc.Annotations != nil || desc.Data != nil {
			t.Errorf("it is asked for %+v", desc)
		}
		return io.NopCloser(strings.NewReader(body)), nil
	})}
	desc := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(body), Size: int64(len(body)),
		URLs: []string{"http://169.254.169.254/"}, Annotations: map[string]string{"a": "b"}, Data: []byte("{}"),
	}
	ra, err := src.ReaderAt(t.Context(), desc)
	if err != nil || ra.Size() != desc.Size {
		t.Fatalf("it has %d bytes: %v", ra.Size(), err)
	}
	// Content that has no end is not read to it.
	desc.Size = 10
	if ra, err = src.ReaderAt(t.Context(), desc); err != nil || ra.Size() != desc.Size+1 {
		t.Errorf("of more than there should be %d bytes are read: %v", ra.Size(), err)
	}
	if _, err := format.Check(t.Context(), src, desc, format.ProfileOCI()); !errors.Is(err, format.ErrCorrupt) {
		t.Errorf("content that is too long is %v", err)
	}
}
