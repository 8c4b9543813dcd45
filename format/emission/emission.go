// SPDX-License-Identifier: Apache-2.0

// Package emission is the contract between a builder whose BuildKit has our
// exporter and whoever asks it for a build: the worker label that tells such a
// builder from others, the exporter's attributes, and what the builder answers.
// An emission is one image, in the format of one profile, under its own names:
// one build has as many as are asked for.
package emission

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

const (
	// ExporterType is the type of the exporter, as in `--output type=…`.
	ExporterType = "manifest-format"
	// WorkerLabel is on every worker that has the exporter. Its value is
	// [WorkerVersion]. A builder without it takes our attributes for metadata
	// and passes over them without a word: look for the label first.
	WorkerLabel = "manifest-format"
	// WorkerVersion is of the attributes and of the response.
	WorkerVersion = "v1"
)

// The exporter's attributes, beside those of BuildKit's image exporter.
const (
	// AttrFor is the profile to emit for: a name, or the profile itself as a
	// JSON object.
	AttrFor = "for"
	// AttrManifestFormat is AttrFor for BuildKit's own types: it makes the
	// types image, oci and docker emit for a profile.
	AttrManifestFormat = "manifest-format"
	// AttrAttestations is keep, referrers or drop; the profile's default if empty.
	AttrAttestations = "attestations"
	// AttrOnLoss is warn or fail.
	AttrOnLoss = "on-loss"
	// AttrAnnotations is drop or labels.
	AttrAnnotations = "annotations"
	// AttrPlatform keeps the platforms named, with commas between them, of
	// those that are built.
	AttrPlatform = "platform"
	// AttrSingle makes the one platform that is left the root, without an index.
	AttrSingle = "single"
	// AttrEmit begins the attributes of one emission: emit.1.name, emit.1.for.
	// What stands without it holds for every emission that does not say
	// otherwise. With name among it, it is an emission itself, the first.
	AttrEmit = "emit."
)

// responsePrefix begins the keys of the exporter's response.
const responsePrefix = "manifest-format."

// Emission is what one emission has become.
type Emission struct {
	// Names are the references that the image has or gets, normalised; none
	// when it was named nowhere.
	Names []string `json:"names"`
	// Profile is the name of the profile.
	Profile string `json:"profile"`
	// Format is that of the root.
	Format format.Format `json:"format"`
	// Root is the root's descriptor.
	Root ocispec.Descriptor `json:"root"`
	// Size is of everything that the root names and of the referrers, each
	// blob once, in bytes.
	Size int64 `json:"size"`
	// Pushed says that the builder pushes it to the names.
	Pushed bool `json:"pushed,omitempty"`
	// Referrers are artifact manifests pushed beside it.
	Referrers []ocispec.Descriptor `json:"referrers"`
	// Losses and Notes are the conversion's.
	Losses []format.Loss `json:"losses"`
	Notes  []format.Note `json:"notes"`
}

// ResponseKey is the key of an emission's [Emission.Encode] in the response of
// a build: by the number of the output among those of the build, and that of
// the emission in the output, each from 0.
func ResponseKey(output, emission int) string {
	return fmt.Sprintf("%s%d.%d", responsePrefix, output, emission)
}

// Encode returns e as base64 of a JSON object, which clients of BuildKit show
// as an object in their metadata file.
func (e Emission) Encode() (string, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("encode an emission: %w", err)
	}
	return base64.StdEncoding.EncodeToString(body), nil
}

// FromResponse returns the emissions of a build by the response of the solve:
// in the order of outputs, then of emissions.
func FromResponse(response map[string]string) ([]Emission, error) {
	return collect(response, func(value string) ([]byte, error) {
		return base64.StdEncoding.DecodeString(value)
	})
}

// FromMetadata returns the emissions of a build by the metadata file that
// buildx or buildctl wrote, in the order of [FromResponse].
func FromMetadata(file []byte) ([]Emission, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(file, &values); err != nil {
		return nil, fmt.Errorf("not the metadata of a build: %w", err)
	}
	return collect(values, func(value json.RawMessage) ([]byte, error) { return value, nil })
}

// collect decodes the values whose keys are emissions'.
func collect[V any](values map[string]V, body func(V) ([]byte, error)) ([]Emission, error) {
	var keys []string
	for key := range maps.Keys(values) {
		if _, ok := position(key); ok {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		first, _ := position(a)
		second, _ := position(b)
		return slices.Compare(first[:], second[:])
	})
	emissions := make([]Emission, len(keys))
	for i, key := range keys {
		text, err := body(values[key])
		if err == nil {
			err = json.Unmarshal(text, &emissions[i])
		}
		if err != nil {
			return nil, fmt.Errorf("the builder's answer %s: %w", key, err)
		}
	}
	return emissions, nil
}

// position takes a response key apart.
func position(key string) (at [2]int, ok bool) {
	rest, ok := strings.CutPrefix(key, responsePrefix)
	if !ok {
		return at, false
	}
	output, emission, ok := strings.Cut(rest, ".")
	if !ok {
		return at, false
	}
	for i, text := range []string{output, emission} {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return at, false
		}
		at[i] = n
	}
	return at, true
}
