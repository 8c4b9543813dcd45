// SPDX-License-Identifier: Apache-2.0

package refusing

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/format"
)

// document is what of a manifest or an index targets look at.
type document struct {
	MediaType    string       `json:"mediaType"`
	ArtifactType string       `json:"artifactType"`
	Config       *descriptor  `json:"config"`
	Layers       []descriptor `json:"layers"`
	Manifests    []descriptor `json:"manifests"`
	Subject      *descriptor  `json:"subject"`
}

type descriptor struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Digest       digest.Digest     `json:"digest"`
	Size         int64             `json:"size"`
	URLs         []string          `json:"urls"`
	Annotations  map[string]string `json:"annotations"`
	Platform     json.RawMessage   `json:"platform"`
}

// The beginnings of the formats' media types.
const (
	oci    = "application/vnd.oci."
	docker = "application/vnd.docker."
)

// refusal returns the id of the rule for which the target of p refuses a
// document, empty if it takes it.
func refusal(p format.Profile, mediaType string, body []byte, there func(digest.Digest) bool) string {
	var d document
	if err := json.Unmarshal(body, &d); err != nil {
		return "media-type"
	}
	isDocker := strings.HasPrefix(mediaType, docker)
	family := format.OCI
	if isDocker {
		family = format.Docker
	}
	isArtifact := d.Manifests == nil && (d.Config == nil || !strings.Contains(d.Config.MediaType, "image"))
	holds := func(rule string) bool { return slices.Contains(p.Details, rule) }
	switch {
	case len(p.Formats) > 0 && !slices.Contains(p.Formats, family):
		return "media-type"
	case d.Manifests != nil && p.Index == format.IndexForbidden:
		return "single-manifest"
	case d.mixed(isDocker) && p.Evidence("mixed-formats") != nil:
		return "mixed-formats"
	case isArtifact && d.ArtifactType == "application/vnd.docker.attestation.manifest.v1+json" &&
		len(p.AttestationForms) > 0 && !slices.Contains(p.AttestationForms, format.FormArtifact):
		return "attestation-form"
	case isArtifact && holds("image-config"):
		return "image-config"
	case isArtifact && holds("artifact-type"):
		return "artifact-type"
	case d.MediaType == "" && holds("top-level-media-type"):
		return "top-level-media-type"
	case d.Config != nil && d.Config.Annotations != nil && holds("config-annotations"):
		return "config-annotations"
	case d.parameters() && holds("type-parameter"):
		return "type-parameter"
	case d.Subject != nil && d.Subject.Platform != nil && holds("subject-platform"):
		return "subject-platform"
	case d.Subject != nil && holds("subject-present") && !there(d.Subject.Digest):
		return "subject-present"
	case p.Limits.DocumentBytes > 0 && int64(len(body)) > p.Limits.DocumentBytes:
		return "document-size"
	}
	return d.layerRefusal(p, holds)
}

// mixed reports whether a Docker document names parts of OCI's, or the reverse.
func (d document) mixed(isDocker bool) bool {
	other := docker
	if isDocker {
		other = oci
	}
	for _, part := range slices.Concat(d.Layers, d.Manifests) {
		if strings.HasPrefix(part.MediaType, other) {
			return true
		}
	}
	return d.Config != nil && strings.HasPrefix(d.Config.MediaType, other+"container.image")
}

// parameters reports whether a type in the document has one.
func (d document) parameters() bool {
	types := d.ArtifactType
	for _, part := range slices.Concat(d.Layers, d.Manifests) {
		types += part.MediaType + part.ArtifactType
	}
	if d.Config != nil {
		types += d.Config.MediaType
	}
	return strings.Contains(types, ";")
}

// layerRefusal is the rule that a layer breaks.
func (d document) layerRefusal(p format.Profile, holds func(string) bool) string {
	for _, l := range d.Layers {
		compression := format.Uncompressed
		switch {
		case strings.HasSuffix(l.MediaType, "zstd"):
			compression = format.Zstd
		case strings.HasSuffix(l.MediaType, "gzip"):
			compression = format.Gzip
		}
		isLayer := strings.Contains(l.MediaType, "layer") || strings.Contains(l.MediaType, "rootfs.")
		switch {
		case isLayer && len(p.Compressions) > 0 && !slices.Contains(p.Compressions, compression):
			return "layer-compression"
		case len(l.URLs) > 0 && holds("layer-urls"):
			return "layer-urls"
		case p.Limits.LayerBytes > 0 && l.Size > p.Limits.LayerBytes:
			return "layer-size"
		}
	}
	return ""
}
