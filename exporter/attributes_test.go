// SPDX-License-Identifier: Apache-2.0

package exporter

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/util/compression"
)

// TestAttributesRefused resolves outputs that make no sense. All of it is
// before a build starts, and each error names what to do.
func TestAttributesRefused(t *testing.T) {
	for _, test := range []struct {
		typ   string
		attrs map[string]string
		want  []string
	}{
		{"manifest-format", map[string]string{"nam": "a"}, []string{`"nam"`, `did you mean "name"?`}},
		{"manifest-format", map[string]string{"attest": "drop"}, []string{`"attest"`, `did you mean "attestations"?`}},
		{"manifest-format", map[string]string{"emit.2.fro": "oci"}, []string{`"emit.2.fro"`, `did you mean "emit.2.for"?`}},
		{"manifest-format", map[string]string{"colour": "blue"}, []string{`"colour"`, "there are annotations, attestation-inline"}},
		{"manifest-format", map[string]string{"emit.x.name": "a"}, []string{`"emit.x.name"`, "emit.N.ATTRIBUTE"}},
		{"manifest-format", map[string]string{"emit.1": "a"}, []string{`"emit.1"`, "emit.N.ATTRIBUTE"}},
		{"manifest-format", map[string]string{"manifest-format": "oci"}, []string{"manifest-format has no attribute"}},
		{"manifest-format", map[string]string{"for": "aws-lamda"}, []string{`"aws-lamda"`, "`manifest-format profiles`"}},
		{"manifest-format", map[string]string{"for": `{"name":"mine","formats":["oci"],"colour":1}`}, []string{"not a profile", "colour"}},
		{"manifest-format", map[string]string{"for": `{"formats":["oci"]}`}, []string{"not a profile", "name"}},
		{"manifest-format", map[string]string{"for": "heroku,zot"}, []string{"no image is right for both"}},
		{"manifest-format", map[string]string{"for": "oci", "oci-mediatypes": "false"}, []string{"oci-mediatypes=false contradicts for=oci"}},
		{"manifest-format", map[string]string{"push": "maybe"}, []string{`push="maybe"`, "true or false"}},
		{"manifest-format", map[string]string{"push": "true"}, []string{"push=true needs name=REFERENCE"}},
		{"manifest-format", map[string]string{"name": "a", "push-by-digest": ""}, []string{"push-by-digest needs push=true"}},
		{"manifest-format", map[string]string{"name": "a:1", "push": "true", "push-by-digest": "true"}, []string{`"a:1" has a tag`}},
		{"manifest-format", map[string]string{"name": "A", "push": "true"}, []string{`name="A"`, "lowercase"}},
		{"manifest-format", map[string]string{"on-loss": "cry"}, []string{`on-loss="cry"`, "warn, fail"}},
		{"manifest-format", map[string]string{"attestations": "burn"}, []string{`attestations="burn"`, "keep, referrers, drop"}},
		{"manifest-format", map[string]string{"platform": "linux/amd64,moon base"}, []string{`platform=`, `"moon base" is no platform`}},
		{"manifest-format", map[string]string{"annotation-galaxy.a": "b"}, []string{"annotation-galaxy.a"}},
		{"manifest-format", map[string]string{"emit.1.name": "app", "emit.2.name": "docker.io/library/app:latest"}, []string{"two emissions have the name docker.io/library/app:latest"}},
		{"image", map[string]string{"manifest-format": "docker", "for": "oci"}, []string{`image has no attribute "for"`}},
		{"oci", map[string]string{"manifest-format": "docker", "push": "true"}, []string{"an archive is not pushed"}},
		{"docker", map[string]string{"emit.1.name": "a", "emit.2.name": "b"}, []string{"an archive holds one emission"}},
	} {
		e := &imageExporter{typ: test.typ}
		_, err := e.Resolve(t.Context(), 0, test.attrs)
		if err == nil {
			t.Errorf("%s %v: accepted", test.typ, test.attrs)
			continue
		}
		for _, part := range test.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s %v: %v\ndoes not say %s", test.typ, test.attrs, err, part)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s %v: more than a line: %v", test.typ, test.attrs, err)
		}
	}
}

// TestEmissions shows which emissions an output has, and what they share.
func TestEmissions(t *testing.T) {
	type one = map[string]string
	for name, test := range map[string]struct {
		attrs one
		want  []one
	}{
		"none numbered": {one{"name": "a", "for": "docker"}, []one{{"name": "a", "for": "docker"}}},
		"nothing said":  {one{}, []one{{}}},
		"shared": {
			one{"push": "true", "for": "docker", "emit.2.name": "b", "emit.10.name": "c", "emit.10.for": "oci"},
			[]one{{"push": "true", "for": "docker", "name": "b"}, {"push": "true", "for": "oci", "name": "c"}},
		},
		"the shared ones have a name": {
			one{"name": "a", "push": "true", "emit.1.name": "b", "emit.1.push": "false"},
			[]one{{"name": "a", "push": "true"}, {"name": "b", "push": "false"}},
		},
		"a name is not shared": {
			one{"name": "a", "emit.1.for": "docker"},
			[]one{{"name": "a"}, {"for": "docker"}},
		},
		"annotations": {
			one{"annotation.a": "1", "emit.1.name": "b", "emit.1.annotation-index.c": "2"},
			[]one{{"annotation.a": "1", "name": "b", "annotation-index.c": "2"}},
		},
	} {
		got, err := split("manifest-format", test.attrs)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestAllOfTheImageExportersAttributes are taken: what BuildKit's own exporter
// does with each is tested with a real one.
func TestAllOfTheImageExportersAttributes(t *testing.T) {
	values := map[string]string{
		"name": "a", "compression": "gzip", "compression-level": "3", "source-date-epoch": "0", "dangling-name-prefix": "d",
		"oci-mediatypes": "true", "push-by-digest": "false",
	}
	attrs := map[string]string{}
	for _, key := range imageAttributes {
		attrs[key] = "true"
	}
	maps.Copy(attrs, values)
	e := &imageExporter{typ: "manifest-format"}
	resolved, err := e.Resolve(t.Context(), 7, attrs)
	if err != nil {
		t.Fatal(err)
	}
	i, ok := resolved.(*instance)
	if !ok || len(i.specs) != 1 {
		t.Fatalf("resolved to %T", resolved)
	}
	s := i.specs[0]
	for name, set := range map[string]bool{
		"push": s.push, "insecure": s.insecure, "unpack": s.unpack, "store": s.store, "canonical": s.nameCanonical,
		"dangling": s.danglingEmptyOnly, "rewrite": s.commit.RewriteTimestamp, "inline": s.commit.ForceInlineAttestations,
		"nondist": s.commit.RefCfg.PreferNonDistributable, "force": s.commit.RefCfg.Compression.Force, "epoch": s.commit.Epoch != nil,
	} {
		if !set {
			t.Errorf("%s is not set", name)
		}
	}
	if len(s.meta) > 0 {
		t.Errorf("taken for metadata: %v", slices.Sorted(maps.Keys(s.meta)))
	}
}

// TestCompressionOfAProfile shows what new layers are compressed with.
func TestCompressionOfAProfile(t *testing.T) {
	zstdOnly := `{"name":"mine","formats":["oci"],"compressions":["zstd"]}`
	for _, test := range []struct {
		profile, asked string
		want           compression.Type
	}{
		{"oci", "", compression.Gzip},
		{"oci", "zstd", compression.Zstd},
		{"oci", "uncompressed", compression.Uncompressed},
		{"oci", "estargz", compression.EStargz},
		{"docker", "", compression.Gzip},
		{"docker", "zstd", compression.Gzip},
		{"docker", "uncompressed", compression.Gzip},
		{zstdOnly, "", compression.Zstd},
		{zstdOnly, "gzip", compression.Zstd},
	} {
		attrs := map[string]string{"for": test.profile}
		if test.asked != "" {
			attrs["compression"] = test.asked
		}
		s, err := newSpec(t.Context(), "manifest-format", attrs)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := s.commit.RefCfg.Compression.Type; got != test.want {
			t.Errorf("%s with compression=%q is %s, not %s", test.profile, test.asked, got, test.want)
		}
	}
}

// TestMediaTypesChooseAProfile lets BuildKit's own attribute say docker.
func TestMediaTypesChooseAProfile(t *testing.T) {
	for attr, want := range map[string]string{"": "oci", "true": "oci", "false": "docker"} {
		attrs := map[string]string{}
		if attr != "" {
			attrs["oci-mediatypes"] = attr
		}
		s, err := newSpec(t.Context(), "manifest-format", attrs)
		if err != nil {
			t.Fatal(err)
		}
		if s.profile.Name != want {
			t.Errorf("oci-mediatypes=%s is for %s, not %s", attr, s.profile.Name, want)
		}
		if !*s.commit.OCITypes {
			t.Errorf("oci-mediatypes=%s: not committed as OCI", attr)
		}
	}
}
