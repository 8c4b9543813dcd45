// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/emission"
)

// The keys of a build's metadata that are about its image.
const (
	keyDigest       = "containerimage.digest"
	keyConfigDigest = "containerimage.config.digest"
	keyDescriptor   = "containerimage.descriptor"
	keyName         = "image.name"
)

// writeFiles writes what the person asked for with --metadata-file and
// --iidfile, as buildx writes them, about the first emission.
func (x *run) writeFiles(all []Emitted) error {
	if len(all) == 0 {
		return nil
	}
	if x.r.iidFile != "" {
		if err := os.WriteFile(x.r.iidFile, []byte(all[0].imageID()), 0o644); err != nil {
			return fmt.Errorf("--iidfile: %w", err)
		}
	}
	if x.r.metadataFile == "" {
		return nil
	}
	body, err := x.describe(all)
	if err != nil {
		return fmt.Errorf("--metadata-file: %w", err)
	}
	if err := os.WriteFile(x.r.metadataFile, body, 0o644); err != nil {
		return fmt.Errorf("--metadata-file: %w", err)
	}
	return nil
}

// imageID is the digest of a single manifest's config, as docker has it, and
// otherwise the root's.
func (e Emitted) imageID() string {
	if e.config != "" {
		return e.config.String()
	}
	return e.Root.Digest.String()
}

// describe is what the first build answered, with what is about its image
// replaced by the emissions.
func (x *run) describe(all []Emitted) ([]byte, error) {
	out := metadata{}
	for key, value := range x.metadata {
		out[key] = value
	}
	set := func(key string, value any) error {
		body, err := json.Marshal(value)
		out[key] = body
		return err
	}
	first := all[0]
	delete(out, keyConfigDigest)
	if first.config != "" {
		if err := set(keyConfigDigest, first.config); err != nil {
			return nil, err
		}
	}
	names := first.Names
	if err := set(keyName, strings.Join(names, ",")); err != nil {
		return nil, err
	}
	if len(names) == 0 {
		delete(out, keyName)
	}
	if err := set(keyDigest, first.Root.Digest); err != nil {
		return nil, err
	}
	if err := set(keyDescriptor, format.Plain(first.Root)); err != nil {
		return nil, err
	}
	ours := strings.TrimSuffix(emission.ResponseKey(0, 0), "0.0")
	for key := range out {
		if strings.HasPrefix(key, ours) {
			delete(out, key)
		}
	}
	for n, e := range distinctEmissions(all) {
		if err := set(emission.ResponseKey(0, n), e); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(out)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// distinctEmissions are the emissions, each once however many names it has.
func distinctEmissions(all []Emitted) []emission.Emission {
	var distinct []emission.Emission
	for i, e := range all {
		if i == 0 || !e.SameAs(all[i-1]) {
			distinct = append(distinct, e.Emission)
		}
	}
	return distinct
}
