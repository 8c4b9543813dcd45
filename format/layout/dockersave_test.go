// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
	"github.com/manifest-format/manifest-format/format/layout"
)

// saved is an image as an engine holds it: a config, and layers that are not
// compressed.
type saved struct {
	config formattest.Blob
	layers []formattest.Blob
}

func save(text string) saved {
	b := formattest.Builder{Format: format.Docker}
	layers := []formattest.Blob{
		{Body: formattest.Tar("etc/os-release=ID=none\n")},
		{Body: formattest.Tar("bin/app=" + text)},
		{Body: formattest.Tar("bin/app=" + text)}, // as `RUN touch` may do
	}
	for n := range layers {
		layers[n].DiffID = digest.FromBytes(layers[n].Body)
		layers[n].Desc = ocispec.Descriptor{
			MediaType: format.MediaTypeDockerLayerPlain, Digest: layers[n].DiffID, Size: int64(len(layers[n].Body)),
		}
	}
	return saved{config: b.Config("linux/arm/v7", layers...), layers: layers}
}

// manifest is what the archive is read as.
func (s saved) manifest() string {
	var layers []string
	for _, l := range s.layers {
		layers = append(layers, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, l.Desc.MediaType, l.Desc.Digest, l.Desc.Size))
	}
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",`+
		`"config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":%q,"size":%d},"layers":[%s]}`,
		s.config.Desc.Digest, s.config.Desc.Size, strings.Join(layers, ","))
}

// old is what `docker save` wrote up to 24.0: a directory for each layer, and
// a link for one that is there already.
func (s saved) old(tags ...string) []file {
	config := s.config.Desc.Digest.Encoded() + ".json"
	files := []file{
		{"1111/VERSION", "1.0"},
		{"1111/json", "{}"},
		{"1111/layer.tar", string(s.layers[0].Body)},
		{"2222/VERSION", "1.0"},
		{"2222/json", "{}"},
		{"2222/layer.tar", string(s.layers[1].Body)},
		{"3333/VERSION", "1.0"},
		{"3333/json", "{}"},
		{"3333/layer.tar", "->../2222/layer.tar"},
		{config, string(s.config.Body)},
		{"repositories", `{}`},
	}
	return append(files, file{"manifest.json", s.entries(tags, config, "1111/layer.tar", "2222/layer.tar", "3333/layer.tar")})
}

func (s saved) entries(tags []string, config string, layers ...string) string {
	body, err := json.Marshal([]map[string]any{{"Config": config, "RepoTags": tags, "Layers": layers}})
	if err != nil {
		panic(err)
	}
	return string(body)
}

// sameSaved fails the test unless the archive has the image under those names.
func sameSaved(t *testing.T, a *layout.Archive, s saved, names ...string) {
	t.Helper()
	want := ocispec.Descriptor{
		MediaType: format.MediaTypeDockerManifest,
		Digest:    digest.FromString(s.manifest()),
		Size:      int64(len(s.manifest())),
		Platform:  &ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7"},
	}
	for _, name := range names {
		got, err := a.Resolve(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("resolve %q (-want +got):\n%s", name, diff)
		}
	}
	if body, err := read(t, a, want); err != nil || string(body) != s.manifest() {
		t.Errorf("manifest (%v):\n%s", err, cmp.Diff(s.manifest(), string(body)))
	}
	sameImage(t, a, s.config)
	for _, l := range s.layers {
		sameImage(t, a, l)
	}
}

func TestDockerSaveOld(t *testing.T) {
	s := save("1")
	a, err := open(t, bytes.NewReader(pack(t, s.old("app:v1", "example.com/team/app:v2"))))
	if err != nil {
		t.Fatal(err)
	}
	sameSaved(t, a, s, "", "v1", "app:v1", "docker.io/library/app:v1", "v2", "example.com/team/app:v2")
	if diff := cmp.Diff([]string{"docker.io/library/app:v1", "example.com/team/app:v2"}, names(t, a)); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestDockerSaveWithoutTags(t *testing.T) {
	s := save("1")
	a, err := open(t, pipe{bytes.NewReader(pack(t, s.old()))})
	if err != nil {
		t.Fatal(err)
	}
	sameSaved(t, a, s, "")
}

func TestDockerSaveSeveralImages(t *testing.T) {
	one, two := save("1"), save("2")
	path := func(b formattest.Blob) string { return "blobs/sha256/" + b.Desc.Digest.Encoded() }
	image := func(s saved, tag string) string {
		return strings.Trim(s.entries([]string{tag}, path(s.config), path(s.layers[0]), path(s.layers[1]), path(s.layers[2])), "[]")
	}
	files := []file{{"manifest.json", "[" + image(one, "one:v1") + "," + image(two, "two:v1") + "]"}}
	for _, b := range []formattest.Blob{one.config, one.layers[0], one.layers[1], two.config, two.layers[1]} {
		files = append(files, file{path(b), string(b.Body)})
	}
	a, err := open(t, bytes.NewReader(pack(t, files)))
	if err != nil {
		t.Fatal(err)
	}
	sameSaved(t, a, one, "one:v1")
	sameSaved(t, a, two, "two:v1")
	_, err = a.Resolve(t.Context(), "v1")
	wants{errdefs.ErrInvalidArgument, "docker.io/library/one:v1, docker.io/library/two:v1"}.check(t, err)
}

// Since 25.0 `docker save` writes an OCI layout with Docker's manifest beside
// it: the layout is what counts, as it has the image's own manifest.
func TestDockerSaveNew(t *testing.T) {
	image := app("1")
	files := append(layoutFiles(image),
		file{"manifest.json", save("2").entries([]string{"other:v2"}, "none")},
		file{"repositories", "{}"})
	a, err := open(t, bytes.NewReader(pack(t, files)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"v1"}, names(t, a)); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	sameImage(t, a, image)

	// 25.0 itself left out images that were saved by digest.
	s := save("2")
	files = append(s.old(), file{"oci-layout", `{"imageLayoutVersion":"1.0.0"}`}, file{"index.json", `{"schemaVersion":2,"manifests":null}`})
	for n, f := range files {
		if f.name == "3333/layer.tar" {
			files[n].body = string(s.layers[2].Body)
		}
	}
	if a, err = open(t, bytes.NewReader(pack(t, files))); err != nil {
		t.Fatal(err)
	}
	sameSaved(t, a, s, "")
}

// Other tools than Docker write its format with compressed layers.
func TestDockerSaveCompressed(t *testing.T) {
	for _, c := range []format.Compression{format.Gzip, format.Zstd} {
		s := save("1")
		var files []file
		var paths []string
		for n, l := range s.layers {
			body, err := formattest.Compress(c, l.Body)
			if err != nil {
				t.Fatal(err)
			}
			desc := ocispec.Descriptor{
				MediaType: format.MediaType{Format: format.Docker, Kind: format.KindLayer, Compression: c}.String(),
				Digest:    digest.FromBytes(body), Size: int64(len(body)),
			}
			s.layers[n] = formattest.Blob{Desc: desc, Body: body}
			paths = append(paths, fmt.Sprintf("%d.tar.gz", n))
			files = append(files, file{paths[n], string(body)})
		}
		files = append(files,
			file{s.config.Desc.Digest.String(), string(s.config.Body)},
			file{"manifest.json", s.entries([]string{"app:v1"}, s.config.Desc.Digest.String(), paths...)})
		a, err := open(t, bytes.NewReader(pack(t, files)))
		if err != nil {
			t.Fatal(err)
		}
		sameSaved(t, a, s, "app:v1")
	}
}

func TestDockerSaveRefuses(t *testing.T) {
	s := save("1")
	config := s.config.Desc.Digest.Encoded() + ".json"
	change := func(name, body string) []file {
		var files []file
		for _, f := range s.old("app:v1") {
			if f.name == name {
				f.body = body
			}
			files = append(files, f)
		}
		return files
	}
	loop := append(change("3333/layer.tar", "->../4444/layer.tar"), file{"4444/layer.tar", "->../3333/layer.tar"})
	tests := []struct {
		name  string
		files []file
		wants wants
	}{
		{"no JSON", change("manifest.json", "x"), wants{format.ErrCorrupt, "manifest.json"}},
		{"members twice", change("manifest.json", `[{"Config":"a","Config":"b"}]`), wants{format.ErrAmbiguous, "manifest.json"}},
		{"no config", change("manifest.json", `[{"Config":"none.json"}]`), wants{format.ErrCorrupt, `it has no "none.json"`}},
		{"config outside", change("manifest.json", `[{"Config":"../../etc/passwd"}]`), wants{format.ErrCorrupt, "it has no"}},
		{"config is another", change(config, string(save("2").config.Body)), wants{format.ErrCorrupt, "config: corrupt content: its content is"}},
		{"fewer layers", change("manifest.json", s.entries(nil, config, "1111/layer.tar")), wants{format.ErrCorrupt, "1 layers, and its config has 3 diff ids"}},
		{
			"no such layer", change("manifest.json", s.entries(nil, config, "1111/layer.tar", "2222/layer.tar", "9999/layer.tar")),
			wants{errdefs.ErrNotFound, `layer 2: the archive has no file "9999/layer.tar"`},
		},
		{"link out", change("3333/layer.tar", "->../../2222/layer.tar"), wants{format.ErrCorrupt, "leads out"}},
		{"link to the root", change("3333/layer.tar", "->/etc/passwd"), wants{format.ErrCorrupt, "leads out"}},
		{"links in a circle", loop, wants{format.ErrCorrupt, "too many links"}},
		{"layers of other sizes", change("3333/layer.tar", "other"), wants{format.ErrCorrupt, "two layers of"}},
		{"no name", change("manifest.json", s.entries([]string{"a b"}, config, "1111/layer.tar", "2222/layer.tar", "3333/layer.tar")), wants{errdefs.ErrInvalidArgument, `"a b"`}},
		{"too many", change("manifest.json", s.entries(make([]string, 10_001), config)), wants{format.ErrTooLarge, "more than 10000"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := open(t, bytes.NewReader(pack(t, test.files)))
			test.wants.check(t, err)
		})
	}
}

// A layer is what the config says it is, or reading it fails.
func TestDockerSaveLayerIsItsDiffID(t *testing.T) {
	s := save("1")
	files := s.old("app:v1")
	files[2].body = strings.Replace(files[2].body, "ID=none", "ID=evil", 1)
	a, err := open(t, bytes.NewReader(pack(t, files)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = read(t, a, s.layers[0].Desc)
	wants{format.ErrCorrupt, "its content is"}.check(t, err)
}
