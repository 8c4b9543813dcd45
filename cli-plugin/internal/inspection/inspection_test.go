// SPDX-License-Identifier: Apache-2.0

package inspection

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
)

// place is a store with referrers.
type place struct {
	*formattest.Store
	referrers map[digest.Digest][]ocispec.Descriptor
	err       error
}

func (p place) Referrers(_ context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return p.referrers[subject.Digest], p.err
}

func TestHumanSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 1050: "1.1 kB", 47_100_000: "47.1 MB",
		999_949: "999.9 kB", 999_950: "1.0 MB", 1 << 62: "4.6 EB",
	} {
		if got := HumanSize(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestStatementName(t *testing.T) {
	for in, want := range map[string]string{
		"https://spdx.dev/Document":            "SPDX SBOM",
		"https://spdx.dev/Document/v2.3":       "SPDX SBOM v2.3",
		"https://slsa.dev/provenance/v0.2":     "SLSA provenance v0.2",
		"https://slsa.dev/provenance/v1":       "SLSA provenance v1",
		"https://cyclonedx.org/bom":            "CycloneDX SBOM",
		"https://example.com/something/own":    "https://example.com/something/own",
		"":                                     "in-toto statement",
		"https://in-toto.io/attestation/vulns": "vulnerability scan",
	} {
		if got := statementName(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// The platform of a single manifest is in its config alone.
func TestPlatformFromConfig(t *testing.T) {
	b := formattest.Builder{Format: format.Docker}
	store := formattest.NewStore()
	root := b.Manifest("linux/arm/v7", b.Layer(format.Gzip, "a=b")).Put(store)
	image, err := Inspect(context.Background(), place{Store: store}, root)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(image.Summary, "Docker V2.2 manifest, linux/arm/v7, ") {
		t.Errorf("summary: %s", image.Summary)
	}
}

func TestSchema1(t *testing.T) {
	body := `{"schemaVersion":1,"name":"app","tag":"1","architecture":"amd64",` +
		`"fsLayers":[{"blobSum":"sha256:bb"},{"blobSum":"sha256:aa"}],` +
		`"history":[{"v1Compatibility":"{\"os\":\"linux\"}"},{"v1Compatibility":"{}"}]}`
	store := formattest.NewStore()
	root := store.Put(format.MediaTypeDockerSchema1Signed, []byte(body))
	image, err := Inspect(context.Background(), place{Store: store}, root)
	if err != nil {
		t.Fatal(err)
	}
	if image.Format != "docker-schema1" {
		t.Errorf("the format is %s", image.Format)
	}
	if want := "Docker V2.1 manifest, linux/amd64, "; !strings.HasPrefix(image.Summary, want) {
		t.Errorf("summary: %s", image.Summary)
	}
	if got := image.Root.Layers[0].Digest; got != "sha256:aa" {
		t.Errorf("the oldest layer is %s", got)
	}
}

func TestReferrers(t *testing.T) {
	b := formattest.Builder{Format: format.OCI}
	store := formattest.NewStore()
	subject := b.Manifest("linux/amd64", b.Layer(format.Gzip, "a=b"))
	root := subject.Put(store)
	sbom := b.Attestation(true, subject, "https://spdx.dev/Document").Put(store)
	src := place{Store: store, referrers: map[digest.Digest][]ocispec.Descriptor{root.Digest: {sbom}}}
	image, err := Inspect(context.Background(), src, root)
	if err != nil {
		t.Fatal(err)
	}
	if len(image.Root.Referrers) != 1 || image.Attestations != 1 {
		t.Fatalf("%d referrers, %d attestations", len(image.Root.Referrers), image.Attestations)
	}
	if got := image.Root.Referrers[0].Layers[0].Statement; got != "SPDX SBOM" {
		t.Errorf("the statement is %q", got)
	}

	if image.Root.Referrers[0].Body() != nil || image.Root.Body() == nil {
		t.Error("a referrer's bytes are kept, or the image's are not")
	}
	if image.ReferrersUnknown || strings.Contains(image.Summary, "unknown") {
		t.Errorf("summary: %s", image.Summary)
	}

	src.err = errors.New("not now")
	image, err = Inspect(context.Background(), src, root)
	if err != nil {
		t.Fatal(err)
	}
	if len(image.Warnings) != 1 || !strings.HasSuffix(image.Warnings[0], "not now") {
		t.Errorf("warnings: %q", image.Warnings)
	}
	if !image.ReferrersUnknown || !strings.Contains(image.Summary, ", referrers unknown, ") {
		t.Errorf("summary: %s", image.Summary)
	}
}

// What cannot be read is an error that says where, and nothing else comes.
func TestCorruptConfig(t *testing.T) {
	b := formattest.Builder{Format: format.OCI}
	store := formattest.NewStore()
	blob := b.Manifest("linux/amd64", b.Layer(format.Gzip, "a=b"))
	root := blob.Put(store)
	config := blob.Children[0]
	store.PutAs(config.Desc.Digest, []byte(strings.Repeat("x", len(config.Body))))
	_, err := Inspect(context.Background(), place{Store: store}, root)
	var where *format.Error
	if !errors.Is(err, format.ErrCorrupt) || !errors.As(err, &where) || where.Path != "/config" {
		t.Errorf("got %v", err)
	}
}

// Each blob counts once, however often it is named.
func TestSizeCountsOnce(t *testing.T) {
	b := formattest.Builder{Format: format.OCI}
	store := formattest.NewStore()
	blob := b.Image("linux/amd64", "linux/arm64")
	root := blob.Put(store)
	image, err := Inspect(context.Background(), place{Store: store}, root)
	if err != nil {
		t.Fatal(err)
	}
	var want int64
	for _, d := range store.Digests() {
		body, _ := store.Body(d)
		want += int64(len(body))
	}
	if image.Size != want {
		t.Errorf("got %d, want %d", image.Size, want)
	}
	if got := fmt.Sprint(image.Platforms); got != "[linux/amd64 linux/arm64]" {
		t.Errorf("platforms %s", got)
	}
}
