// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"pgregory.net/rapid"

	"github.com/manifest-format/manifest-format/format/formattest"
	"github.com/manifest-format/manifest-format/format/layout"
)

// withIndex is a layout with that index.json.
func withIndex(t testing.TB, index string) (*layout.Dir, string) {
	t.Helper()
	d, path := create(t)
	if err := os.WriteFile(filepath.Join(path, "index.json"), []byte(index), 0o600); err != nil {
		t.Fatal(err)
	}
	return d, filepath.Join(path, "index.json")
}

// text has the digests of images a, b and c in place of their names.
func text(s string) string {
	for _, name := range []string{"a", "b", "c"} {
		image := app(name)
		s = strings.ReplaceAll(s, "$"+name+"d", image.Desc.Digest.String())
		s = strings.ReplaceAll(s, "$"+name+"s", fmt.Sprint(image.Desc.Size))
	}
	return s
}

func TestPutRootKeepsTheRestOfTheIndex(t *testing.T) {
	const (
		manifest = "application/vnd.oci.image.manifest.v1+json"
		platform = `"platform":{"architecture":"amd64","os":"linux"}`
	)
	entry := func(image, rest string) string {
		return `{"mediaType":"` + manifest + `","digest":"$` + image + `d","size":$` + image + `s,` + rest + `}`
	}
	tag := func(tag string) string { return `"annotations":{"org.opencontainers.image.ref.name":"` + tag + `"}` }
	named := func(full, tag string) string {
		return `"annotations":{"io.containerd.image.name":"` + full + `","org.opencontainers.image.ref.name":"` + tag + `"}`
	}
	// As another tool wrote it: unknown fields, its own order, its own spaces.
	odd := `{ "x":1.50, "digest" : "$ad","size":$as, "mediaType":"` + manifest + `","annotations":{"org.opencontainers.image.ref.name":"a","k":"é\u0026"} }`
	tests := []struct {
		name   string
		before string
		put    string
		refs   []string
		after  string
	}{
		{
			"first", `{"manifests":[]}`, "a",
			[]string{"v1"},
			`{"manifests":[` + entry("a", tag("v1")+","+platform) + `]}`,
		},
		{
			"docker 25.0 writes null", `{"manifests":null}`, "a",
			[]string{"v1"},
			`{"manifests":[` + entry("a", tag("v1")+","+platform) + `]}`,
		},
		{
			"beside an odd one", `{ "y":[], "manifests" : [ ` + odd + ` ] ,"schemaVersion":2 }` + "\n", "b",
			[]string{"v1"},
			`{ "y":[], "manifests" : [ ` + odd + `, ` + entry("b", tag("v1")+","+platform) + ` ] ,"schemaVersion":2 }` + "\n",
		},
		{
			"in its place", `{"manifests":[` + entry("a", tag("v1")) + `,` + odd + `]}`, "b",
			[]string{"v1"},
			`{"manifests":[` + entry("b", tag("v1")+","+platform) + `,` + odd + `]}`,
		},
		{
			"the same name twice", `{"manifests":[` + entry("a", tag("v1")) + `,` + odd + `,` + entry("b", tag("v1")) + `]}`, "c",
			[]string{"v1"},
			`{"manifests":[` + entry("c", tag("v1")+","+platform) + `,` + odd + `]}`,
		},
		{
			"full reference", `{"manifests":[` + entry("a", tag("v1")) + `]}`, "b",
			[]string{"example.com/app:v1"},
			`{"manifests":[` + entry("a", tag("v1")) + `,` + entry("b", named("example.com/app:v1", "v1")+","+platform) + `]}`,
		},
		{
			"full reference again", `{"manifests":[` + entry("a", named("docker.io/library/app:v1", "v1")) + `]}`, "b",
			[]string{"app:v1"},
			`{"manifests":[` + entry("b", named("docker.io/library/app:v1", "v1")+","+platform) + `]}`,
		},
		{
			"a tag is taken away", `{"manifests":[` + entry("a", named("example.com/app:v1", "v1")) + `]}`, "b",
			[]string{"v1"},
			`{"manifests":[` + entry("a", `"annotations":{"io.containerd.image.name":"example.com/app:v1"}`) + `,` +
				entry("b", tag("v1")+","+platform) + `]}`,
		},
		{
			"without a name", `{"manifests":[` + odd + `]}`, "b", nil,
			`{"manifests":[` + odd + `,` + entry("b", platform) + `]}`,
		},
		{"without a name, there already", `{"manifests":[` + odd + `]}`, "a", nil, `{"manifests":[` + odd + `]}`},
		{
			"a name for one without", `{"manifests":[` + entry("a", platform) + `]}`, "a",
			[]string{"v1"},
			`{"manifests":[` + entry("a", tag("v1")+","+platform) + `]}`,
		},
		{
			"by digest", `{"manifests":[]}`, "a",
			[]string{"example.com/app@$bd"},
			`{"manifests":[` + entry("a", named("example.com/app@$bd", "example.com/app@$bd")+","+platform) + `]}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, file := withIndex(t, text(test.before))
			var refs []string
			for _, ref := range test.refs {
				refs = append(refs, text(ref))
			}
			image := app(test.put)
			for range 2 { // the second time changes nothing
				put(t, d, image, refs...)
				got, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(text(test.after), string(got)); diff != "" {
					t.Errorf("index.json (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestPutRootWritesInTheStyleOfTheIndex(t *testing.T) {
	for _, indent := range []string{"  ", "    ", "\t", "   "} {
		index := ocispec.Index{Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: app("a").Desc.Digest}}}
		before, err := json.MarshalIndent(index, "", indent)
		if err != nil {
			t.Fatal(err)
		}
		d, file := withIndex(t, string(before)+"\n")
		image := app("b")
		put(t, d, image)
		index.Manifests = append(index.Manifests, image.Desc)
		want, err := json.MarshalIndent(index, "", indent)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want)+"\n", string(got)); diff != "" {
			t.Errorf("index.json indented by %q (-want +got):\n%s", indent, diff)
		}
	}
}

func TestPutRootRefuses(t *testing.T) {
	d, file := withIndex(t, emptyIndex)
	image := app("a")
	for _, ref := range []string{"", "Not A Name", "example.com/App:v1", "a:b:c"} {
		if err := d.PutRoot(t.Context(), image.Desc, image.Body, ref); err == nil {
			t.Errorf("%q is taken for a name", ref)
		}
	}
	if err := d.PutRoot(t.Context(), image.Desc, append(slices.Clone(image.Body), '\n'), "v1"); err == nil {
		t.Error("a body that is not what its descriptor says is taken")
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != emptyIndex {
		t.Errorf("index.json became %s (%v)", got, err)
	}
}

// Law: whatever is put in whatever order, each name is its last image, no name
// is there twice, and what is there by another hand stays, byte for byte.
func TestNamesAreAMap(t *testing.T) {
	images := []formattest.Blob{app("a"), app("b"), app("c")}
	const foreign = `{"mediaType":"application/xml","size":7,"digest":"sha256:b3d63d132d21c3ff4c35a061adf23cf43da8ae054247e32faa95494d904a007e","z":0.10}`
	d, file := withIndex(t, emptyIndex)
	rapid.Check(t, func(rt *rapid.T) {
		if err := os.WriteFile(file, []byte(`{"manifests":[`+foreign+`]}`), 0o600); err != nil {
			rt.Fatal(err)
		}
		want := map[string]string{}
		for range rapid.IntRange(1, 6).Draw(rt, "puts") {
			image := rapid.SampledFrom(images).Draw(rt, "image")
			ref := rapid.SampledFrom([]string{"v1", "v2", "example.com/a:v1", "docker.io/library/b:v2"}).Draw(rt, "ref")
			if err := d.PutRoot(t.Context(), image.Desc, image.Body, ref); err != nil {
				rt.Fatal(err)
			}
			want[ref] = image.Desc.Digest.String()
		}
		refs, err := d.Refs(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		got := map[string]string{}
		for _, ref := range refs[1:] {
			if got[ref.Name] != "" {
				rt.Errorf("%s is there twice", ref.Name)
			}
			got[ref.Name] = ref.Desc.Digest.String()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Errorf("names (-want +got):\n%s", diff)
		}
		for ref, digest := range want {
			if desc, err := d.Resolve(t.Context(), ref); err != nil || desc.Digest.String() != digest {
				rt.Errorf("%s is %s (%v), want %s", ref, desc.Digest, err, digest)
			}
		}
		if index, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(index), `{"manifests":[`+foreign+`,`) {
			rt.Errorf("index.json became %s (%v)", index, err)
		}
	})
}
