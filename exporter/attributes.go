// SPDX-License-Identifier: Apache-2.0

package exporter

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/util/suggest"

	"github.com/manifest-format/manifest-format/format/emission"
)

// keyTar is of BuildKit's exporters of archives, which do not export it.
const keyTar = "tar"

// imageAttributes are those of BuildKit's image exporter, beside annotations.
var imageAttributes = func() []string {
	var keys []string
	for _, key := range []exptypes.ImageExporterOptKey{
		exptypes.OptKeyName, exptypes.OptKeyPush, exptypes.OptKeyPushByDigest, exptypes.OptKeyInsecure, exptypes.OptKeyUnpack,
		exptypes.OptKeyDanglingPrefix, exptypes.OptKeyDanglingEmptyOnly, exptypes.OptKeyNameCanonical, exptypes.OptKeyStore,
		exptypes.OptKeyOCITypes, exptypes.OptKeyOCIArtifact, exptypes.OptKeyForceInlineAttestations, exptypes.OptKeyPreferNondistLayers,
		exptypes.OptKeySourceDateEpoch, exptypes.OptKeyLayerCompression, exptypes.OptKeyForceCompression,
		exptypes.OptKeyCompressionLevel, exptypes.OptKeyRewriteTimestamp,
	} {
		keys = append(keys, string(key))
	}
	return keys
}()

// clientAttributes are buildx's notes to itself, which it sends along: which
// engine it loads into, and whether that one keeps images by their root.
var clientAttributes = []string{"context", "prefer-image-digest"}

// ourAttributes are those that BuildKit does not know.
var ourAttributes = []string{
	emission.AttrAttestations, emission.AttrOnLoss, emission.AttrAnnotations, emission.AttrPlatform, emission.AttrSingle,
}

// isOurs reports whether an attribute of one of BuildKit's own types makes it
// ours. The others of ours go with it.
func isOurs(key string) bool {
	return key == emission.AttrManifestFormat || strings.HasPrefix(key, emission.AttrEmit)
}

// known lists the attributes of an exporter type.
func known(typ string) []string {
	keys := slices.Concat(imageAttributes, ourAttributes)
	if typ == emission.ExporterType {
		keys = append(keys, emission.AttrFor)
	} else {
		keys = append(keys, emission.AttrManifestFormat)
	}
	if typ == client.ExporterOCI || typ == client.ExporterDocker {
		keys = append(keys, keyTar)
	}
	return keys
}

// checkAttribute refuses an attribute that nobody knows. BuildKit takes such a
// one for metadata of the image, so that a slip of the pen changes nothing and
// says nothing.
func checkAttribute(typ, whole, key string) error {
	if _, annotation, err := exptypes.ParseAnnotationKey(key); annotation {
		if err != nil {
			return fmt.Errorf("%s: attribute %q: %w", typ, whole, err)
		}
		return nil
	}
	for _, metadata := range exptypes.KnownRefMetadataKeys {
		if key == metadata || strings.HasPrefix(key, metadata+"/") {
			return nil
		}
	}
	keys := known(typ)
	if slices.Contains(keys, key) || slices.Contains(clientAttributes, key) {
		return nil
	}
	nearest, ok := suggest.Search(key, keys, true)
	if !ok {
		nearest = sameBeginning(key, keys)
	}
	hint := "there are " + strings.Join(slices.Sorted(slices.Values(keys)), ", ")
	if nearest != "" {
		hint = fmt.Sprintf("did you mean %q?", strings.TrimSuffix(whole, key)+nearest)
	}
	return fmt.Errorf("%s has no attribute %q: %s", typ, whole, hint)
}

// minBeginning is how much of a word says which one is meant.
const minBeginning = 3

// sameBeginning returns the shortest of keys that begins as key does, or the
// other way round: "attest" is meant for "attestations". Empty for none.
func sameBeginning(key string, keys []string) string {
	var nearest string
	for _, k := range keys {
		if len(key) >= minBeginning && (strings.HasPrefix(k, key) || strings.HasPrefix(key, k)) && (nearest == "" || len(k) < len(nearest)) {
			nearest = k
		}
	}
	return nearest
}

// split makes of an output's attributes those of each of its emissions: what
// stands without emit.N. holds for all that do not say otherwise. With a
// name it is an emission itself, the first.
func split(typ string, attrs map[string]string) ([]map[string]string, error) {
	shared := map[string]string{}
	numbered := map[int]map[string]string{}
	for whole, value := range attrs {
		key := whole
		rest, emitted := strings.CutPrefix(whole, emission.AttrEmit)
		n := 0
		if emitted {
			number, attribute, ok := strings.Cut(rest, ".")
			var err error
			if n, err = strconv.Atoi(number); !ok || err != nil || n < 0 {
				return nil, fmt.Errorf("%s: attribute %q is not %sN.ATTRIBUTE, with N a number", typ, whole, emission.AttrEmit)
			}
			if key = attribute; typ != emission.ExporterType && key == emission.AttrFor {
				// An emission names its profile alike in every type.
				key = emission.AttrManifestFormat
			}
		}
		if err := checkAttribute(typ, whole, key); err != nil {
			return nil, err
		}
		if !emitted {
			shared[key] = value
			continue
		}
		if numbered[n] == nil {
			numbered[n] = map[string]string{}
		}
		numbered[n][key] = value
	}
	return overlay(shared, numbered), nil
}

// overlay lays each emission's attributes over those that all share.
func overlay(shared map[string]string, numbered map[int]map[string]string) []map[string]string {
	var all []map[string]string
	if _, named := shared[string(exptypes.OptKeyName)]; named || len(numbered) == 0 {
		all = append(all, shared)
	}
	for _, n := range slices.Sorted(maps.Keys(numbered)) {
		one := maps.Clone(shared)
		// A name is one emission's.
		delete(one, string(exptypes.OptKeyName))
		maps.Copy(one, numbered[n])
		all = append(all, one)
	}
	return all
}

// profileKey is the attribute that names a profile.
func profileKey(typ string) string {
	if typ == emission.ExporterType {
		return emission.AttrFor
	}
	return emission.AttrManifestFormat
}
