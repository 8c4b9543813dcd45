// SPDX-License-Identifier: Apache-2.0

package format_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// TestCheckDescriptor holds descriptors alone to targets.
func TestCheckDescriptor(t *testing.T) {
	required := format.Profile{Name: "required", Formats: []format.Format{format.OCI}, Index: format.IndexRequired}
	single := format.Profile{Name: "single", Formats: []format.Format{format.Docker}, Index: format.IndexForbidden}
	small := format.Profile{Name: "small", Limits: format.Limits{DocumentBytes: 999}}
	for _, test := range []struct {
		profile   format.Profile
		mediaType string
		want      []string
	}{
		{format.ProfileOCI(), ocispec.MediaTypeImageIndex, nil},
		{format.ProfileOCI(), ocispec.MediaTypeImageManifest, nil},
		{format.ProfileOCI(), format.MediaTypeDockerManifestList, []string{"media-type: docker index"}},
		{format.ProfileDocker(), ocispec.MediaTypeImageManifest, []string{"media-type: oci manifest"}},
		{format.ProfileDocker(), format.MediaTypeDockerManifestList, nil},
		{format.ProfileDocker(), format.MediaTypeDockerSchema1Signed, []string{"schema1: a Docker V2 Schema 1 manifest"}},
		{single, format.MediaTypeDockerManifest, nil},
		{single, format.MediaTypeDockerManifestList, []string{"single-manifest: an index, where a single manifest is needed"}},
		{single, ocispec.MediaTypeImageIndex, []string{"single-manifest: an index, where a single manifest is needed", "media-type: oci index"}},
		{required, ocispec.MediaTypeImageIndex, nil},
		{required, format.MediaTypeDockerManifest, []string{"index-required: a single manifest, where an index is needed", "media-type: docker manifest"}},
		{small, ocispec.MediaTypeImageIndex, []string{"document-size: a document of 1000 bytes"}},
		{format.Profile{Name: "anything"}, ocispec.MediaTypeImageIndex, nil},
	} {
		report, err := format.CheckDescriptor(ocispec.Descriptor{MediaType: test.mediaType, Digest: digest.FromString("a"), Size: 1000}, test.profile)
		if err != nil {
			t.Errorf("%s of %s: %v", test.profile.Name, test.mediaType, err)
			continue
		}
		var got []string
		for _, f := range report.Findings {
			got = append(got, f.Rule+": "+f.Detail)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s of %s (-want +got):\n%s", test.profile.Name, test.mediaType, diff)
		}
	}
}

func TestCheckDescriptorOfWhatIsNoImage(t *testing.T) {
	for _, test := range []struct {
		desc ocispec.Descriptor
		want error
	}{
		{ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromString("a")}, format.ErrNotFixable},
		{ocispec.Descriptor{MediaType: "text/html", Digest: digest.FromString("a")}, format.ErrNotFixable},
		{ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: "md5:00"}, format.ErrCorrupt},
		{ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromString("a"), Size: -1}, format.ErrCorrupt},
	} {
		var e *format.Error
		if _, err := format.CheckDescriptor(test.desc, format.ProfileOCI()); !errors.Is(err, test.want) || !errors.As(err, &e) || e.Op != "check" {
			t.Errorf("%+v: %v, not %v", test.desc, err, test.want)
		}
	}
}

// TestCheckDescriptorIsPartOfCheck holds every golden image to every profile:
// what its descriptor breaks, it breaks.
func TestCheckDescriptorIsPartOfCheck(t *testing.T) {
	seen := 0
	for _, c := range loadCases(t) {
		for _, p := range append(format.Profiles(), c.Profile) {
			whole, err := format.Check(t.Context(), newStore(t, c), c.Root, p)
			if err != nil {
				continue // it is not read at all
			}
			known := map[string]bool{}
			for _, f := range whole.Findings {
				if f.Path == "" {
					known[f.Rule] = true
				}
			}
			root, err := format.CheckDescriptor(c.Root, p)
			if err != nil {
				t.Errorf("%s for %s: %v", c.Name, p.Name, err)
				continue
			}
			for _, f := range root.Findings {
				seen++
				// An artifact is refused as such, whatever its format.
				if !known[f.Rule] && !known["artifact"] {
					t.Errorf("%s for %s: by its descriptor it breaks %s, as a whole %v", c.Name, p.Name, f.Rule, known)
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("%d findings were compared: are these the golden cases?", seen)
	}
}
