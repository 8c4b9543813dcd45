// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
	"github.com/manifest-format/manifest-format/format/formattest/refusing"
	"github.com/manifest-format/manifest-format/integration/engines"
)

// putImage stores an image as it is, right or wrong.
func (r repository) putImage(t *testing.T, tag string, image formattest.Blob) {
	t.Helper()
	for _, child := range image.Children {
		if isDocument(child) {
			r.putImage(t, "", child)
		} else {
			r.putBlob(t, child.Body)
		}
	}
	r.put(t, tag, image.Desc.MediaType, image.Body)
}

func isDocument(b formattest.Blob) bool {
	m, ok := format.ParseMediaType(b.Desc.MediaType)
	return ok && (m.Kind == format.KindIndex || m.Kind == format.KindManifest)
}

// edited returns a document with its JSON changed.
func edited(t *testing.T, blob formattest.Blob, change func(map[string]any)) formattest.Blob {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(blob.Body, &doc); err != nil {
		t.Fatal(err)
	}
	change(doc)
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	blob.Body = body
	blob.Desc.Digest, blob.Desc.Size = digest.FromBytes(body), int64(len(body))
	return blob
}

// TestTargets pushes images with a stock client to registries that refuse what
// targets refuse, sees the error that people search for, and then has ours
// succeed.
func TestTargets(t *testing.T) {
	ociImages, dockerImages := formattest.Builder{Format: format.OCI}, formattest.Builder{Format: format.Docker}
	amd := ociImages.Manifest("linux/amd64", ociImages.Layer(format.Gzip, "a=1"))
	attested := ociImages.Index(amd, ociImages.Manifest("linux/arm64", ociImages.Layer(format.Gzip, "a=2")),
		ociImages.Attestation(true, amd, "https://spdx.dev/Document"))
	for _, test := range []struct {
		target string
		image  formattest.Blob
		flags  []string
		// rule is what the image is refused for, and says what the client then prints.
		rule, says string
	}{
		{"aws-lambda", attested, []string{"--platform", "linux/amd64"}, "single-manifest", "media type for the source image <image> is not supported"},
		{"heroku-registry", amd, nil, "media-type", "The operation is unsupported"},
		{"zot", dockerImages.Image("linux/amd64"), nil, "media-type", "415"},
		{"aws-ecr", edited(t, amd, func(doc map[string]any) { delete(doc, "mediaType") }), nil, "top-level-media-type", "Invalid JSON syntax"},
		{"aws-ecr", edited(t, amd, func(doc map[string]any) {
			doc["config"].(map[string]any)["annotations"] = map[string]string{"a": "b"}
		}), nil, "config-annotations", "Invalid JSON syntax"},
		{"gitlab", attested, nil, "attestation-form", "blob unknown to registry"},
		{"alibaba-acr", attested, nil, "attestation-form", "unknown manifest class for application/vnd.oci.empty.v1+json"},
		{"quay", edited(t, dockerImages.Manifest("linux/amd64", dockerImages.Layer(format.Gzip, "a=1")), func(doc map[string]any) {
			doc["layers"].([]any)[0].(map[string]any)["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip"
		}), nil, "mixed-formats", "MANIFEST_INVALID"},
		{"docker-engine-20.10", ociImages.Manifest("linux/amd64", ociImages.Layer(format.Zstd, "a=1")), nil, "layer-compression", "layer-compression"},
	} {
		t.Run(test.target+" "+test.rule, func(t *testing.T) {
			p, ok := format.LookupProfile(test.target)
			if !ok {
				t.Fatalf("no profile %s", test.target)
			}
			target := refusing.New(p)
			server := httptest.NewServer(target)
			t.Cleanup(server.Close)
			addr := strings.TrimPrefix(server.URL, "http://")
			source := newRepository(t, "app")
			source.putImage(t, "1", test.image)
			home := engines.NewHome(t, registry.Addr, addr)

			out, err := home.Try(t, "crane", "copy", "--insecure", source.ref("1"), addr+"/app:1")
			if err == nil || !strings.Contains(out.Stderr, test.says) {
				t.Errorf("crane copies to %s: %v\n%s\nwant: %s", test.target, err, out.Stderr, test.says)
			}
			if got := target.Refusals(); len(got) == 0 || got[0] != test.rule {
				t.Errorf("%s refused it for %q, not for %s", test.target, got, test.rule)
			}
			refused := len(target.Refusals())
			args := append([]string{"convert", "--progress", "quiet", "--for", test.target, "--plain-http"}, test.flags...)
			ours := invocation{home: home, args: append(args, source.ref("1"), addr+"/app:2")}.run(t)
			if ours.code != 0 || len(target.Refusals()) > refused {
				t.Errorf("ours ends with %d, refused for %q:\n%s", ours.code, target.Refusals()[refused:], ours.stderr)
			}
			check := invocation{home: home, args: []string{"check", "--strict", "--plain-http", "--for", test.target, addr + "/app:2"}}.run(t)
			if check.code != 0 {
				t.Errorf("a check of what was pushed finds:\n%s", check.stdout)
			}
		})
	}
}

// TestAttestationFormIsBuildKits converts a build whose attestations are OCI
// artifacts for a target that takes none, and compares it with what BuildKit
// itself writes where it is asked for the older form: byte for byte, but for
// digests and sizes, since a provenance tells the time.
func TestAttestationFormIsBuildKits(t *testing.T) {
	repo := newRepository(t, "app")
	for _, form := range []string{"true", "false"} {
		buildkit.Build(t, engines.Build{
			Context:   fstest.MapFS{"Dockerfile": {Data: []byte("FROM scratch\nCOPY Dockerfile /\n")}},
			Platforms: []string{"linux/amd64", "linux/arm64"},
			Options:   []string{"attest:provenance=mode=min"},
			Output:    engines.Push(repo.ref("artifact-"+form), "oci-mediatypes=true", "oci-artifact="+form),
		})
	}
	out := invocation{args: []string{"convert", "--progress", "quiet", "--for", "gitlab", "--plain-http", repo.ref("artifact-true"), repo.ref("converted")}}.run(t)
	if out.code != 0 {
		t.Fatal(out.stderr)
	}
	got, want := attestationsOf(t, repo, "converted"), attestationsOf(t, repo, "artifact-false")
	if !strings.Contains(want, `"attestation-manifest"`) || strings.Contains(want, "artifactType") {
		t.Fatalf("BuildKit wrote no attestations of the older form:\n%s", want)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-BuildKit's +converted:\n%s", diff)
	}
}

var (
	someDigest = regexp.MustCompile(`sha256:[0-9a-f]{64}`)
	someSize   = regexp.MustCompile(`"size": [0-9]+`)
)

// attestationsOf is the text of an index, its attestation manifests and their
// configs, without digests and sizes.
func attestationsOf(t *testing.T, repo repository, tag string) string {
	t.Helper()
	body, _ := repo.document(t, tag)
	text := string(body)
	var index document
	if err := json.Unmarshal(body, &index); err != nil {
		t.Fatal(err)
	}
	for _, entry := range index.Manifests {
		if entry.Annotations["vnd.docker.reference.type"] == "" {
			continue
		}
		body, _ := repo.document(t, entry.Digest.String())
		var manifest document
		if err := json.Unmarshal(body, &manifest); err != nil {
			t.Fatal(err)
		}
		text += string(body) + string(repo.blob(t, manifest.Config.Digest))
	}
	return someSize.ReplaceAllString(someDigest.ReplaceAllString(text, "DIGEST"), `"size": N`)
}

// TestExporterEmitsForTargets has one attested build go to three targets at
// once, each of which refuses what the others take.
func TestExporterEmitsForTargets(t *testing.T) {
	t.Parallel()
	output := []string{"type=manifest-format,push=true,registry.insecure=true"}
	registries := map[string]*refusing.Registry{}
	for n, target := range []string{"heroku-registry", "gitlab", "zot"} {
		p, _ := format.LookupProfile(target)
		registries[target] = refusing.New(p)
		server := httptest.NewServer(registries[target])
		t.Cleanup(server.Close)
		prefix := fmt.Sprintf("emit.%d.", n+1)
		output = append(output, prefix+"for="+target, prefix+"name="+strings.TrimPrefix(server.URL, "http://")+"/app:1")
		if target == "heroku-registry" {
			output = append(output, prefix+"platform=linux/amd64")
		}
	}
	emissions := emit(t, engines.Build{
		Context:   twoPlatforms(t, scratch),
		Platforms: bothPlatforms,
		Options:   []string{"attest:provenance=mode=max"},
		Output:    strings.Join(output, ","),
	})
	for n, want := range []string{dockerManifest, ociIndex, ociIndex} {
		if got := emissions[n].Root.MediaType; got != want {
			t.Errorf("for %s the root is a %s, not a %s", emissions[n].Profile, got, want)
		}
	}
	for target, r := range registries {
		if refusals := r.Refusals(); len(refusals) > 0 {
			t.Errorf("%s refused something for %q", target, refusals)
		}
	}
}
