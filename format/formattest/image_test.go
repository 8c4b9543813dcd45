// SPDX-License-Identifier: Apache-2.0

package formattest_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
)

// Whatever the style, a document says the same.
func TestStylesSayTheSame(t *testing.T) {
	build := func(style formattest.Style) formattest.Blob {
		b := formattest.Builder{Format: format.OCI, Style: style, Annotations: map[string]string{"größe": "<1 &\n世界🐳"}}
		return b.Index(b.Manifest("linux/arm64/v8", b.Layer(format.Gzip, "a=1")).Annotated("a/b", "c"))
	}
	seen := map[digest.Digest]string{}
	for name, style := range formattest.Styles() {
		var plain, styled ocispec.Index
		body := build(style).Body
		if err := json.Unmarshal(body, &styled); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, body)
		}
		if err := json.Unmarshal(build(formattest.Style{}).Body, &plain); err != nil {
			t.Fatal(err)
		}
		// The manifest's own bytes differ, and so does what names it.
		plain.Manifests[0].Digest, plain.Manifests[0].Size = styled.Manifests[0].Digest, styled.Manifests[0].Size
		if diff := cmp.Diff(plain, styled); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if other := seen[digest.FromBytes(body)]; other != "" {
			t.Errorf("styles %s and %s are one", name, other)
		}
		seen[digest.FromBytes(body)] = name
	}
}

func TestCompactIsWhatGoWrites(t *testing.T) {
	b := formattest.Builder{Format: format.Docker}
	image := b.Image("linux/amd64")
	var index ocispec.Index
	if err := json.Unmarshal(image.Body, &index); err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(image.Body)); diff != "" {
		t.Error(diff)
	}
}

func TestLayerDecompressesToDiffID(t *testing.T) {
	for _, c := range []format.Compression{format.Uncompressed, format.Gzip, format.Zstd} {
		layer := formattest.Builder{Format: format.OCI}.Layer(c, "a=1", "b/c=2")
		plain, got, err := formattest.Decompress(layer.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got != c || digest.FromBytes(plain) != layer.DiffID {
			t.Errorf("%s: read as %s, %s is not %s", c, got, digest.FromBytes(plain), layer.DiffID)
		}
	}
}

func TestPutStoresEverything(t *testing.T) {
	b := formattest.Builder{Format: format.OCI}
	image := b.Manifest("linux/amd64", b.Layer(format.Gzip, "a=1"))
	s := formattest.NewStore()
	b.Index(image, b.Attestation(true, image, "https://spdx.dev/Document")).Put(s)
	// index, manifest, config, layer, attestation manifest, its config, one statement
	if got := len(s.Digests()); got != 7 {
		t.Errorf("stored %d blobs, want 7", got)
	}
}
