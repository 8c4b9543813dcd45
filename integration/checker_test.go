// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/schema"
)

// The media types, written out here once more: a checker that took them from
// the product would agree with it whatever they were.
const (
	ociIndex       = "application/vnd.oci.image.index.v1+json"
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociConfig      = "application/vnd.oci.image.config.v1+json"
	ociLayer       = "application/vnd.oci.image.layer.v1.tar"
	ociForeign     = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	dockerForeign  = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	inToto         = "application/vnd.in-toto+json"
	attestationFor = "vnd.docker.reference.digest"
	attestationIs  = "vnd.docker.reference.type"
)

// dialect is what a checker accepts of one format.
type dialect struct {
	index, manifest, config string
	// layers name the compression of each media type; a foreign layer has none.
	layers map[string]string
	// valid refuses a document with anything in it that the format does not define.
	valid func(tb testing.TB, mediaType string, body []byte)
}

var dialects = map[string]dialect{
	"docker": {
		dockerList, dockerManifest, dockerConfig,
		map[string]string{dockerLayer: "gzip", dockerForeign: ""},
		validDocker,
	},
	"oci": {
		ociIndex, ociManifest, ociConfig,
		map[string]string{ociLayer: "none", ociLayer + "+gzip": "gzip", ociLayer + "+zstd": "zstd", ociForeign: ""},
		validOCI,
	},
}

// validDocker holds a document against the fields of
// https://distribution.github.io/distribution/spec/manifest-v2-2/, and no others.
func validDocker(tb testing.TB, mediaType string, body []byte) {
	tb.Helper()
	type blob struct {
		MediaType string        `json:"mediaType"`
		Size      int64         `json:"size"`
		Digest    digest.Digest `json:"digest"`
	}
	var document any
	switch mediaType {
	case dockerList:
		document = &struct {
			SchemaVersion int    `json:"schemaVersion"`
			MediaType     string `json:"mediaType"`
			Manifests     []struct {
				blob
				Platform struct {
					Architecture string   `json:"architecture"`
					OS           string   `json:"os"`
					OSVersion    string   `json:"os.version"`
					OSFeatures   []string `json:"os.features"`
					Variant      string   `json:"variant"`
					Features     []string `json:"features"`
				} `json:"platform"`
			} `json:"manifests"`
		}{}
	case dockerManifest:
		document = &struct {
			SchemaVersion int    `json:"schemaVersion"`
			MediaType     string `json:"mediaType"`
			Config        blob   `json:"config"`
			Layers        []struct {
				blob
				URLs []string `json:"urls"`
			} `json:"layers"`
		}{}
	default:
		return // a config may have any field
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(document); err != nil {
		tb.Errorf("not Docker V2.2: %v\n%s", err, body)
	}
}

// validOCI holds a document against the JSON schemas of the image specification.
func validOCI(tb testing.TB, mediaType string, body []byte) {
	tb.Helper()
	validator := map[string]schema.Validator{
		ociIndex:    schema.ValidatorMediaTypeImageIndex,
		ociManifest: schema.ValidatorMediaTypeManifest,
		ociConfig:   schema.ValidatorMediaTypeImageConfig,
	}[mediaType]
	if err := validator.Validate(bytes.NewReader(body)); err != nil {
		tb.Errorf("not valid against the schema of %s: %v\n%s", mediaType, err, body)
	}
}

// document is the part of a manifest or an index that both formats have.
type document struct {
	SchemaVersion int
	MediaType     string
	ArtifactType  string
	Config        *descriptor
	Layers        []descriptor
	Manifests     []descriptor
	Subject       *descriptor
	Annotations   map[string]string
}

// checked is what an image turned out to be.
type checked struct {
	root digest.Digest
	// images are the manifests by platform, configs their configs.
	images, configs map[string]digest.Digest
	// attested counts the in-toto statements in the index, by image.
	attested map[digest.Digest]int
	// referring counts the in-toto statements that refer to an image.
	referring map[digest.Digest]int
	// body is the root document.
	body []byte
}

// checker reads a whole image as strictly as its format allows.
type checker struct {
	repository
	dialect
	checked
}

// check reads the image at ref, which must be strictly of the format,
// complete, and right in every digest and size.
func check(tb testing.TB, r repository, ref, format string) checked {
	tb.Helper()
	c := &checker{r, dialects[format], checked{
		images: map[string]digest.Digest{}, configs: map[string]digest.Digest{},
		attested: map[digest.Digest]int{}, referring: map[digest.Digest]int{},
	}}
	body, served := r.document(tb, ref)
	c.body, c.root = body, digest.FromBytes(body)
	root := descriptor{MediaType: served, Digest: c.root, Size: int64(len(body))}
	if served == c.manifest {
		c.image(tb, root)
		return c.checked
	}
	for _, entry := range c.open(tb, root, c.index).Manifests {
		if entry.Annotations[attestationIs] == "attestation-manifest" {
			c.attestation(tb, entry)
			continue
		}
		c.image(tb, entry)
	}
	for subject := range c.attested {
		if !slices.ContainsFunc(mapValues(c.images), func(d digest.Digest) bool { return d == subject }) {
			tb.Errorf("an attestation speaks of %s, which is no image of the index", subject)
		}
	}
	return c.checked
}

// open reads a document of the given media type through its descriptor.
func (c *checker) open(tb testing.TB, desc descriptor, mediaType string) document {
	tb.Helper()
	body, served := c.document(tb, desc.Digest.String())
	c.right(tb, desc, body)
	var d document
	if err := json.Unmarshal(body, &d); err != nil {
		tb.Fatalf("%s: %v", desc.Digest, err)
	}
	if desc.MediaType != mediaType || d.MediaType != mediaType || served != mediaType || d.SchemaVersion != 2 {
		tb.Errorf("%s is %s, called %s, served as %s, schema version %d: want %s",
			desc.Digest, d.MediaType, desc.MediaType, served, d.SchemaVersion, mediaType)
	}
	if mediaType == c.index || mediaType == c.manifest {
		c.valid(tb, mediaType, body)
	} else {
		validOCI(tb, mediaType, body)
	}
	return d
}

// right compares content with its descriptor.
func (c *checker) right(tb testing.TB, desc descriptor, body []byte) {
	tb.Helper()
	if int64(len(body)) != desc.Size || digest.FromBytes(body) != desc.Digest {
		tb.Errorf("a descriptor promises %d bytes of %s, the content is %d bytes of %s",
			desc.Size, desc.Digest, len(body), digest.FromBytes(body))
	}
}

// image reads an image, its config and layers, and what refers to it.
func (c *checker) image(tb testing.TB, desc descriptor) {
	tb.Helper()
	m := c.open(tb, desc, c.manifest)
	if m.Config == nil || m.Config.MediaType != c.config {
		tb.Fatalf("%s has the config %+v, want %s", desc.Digest, m.Config, c.config)
	}
	body := c.blob(tb, m.Config.Digest)
	c.right(tb, *m.Config, body)
	c.valid(tb, c.config, body)
	var config struct {
		Architecture, OS, Variant string
		RootFS                    struct {
			DiffIDs []digest.Digest `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(body, &config); err != nil {
		tb.Fatal(err)
	}
	if p := desc.Platform; p != nil && (p.OS != config.OS || p.Architecture != config.Architecture) {
		tb.Errorf("%s is called %s/%s, its config says %s/%s", desc.Digest, p.OS, p.Architecture, config.OS, config.Architecture)
	}
	name := config.OS + "/" + config.Architecture
	if other, twice := c.images[name]; twice {
		tb.Errorf("two images for %s: %s and %s", name, other, desc.Digest)
	}
	c.images[name], c.configs[name] = desc.Digest, m.Config.Digest
	if len(m.Layers) != len(config.RootFS.DiffIDs) {
		tb.Fatalf("%s has %d layers and %d diff ids", desc.Digest, len(m.Layers), len(config.RootFS.DiffIDs))
	}
	for n, layer := range m.Layers {
		c.layer(tb, layer, config.RootFS.DiffIDs[n])
	}
	c.referrers(tb, desc)
}

// layer decompresses a layer to its diff id.
func (c *checker) layer(tb testing.TB, desc descriptor, diffID digest.Digest) {
	tb.Helper()
	compression, known := c.layers[desc.MediaType]
	switch {
	case !known:
		tb.Errorf("a layer is %s", desc.MediaType)
		return
	case compression == "": // it is elsewhere
		if len(desc.URLs) == 0 {
			tb.Errorf("the foreign layer %s is nowhere", desc.Digest)
		}
		return
	}
	body := c.blob(tb, desc.Digest)
	c.right(tb, desc, body)
	plain, err := decompress(compression, body)
	if err != nil {
		tb.Errorf("layer %s is no %s: %v", desc.Digest, compression, err)
	} else if got := digest.FromBytes(plain); got != diffID {
		tb.Errorf("layer %s decompresses to %s, not to %s", desc.Digest, got, diffID)
	}
}

func decompress(compression string, body []byte) ([]byte, error) {
	switch compression {
	case "gzip":
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	case "zstd":
		r, err := zstd.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	return body, nil
}

// attestation reads an attestation manifest of the index.
func (c *checker) attestation(tb testing.TB, desc descriptor) {
	tb.Helper()
	if desc.Platform == nil || desc.Platform.OS != "unknown" || desc.Platform.Architecture != "unknown" {
		tb.Errorf("the attestation %s has the platform %v", desc.Digest, desc.Platform)
	}
	m := c.open(tb, desc, c.manifest)
	subject := digest.Digest(desc.Annotations[attestationFor])
	if m.Subject != nil && m.Subject.Digest != subject {
		tb.Errorf("the attestation %s is of %s for the index, of %s by itself", desc.Digest, subject, m.Subject.Digest)
	}
	c.attested[subject] += c.statements(tb, m)
}

// statements reads all blobs of an attestation and counts the in-toto
// statements among them.
func (c *checker) statements(tb testing.TB, m document) (count int) {
	tb.Helper()
	c.right(tb, *m.Config, c.blob(tb, m.Config.Digest))
	for _, statement := range m.Layers {
		c.right(tb, statement, c.blob(tb, statement.Digest))
		if statement.MediaType == inToto {
			count++
		}
	}
	return count
}

// referrers reads what refers to an image, which the registry knows by API or
// by tag.
func (c *checker) referrers(tb testing.TB, subject descriptor) {
	tb.Helper()
	response, body := c.request(tb, http.MethodGet, "/referrers/"+subject.Digest.String(), "", nil)
	if response.StatusCode == http.StatusNotFound {
		response, body = c.request(tb, http.MethodGet, "/manifests/"+strings.Replace(subject.Digest.String(), ":", "-", 1), "", nil)
	}
	if response.StatusCode == http.StatusNotFound {
		return
	}
	var list document
	if err := json.Unmarshal(body, &list); err != nil {
		tb.Fatalf("referrers of %s: %v: %s", subject.Digest, err, body)
	}
	if list.MediaType != ociIndex {
		tb.Errorf("the referrers of %s are listed in a %s", subject.Digest, list.MediaType)
	}
	for _, entry := range list.Manifests {
		artifact := c.open(tb, entry, ociManifest)
		if artifact.ArtifactType == "" || artifact.ArtifactType != entry.ArtifactType {
			tb.Errorf("referrer %s is a %q, listed as %q", entry.Digest, artifact.ArtifactType, entry.ArtifactType)
		}
		s := artifact.Subject
		if s == nil || s.MediaType != subject.MediaType || s.Digest != subject.Digest || s.Size != subject.Size {
			tb.Errorf("referrer %s refers to %+v, not to %+v", entry.Digest, s, subject)
		}
		c.referring[subject.Digest] += c.statements(tb, artifact)
	}
}

func mapValues[K comparable, V any](m map[K]V) (values []V) {
	for _, v := range m {
		values = append(values, v)
	}
	return values
}
