// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
	"github.com/manifest-format/manifest-format/format/formattest/refusing"
	"github.com/manifest-format/manifest-format/integration/engines"
)

// shapes are images that differ in what targets are particular about. Each has
// layers of its own: an engine unpacks no layer that it knows.
func shapes(t *testing.T) map[string]formattest.Blob {
	t.Helper()
	o, d := formattest.Builder{Format: format.OCI}, formattest.Builder{Format: format.Docker}
	const amd64, arm64 = "linux/amd64", "linux/arm64"
	n := 0
	layer := func(b formattest.Builder, c format.Compression) formattest.Blob {
		n++
		return b.Layer(c, fmt.Sprintf("shape=%d", n))
	}
	image := func(b formattest.Builder) formattest.Blob { return b.Manifest(amd64, layer(b, format.Gzip)) }
	other := func(b formattest.Builder) formattest.Blob { return b.Manifest(arm64, layer(b, format.Gzip)) }
	annotate := func(doc map[string]any) { doc["annotations"] = map[string]string{"a": "b"} }
	without := func(field string) func(map[string]any) { return func(doc map[string]any) { delete(doc, field) } }
	config := func(doc map[string]any) map[string]any { return doc["config"].(map[string]any) }
	first := func(doc map[string]any, field string) map[string]any { return doc[field].([]any)[0].(map[string]any) }

	artifact := asArtifact(t, image(o))
	attestedOld, attestedNew, attestedDocker := image(o), image(o), image(d)
	subject := image(o)
	return map[string]formattest.Blob{
		"oci":                        image(o),
		"oci zstd":                   o.Manifest(amd64, layer(o, format.Zstd)),
		"oci plain":                  o.Manifest(amd64, layer(o, format.Uncompressed)),
		"docker":                     image(d),
		"docker plain":               d.Manifest(amd64, layer(d, format.Uncompressed)),
		"docker zstd":                d.Manifest(amd64, layer(d, format.Zstd)),
		"oci index":                  o.Index(image(o)),
		"oci index of two":           o.Index(image(o), other(o)),
		"oci index zstd":             o.Index(o.Manifest(amd64, layer(o, format.Zstd))),
		"docker list":                d.Index(image(d), other(d)),
		"attested, image form":       o.Index(attestedOld, o.Attestation(false, attestedOld, "https://spdx.dev/Document")),
		"attested, artifact form":    o.Index(attestedNew, o.Attestation(true, attestedNew, "https://spdx.dev/Document")),
		"attested docker list":       d.Index(attestedDocker, d.Attestation(false, attestedDocker, "https://spdx.dev/Document")),
		"oci without mediaType":      edited(t, image(o), without("mediaType")),
		"index without mediaType":    edited(t, o.Index(image(o)), without("mediaType")),
		"docker with oci layer":      edited(t, image(d), func(doc map[string]any) { first(doc, "layers")["mediaType"] = ocispec.MediaTypeImageLayerGzip }),
		"docker with oci config":     edited(t, image(d), func(doc map[string]any) { config(doc)["mediaType"] = ocispec.MediaTypeImageConfig }),
		"oci with docker layer":      edited(t, image(o), func(doc map[string]any) { first(doc, "layers")["mediaType"] = format.MediaTypeDockerLayer }),
		"oci with docker config":     edited(t, image(o), func(doc map[string]any) { config(doc)["mediaType"] = format.MediaTypeDockerConfig }),
		"docker list of oci":         d.Index(image(o)),
		"oci index of docker":        o.Index(image(d)),
		"nested index":               o.Index(o.Index(image(o))),
		"annotated docker list":      edited(t, d.Index(image(d)), annotate),
		"annotated docker":           edited(t, image(d), annotate),
		"annotated oci":              edited(t, image(o), annotate),
		"annotated oci config":       edited(t, image(o), func(doc map[string]any) { annotate(config(doc)) }),
		"artifact":                   artifact,
		"index with artifact":        o.Index(image(o), artifact),
		"oci with subject":           withSubject(t, image(o), subject),
		"entry without platform":     edited(t, o.Index(image(o)), func(doc map[string]any) { delete(first(doc, "manifests"), "platform") }),
		"docker without platform":    edited(t, d.Index(image(d)), func(doc map[string]any) { delete(first(doc, "manifests"), "platform") }),
		"two images of one platform": o.Index(image(o), image(o)),
		"oci artifactType":           edited(t, image(o), func(doc map[string]any) { doc["artifactType"] = "application/vnd.example.image" }),
	}
}

// asArtifact makes an artifact of an image.
func asArtifact(t *testing.T, image formattest.Blob) formattest.Blob {
	t.Helper()
	artifact := edited(t, image, func(doc map[string]any) {
		doc["artifactType"] = "application/vnd.example.thing"
		doc["config"] = map[string]any{"mediaType": ocispec.MediaTypeEmptyJSON, "digest": digest.FromString("{}").String(), "size": 2}
	})
	artifact.Children = append(artifact.Children, formattest.Blob{Desc: ocispec.DescriptorEmptyJSON, Body: []byte("{}")})
	artifact.Desc.Platform = nil
	return artifact
}

func withSubject(t *testing.T, image, subject formattest.Blob) formattest.Blob {
	t.Helper()
	return edited(t, image, func(doc map[string]any) {
		doc["subject"] = map[string]any{"mediaType": subject.Desc.MediaType, "digest": subject.Desc.Digest.String(), "size": subject.Desc.Size}
	})
}

// target is a target that runs here.
type target struct {
	profile string
	// takes reports whether the target takes an image that is stored in the
	// repository under the tag, and what it says if not.
	takes func(t *testing.T, repo repository, tag string, image formattest.Blob) (bool, string)
}

// reals are all targets that run here.
func reals(t *testing.T) []target {
	t.Helper()
	push := func(reg *engines.Registry) func(*testing.T, repository, string, formattest.Blob) (bool, string) {
		return func(t *testing.T, repo repository, tag string, image formattest.Blob) (bool, string) {
			t.Helper()
			return repository{reg.Addr, repo.name}.tryPut(t, tag, image)
		}
	}
	targets := []target{
		{"distribution-2", push(engines.StartRegistry(t, engines.RegistryOptions{V2: true}))},
		{"distribution-3", push(registry)},
	}
	if os.Geteuid() != 0 && os.Getenv("CI") == "" {
		t.Log("no root, so no containerd, no podman and no Docker Engine")
		return targets
	}
	pull := func(out engines.Output, err error) (bool, string) { return err == nil, out.Stderr }
	for profile, engine := range map[string]*engines.Dockerd{
		"docker-engine-20.10": engines.StartDockerd(t, engines.DockerdOptions{V20: true}),
		"docker-engine-29":    engines.StartDockerd(t, engines.DockerdOptions{}),
	} {
		targets = append(targets, target{profile, func(t *testing.T, repo repository, tag string, _ formattest.Blob) (bool, string) {
			t.Helper()
			return pull(engines.NewHome(t, repo.addr).Try(t, engines.DockerCLI(t), "--host", engine.Host, "pull", "--quiet", repo.ref(tag)))
		}})
	}
	for profile, engine := range map[string]*engines.Containerd{
		"containerd-1.6": engines.StartContainerd(t, engines.ContainerdOptions{V1: true}),
		"containerd-2.1": engines.StartContainerd(t, engines.ContainerdOptions{}),
	} {
		targets = append(targets, target{profile, func(t *testing.T, repo repository, tag string, _ formattest.Blob) (bool, string) {
			t.Helper()
			return pull(engine.TryCtr(t, "images", "pull", "--plain-http", repo.ref(tag)))
		}})
	}
	home := map[string]*engines.Home{}
	return append(targets, target{"podman-4", func(t *testing.T, repo repository, tag string, _ formattest.Blob) (bool, string) {
		t.Helper()
		if home[repo.addr] == nil {
			home[repo.addr] = engines.NewHome(t, repo.addr)
		}
		return pull(home[repo.addr].Try(t, "podman", "pull", "--quiet", repo.ref(tag)))
	}})
}

// tryPut pushes an image, and reports whether the registry took all of it.
func (r repository) tryPut(t *testing.T, tag string, image formattest.Blob) (bool, string) {
	t.Helper()
	for _, child := range image.Children {
		if !isDocument(child) {
			r.putBlob(t, child.Body)
		} else if ok, says := r.tryPut(t, child.Desc.Digest.String(), child); !ok {
			return false, says
		}
	}
	response, answer := r.request(t, http.MethodPut, "/manifests/"+tag, image.Desc.MediaType, image.Body)
	return response.StatusCode == http.StatusCreated, string(answer)
}

// stricter are images against which a check finds something, though the target
// takes them: a rule is not finer than that.
var stricter = map[string]bool{
	// Podman refuses OCI layers in a Docker manifest and a Docker config in an
	// OCI manifest, and takes the reverse.
	"podman-4: oci with docker layer":  true,
	"podman-4: docker with oci config": true,
}

// TestVerdictsAreReal holds what a check says of images of many shapes to what
// the real targets do with them.
func TestVerdictsAreReal(t *testing.T) {
	server := httptest.NewServer(refusing.New(format.Profile{Name: "all"})) // which refuses nothing
	t.Cleanup(server.Close)
	source := repository{strings.TrimPrefix(server.URL, "http://"), "shapes"}
	all := shapes(t)
	names := slices.Sorted(maps.Keys(all))
	store := formattest.NewStore()
	for i, name := range names {
		all[name].Put(store)
		if ok, says := source.tryPut(t, fmt.Sprint(i), all[name]); !ok {
			t.Fatalf("%s: %s", name, says)
		}
	}
	for _, target := range reals(t) {
		t.Run(target.profile, func(t *testing.T) {
			p, ok := format.LookupProfile(target.profile)
			if !ok {
				t.Fatal("no such profile")
			}
			for i, name := range names {
				image := all[name]
				root := ocispec.Descriptor{MediaType: image.Desc.MediaType, Digest: image.Desc.Digest, Size: image.Desc.Size}
				report, err := format.Check(context.Background(), store, root, p)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				taken, says := target.takes(t, source, fmt.Sprint(i), image)
				worst := report.Severity()
				if taken != (worst == "") && !stricter[target.profile+": "+name] {
					t.Errorf("%s: a check says %q, and it is taken: %t %s\n%v", name, worst, taken, strings.TrimSpace(says), rulesOf(report))
				}
			}
		})
	}
}

// rulesOf lists the findings of a report.
func rulesOf(r *format.Report) []string {
	var rules []string
	for _, f := range r.Findings {
		rules = append(rules, fmt.Sprintf("%s %s at %s", f.Severity, f.Rule, f.Path))
	}
	return rules
}
