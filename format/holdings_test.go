// SPDX-License-Identifier: Apache-2.0

package format_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
)

// pulled is an index of two platforms, each attested, whose content is there
// as a pull of the first platform left it.
func pulled(t *testing.T) (s *formattest.Store, root ocispec.Descriptor) {
	t.Helper()
	b := formattest.Builder{Format: format.OCI}
	amd := b.Manifest("linux/amd64", b.Layer(format.Gzip, "a"), b.Layer(format.Gzip, "b"))
	arm := b.Manifest("linux/arm64", b.Layer(format.Gzip, "a"), b.Layer(format.Gzip, "c"))
	attests := b.Attestation(false, amd, "https://slsa.dev/provenance/v1")
	unpulled := b.Attestation(false, arm, "https://slsa.dev/provenance/v1")
	index := b.Index(amd, arm, attests, unpulled)
	s = formattest.NewStore()
	root = index.Put(s)
	for _, gone := range []formattest.Blob{arm.Children[2], attests.Children[1], unpulled} {
		if err := s.Delete(t.Context(), gone.Desc.Digest); err != nil {
			t.Fatal(err)
		}
	}
	return s, root
}

func TestHoldings(t *testing.T) {
	s, root := pulled(t)
	holdings, err := format.Holdings(t.Context(), s, root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range holdings {
		line := h.Path + " "
		switch {
		case h.About != "":
			line += "attestation"
		case h.Platform != nil:
			line += platforms.FormatAll(*h.Platform)
		}
		for _, m := range h.Missing {
			line += " " + m.MediaType[strings.LastIndexByte(m.MediaType, '.')+1:]
		}
		got = append(got, line)
	}
	want := []string{
		"/manifests/0 linux/amd64",
		"/manifests/1 linux/arm64 tar+gzip",
		"/manifests/2 attestation in-toto+json",
		"/manifests/3 attestation v1+json",
	}
	for i, line := range got {
		if i >= len(want) || !strings.HasPrefix(line, want[i]) || strings.Count(line, " ") != strings.Count(want[i], " ") {
			t.Errorf("holding %d is %q", i, line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("found %q", got)
	}
}

// TestHoldingsOfOne looks at an image without an index, whose platform is in
// its config alone.
func TestHoldingsOfOne(t *testing.T) {
	b := formattest.Builder{Format: format.Docker}
	image := b.Manifest("linux/arm64", b.Layer(format.Gzip, "a"))
	s := formattest.NewStore()
	root := image.Put(s)
	holdings, err := format.Holdings(t.Context(), s, root)
	if err != nil || len(holdings) != 1 || !holdings[0].Whole() || holdings[0].Platform == nil || holdings[0].Platform.Architecture != "arm64" {
		t.Errorf("holdings are %+v, %v", holdings, err)
	}
	if err := s.Delete(t.Context(), image.Children[0].Desc.Digest); err != nil {
		t.Fatal(err)
	}
	holdings, err = format.Holdings(t.Context(), s, root)
	if err != nil || len(holdings) != 1 || holdings[0].Whole() || holdings[0].Platform != nil {
		t.Errorf("without its config, holdings are %+v, %v", holdings, err)
	}
	if err := s.Delete(t.Context(), root.Digest); err != nil {
		t.Fatal(err)
	}
	if _, err := format.Holdings(t.Context(), s, root); !errdefs.IsNotFound(err) {
		t.Errorf("without its manifest: %v", err)
	}
}

// TestPulledPart converts the part of an image that was pulled: of its
// attestation, which is there without its statement, the loss is listed.
func TestPulledPart(t *testing.T) {
	s, root := pulled(t)
	holdings, err := format.Holdings(t.Context(), s, root)
	if err != nil {
		t.Fatal(err)
	}
	stage := format.NewStage(format.PulledPart(s, holdings), nil)
	o := format.Options{Platforms: []ocispec.Platform{platforms.MustParse("linux/amd64")}, Partial: true}
	result, err := format.Convert(t.Context(), stage, root, format.ProfileOCI(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Losses) == 0 || result.Losses[0].Path != "/manifests/2" {
		t.Errorf("losses are %+v", result.Losses)
	}
}
