// SPDX-License-Identifier: Apache-2.0

package format_test

import (
	"encoding/json"
	"slices"
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

func TestCheckHeld(t *testing.T) {
	s, root := pulled(t)
	image := rootImage(t, s, root, 1)
	if err := s.Delete(t.Context(), image.Digest); err != nil {
		t.Fatal(err)
	}
	holdings, err := format.Holdings(t.Context(), s, root)
	if err != nil {
		t.Fatal(err)
	}
	report, err := format.CheckHeld(t.Context(), s, root, holdings, format.ProfileDocker())
	if err != nil {
		t.Fatal(err)
	}
	var looked []string
	for _, f := range report.Findings {
		if f.Rule == "media-type" {
			looked = append(looked, f.Path)
		}
	}
	if !slices.Contains(looked, "/manifests/0") || slices.Contains(looked, "/manifests/1/config") {
		t.Errorf("looked at %v", looked)
	}
	var notes []string
	for _, n := range report.Notes {
		notes = append(notes, n.Path+" "+n.Text)
	}
	if !slices.Contains(notes, "/manifests/1 linux/arm64 is not all there, and was not looked at") {
		t.Errorf("notes are %q", notes)
	}
	if _, err := format.Check(t.Context(), s, root, format.ProfileDocker()); !errdefs.IsNotFound(err) {
		t.Errorf("a check of all of it: %v", err)
	}
}

func TestWalkHeld(t *testing.T) {
	s, root := pulled(t)
	var got []string
	for node, err := range format.WalkHeld(t.Context(), s, root) {
		if err != nil {
			t.Fatal(err)
		}
		if node.Body != nil {
			got = append(got, node.Path)
		}
	}
	if want := []string{"", "/manifests/0", "/manifests/1", "/manifests/2"}; !slices.Equal(got, want) {
		t.Errorf("documents are %q, want %q", got, want)
	}
}

// rootImage is the n-th entry of an index.
func rootImage(t *testing.T, s *formattest.Store, root ocispec.Descriptor, n int) ocispec.Descriptor {
	t.Helper()
	body, _ := s.Body(root.Digest)
	var index ocispec.Index
	if err := json.Unmarshal(body, &index); err != nil {
		t.Fatal(err)
	}
	return index.Manifests[n]
}

func TestDescribePart(t *testing.T) {
	s, root := pulled(t)
	holdings, err := format.Holdings(t.Context(), s, root)
	if err != nil {
		t.Fatal(err)
	}
	amd, arm := platforms.MustParse("linux/amd64"), platforms.MustParse("linux/arm64")
	for _, tc := range []struct {
		wanted []ocispec.Platform
		want   string
	}{
		{nil, "of the image, only linux/amd64 is all there, as no more was pulled: linux/arm64 lacks 1 blob"},
		{[]ocispec.Platform{amd}, ""},
		{[]ocispec.Platform{arm}, "nothing of the image is all there, as no more was pulled: linux/arm64 lacks 1 blob"},
	} {
		if got := format.DescribePart(holdings, tc.wanted); got != tc.want {
			t.Errorf("of %v: %q", tc.wanted, got)
		}
		err := format.RequireWhole(holdings, tc.wanted)
		if (err == nil) != (tc.want == "") || err != nil && !errdefs.IsNotFound(err) {
			t.Errorf("of %v: %v", tc.wanted, err)
		}
	}
}
