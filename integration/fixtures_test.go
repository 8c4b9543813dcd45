// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// fixture is one of the images on which other converters fail.
type fixture struct {
	name string
	// trap is in a document of it, and is what they fail on.
	trap string
	// make pushes it as the tag oci.
	make func(t *testing.T, r repository)
	// statements on each image there are: in the index before, referring after.
	statements int
	// foreign says that a layer is on no registry.
	foreign bool
	// identity says that to Docker and back is the image as it was.
	identity bool
	// losses are the paths of what Docker has no place for.
	losses []string
}

// annotations at every level that BuildKit can annotate.
var annotations = []string{
	"annotation.level=manifest", "annotation-manifest-descriptor.level=manifest-descriptor",
	"annotation-index.level=index",
}

var fixtures = []fixture{
	{name: "plain", identity: true, make: func(t *testing.T, r repository) {
		t.Helper()
		bake(t, r, "oci", scratch, nil)
	}},
	{name: "attest", trap: `"attestation-manifest"`, statements: 1, make: func(t *testing.T, r repository) {
		t.Helper()
		bake(t, r, "oci", scratch, []string{"attest:provenance=mode=max"}, "oci-artifact=false")
	}},
	{name: "attestart", trap: `"artifactType"`, statements: 1, make: func(t *testing.T, r repository) {
		t.Helper()
		bake(t, r, "oci", scratch, []string{"attest:provenance=mode=max"}, "oci-artifact=true")
	}},
	{name: "zstd", trap: zstdLayer, make: func(t *testing.T, r repository) {
		t.Helper()
		bake(t, r, "base", scratch, nil)
		bake(t, r, "oci", "FROM "+r.ref("base"), nil, "compression=zstd")
	}},
	{name: "uncomp", trap: `layer.v1.tar"`, make: func(t *testing.T, r repository) {
		t.Helper()
		bake(t, r, "base", scratch, nil)
		bake(t, r, "oci", "FROM "+r.ref("base"), nil, "compression=uncompressed")
	}},
	{name: "nested", trap: `index.v1+json","size"`, make: func(t *testing.T, r repository) {
		t.Helper()
		bake(t, r, "flat", scratch, nil)
		r.nest(t, "flat", "oci")
	}},
	{name: "foreign", foreign: true, trap: `nondistributable`, identity: true, make: func(t *testing.T, r repository) {
		t.Helper()
		bake(t, r, "distributable", scratch, nil)
		r.rewrite(t, "distributable", "oci", foreignEdit(t))
	}},
	{name: "data", trap: `"data"`, make: func(t *testing.T, r repository) {
		t.Helper()
		bake(t, r, "bare", scratch, nil)
		r.rewrite(t, "bare", "oci", dataEdit)
	}},
	{name: "refs", identity: true, make: func(t *testing.T, r repository) {
		t.Helper()
		bake(t, r, "oci", scratch, nil)
		attach(t, r, "oci")
	}},
	{name: "rich", foreign: true, statements: 1, make: makeRich, losses: []string{
		"/annotations/level",
		"/manifests/0/annotations/level",
		"/manifests/0/manifests/0/annotations/level",
	}},
}

func makeRich(t *testing.T, r repository) {
	t.Helper()
	bake(t, r, "base", scratch, nil)
	bake(t, r, "flat", "FROM "+r.ref("base"), []string{"attest:provenance=mode=max"},
		append([]string{"compression=zstd", "oci-artifact=true"}, annotations...)...)
	r.rewrite(t, "flat", "foreign", foreignEdit(t))
	r.rewrite(t, "foreign", "data", dataEdit)
	r.nest(t, "data", "oci")
	attach(t, r, "oci")
}

const (
	scratch   = "FROM scratch"
	zstdLayer = `.tar+zstd"`
)

// bake builds an image for two platforms on from, as OCI. What is in it is in
// no other fixture: an engine does not unpack what it has already.
func bake(t *testing.T, r repository, tag, from string, options []string, attributes ...string) {
	t.Helper()
	text := func(what string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(strings.Repeat(what+" of "+r.name+":"+tag+"\n", 100))}
	}
	buildkit.Build(t, engines.Build{
		Context: fstest.MapFS{
			"Dockerfile": {Data: []byte(from + "\nARG TARGETARCH\nCOPY ${TARGETARCH}.txt /" + tag + "-arch.txt\n" +
				"COPY common.txt /" + tag + "-common.txt\nENV A=b\nCMD [\"/none\"]\n")},
			"common.txt": text("common"), "amd64.txt": text("amd64"), "arm64.txt": text("arm64"),
		},
		Platforms: []string{"linux/amd64", "linux/arm64"},
		Options:   options,
		Output:    engines.Push(r.ref(tag), append([]string{"oci-mediatypes=true"}, attributes...)...),
	})
}

// bakeRandom builds an image for linux/amd64 with one layer of random bytes.
func bakeRandom(t *testing.T, r repository, tag string, size int, attributes ...string) {
	t.Helper()
	random := make([]byte, size)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	buildkit.Build(t, engines.Build{
		Context:   fstest.MapFS{"Dockerfile": {Data: []byte(scratch + "\nCOPY random /random\n")}, "random": {Data: random}},
		Platforms: []string{"linux/amd64"},
		Output:    engines.Push(r.ref(tag), append([]string{"oci-mediatypes=true"}, attributes...)...),
	})
}

// attach gives an image a referrer that is no attestation.
func attach(t *testing.T, r repository, tag string) {
	t.Helper()
	home := engines.NewHome(t)
	if err := os.WriteFile(filepath.Join(home.Dir, "note.txt"), []byte("a note\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	home.Run(t, "oras", "attach", "--plain-http", "--artifact-type", "application/vnd.example.note", r.ref(tag), "note.txt:text/plain")
}

// object is a JSON document that is edited.
type object = map[string]any

// edits change the documents of an image. Each may be nil.
type edits struct {
	config   func(config object)
	manifest func(manifest object, config []byte)
	entry    func(entry object, manifest []byte)
}

// rewrite edits the image at the tag from and stores it as the tag to, with
// its attestations pointing at what they speak of.
func (r repository) rewrite(t *testing.T, from, to string, e edits) {
	t.Helper()
	body, mediaType := r.document(t, from)
	index := decode(t, body)
	moved := map[string]any{}
	for _, entry := range objects(index["manifests"]) {
		body, mediaType := r.document(t, entry["digest"].(string))
		manifest := decode(t, body)
		if notes, ok := entry["annotations"].(object); ok && notes[attestationIs] != nil {
			notes[attestationFor] = moved[notes[attestationFor].(string)]
			if subject, ok := manifest["subject"].(object); ok {
				image, _ := r.document(t, notes[attestationFor].(string))
				refer(subject, image)
			}
		} else {
			r.editImage(t, manifest, e)
		}
		edited := encode(t, manifest)
		moved[entry["digest"].(string)] = r.put(t, "", mediaType, edited).String()
		refer(entry, edited)
		if e.entry != nil {
			e.entry(entry, edited)
		}
	}
	r.put(t, to, mediaType, encode(t, index))
}

func (r repository) editImage(t *testing.T, manifest object, e edits) {
	t.Helper()
	desc := manifest["config"].(object)
	body := r.blob(t, digest.Digest(desc["digest"].(string)))
	if e.config != nil {
		config := decode(t, body)
		e.config(config)
		body = encode(t, config)
		r.putBlob(t, body)
		refer(desc, body)
	}
	if e.manifest != nil {
		e.manifest(manifest, body)
	}
}

// nest stores an index around the index at the tag from as the tag to.
func (r repository) nest(t *testing.T, from, to string) {
	t.Helper()
	body, mediaType := r.document(t, from)
	inner := object{"mediaType": mediaType, "annotations": object{"level": "index-descriptor"}}
	if from == "flat" {
		delete(inner, "annotations")
	}
	refer(inner, body)
	outer := object{"schemaVersion": 2, "mediaType": mediaType, "manifests": []any{inner}}
	if from != "flat" {
		outer["annotations"] = object{"level": "outer-index"}
	}
	r.put(t, to, mediaType, encode(t, outer))
}

// foreignEdit adds a layer that is not in the registry, but on a server that
// lives as long as the test.
func foreignEdit(t *testing.T) edits {
	t.Helper()
	var plain, layer bytes.Buffer
	archive := tar.NewWriter(&plain)
	content := []byte("from elsewhere for " + t.Name() + "\n")
	if err := archive.WriteHeader(&tar.Header{Name: "foreign.txt", Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	archive.Write(content)
	archive.Close()
	compressed := gzip.NewWriter(&layer)
	compressed.Write(plain.Bytes())
	compressed.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("credentials were sent to the server of a foreign layer")
		}
		w.Write(layer.Bytes())
	}))
	t.Cleanup(server.Close)
	return edits{
		config: func(config object) {
			root := config["rootfs"].(object)
			root["diff_ids"] = append(root["diff_ids"].([]any), digest.FromBytes(plain.Bytes()).String())
			config["history"] = append(config["history"].([]any), object{"created_by": "elsewhere"})
		},
		manifest: func(manifest object, _ []byte) {
			desc := object{"mediaType": ociForeign, "urls": []any{server.URL + "/layer"}}
			refer(desc, layer.Bytes())
			manifest["layers"] = append(manifest["layers"].([]any), desc)
		},
	}
}

// dataEdit embeds configs in manifests, and manifests in the index.
var dataEdit = edits{
	manifest: func(manifest object, config []byte) {
		manifest["config"].(object)["data"] = base64.StdEncoding.EncodeToString(config)
	},
	entry: func(entry object, manifest []byte) {
		entry["data"] = base64.StdEncoding.EncodeToString(manifest)
	},
}

// refer points a descriptor at content.
func refer(desc object, content []byte) {
	desc["digest"], desc["size"] = digest.FromBytes(content).String(), len(content)
}

func decode(t *testing.T, body []byte) object {
	t.Helper()
	var doc object
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func encode(t *testing.T, doc object) []byte {
	t.Helper()
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func objects(list any) (objects []object) {
	for _, entry := range list.([]any) {
		objects = append(objects, entry.(object))
	}
	return objects
}
