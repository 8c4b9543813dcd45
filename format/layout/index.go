// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/go-json-experiment/json/jsontext"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tidwall/sjson"

	"github.com/manifest-format/manifest-format/format"
)

// emptyIndex is the index.json of a layout with nothing in it.
const emptyIndex = `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`

// maxEntries is how many entries index.json may have: as many as an image may
// have descriptors.
const maxEntries = 10_000

// entry is one element of index.json's manifests: its bytes, which are kept,
// and what they mean.
type entry struct {
	raw  []byte
	desc ocispec.Descriptor
}

// index is index.json, taken apart so that it can be put together again with
// only the entries changed that are meant to change.
type index struct {
	body       []byte
	start, end int // body[start:end] is the value of manifests
	lead, tail string
	entries    []entry
	changed    bool
}

// parseIndex parses index.json strictly. what names it in errors.
func parseIndex(body []byte, what string) (*index, error) {
	doc, err := parse(body, what)
	if err != nil {
		return nil, err
	}
	if doc.MediaType != "" && doc.MediaType != ocispec.MediaTypeImageIndex {
		return nil, fmt.Errorf("%s: %w: its mediaType is %q", what, format.ErrAmbiguous, doc.MediaType)
	}
	i := &index{body: body}
	if err := i.locate(); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	for n, e := range i.entries {
		if err := decode(e.raw, fmt.Sprintf("%s: entry %d", what, n), &i.entries[n].desc); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// locate finds the entries in the bytes, which are known to be valid JSON.
func (i *index) locate() error {
	dec := jsontext.NewDecoder(bytes.NewReader(i.body))
	if token, err := dec.ReadToken(); err != nil || token.Kind() != jsontext.KindBeginObject {
		return fmt.Errorf("%w: not an object", format.ErrCorrupt)
	}
	for dec.PeekKind() != jsontext.KindEndObject {
		key, err := dec.ReadToken()
		if err != nil {
			return err
		}
		member := key.String()
		value, err := dec.ReadValue()
		if err != nil {
			return err
		}
		if member != "manifests" {
			continue
		}
		i.end = int(dec.InputOffset())
		i.start = i.end - len(value)
		return i.split(value.Clone())
	}
	return fmt.Errorf("%w: it has no manifests", format.ErrCorrupt)
}

// split takes the array of entries apart. Docker 25.0 writes null for an empty
// one (https://github.com/moby/moby/issues/47210).
func (i *index) split(array jsontext.Value) error {
	switch array.Kind() {
	case jsontext.KindBeginArray:
	case jsontext.KindNull:
		return nil
	default:
		return fmt.Errorf("%w: its manifests are no array", format.ErrCorrupt)
	}
	dec := jsontext.NewDecoder(bytes.NewReader(array))
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != jsontext.KindEndArray {
		value, err := dec.ReadValue()
		if err != nil {
			return err
		}
		if len(i.entries) == maxEntries {
			return fmt.Errorf("%w: more than %d entries", format.ErrTooLarge, maxEntries)
		}
		if len(i.entries) == 0 {
			i.lead = string(array[1 : int(dec.InputOffset())-len(value)])
		}
		i.tail = string(array[dec.InputOffset() : len(array)-1])
		i.entries = append(i.entries, entry{raw: value.Clone()})
	}
	return nil
}

// descriptors returns what the entries mean.
func (i *index) descriptors() []ocispec.Descriptor {
	descs := make([]ocispec.Descriptor, 0, len(i.entries))
	for _, e := range i.entries {
		descs = append(descs, e.desc)
	}
	return descs
}

// put names desc n in place of what was called so, as Dir.PutRoot says.
func (i *index) put(desc ocispec.Descriptor, n name) error {
	if n == (name{}) {
		for _, e := range i.entries {
			if e.desc.Digest == desc.Digest {
				return nil
			}
		}
	}
	added, err := i.newEntry(n.on(desc))
	if err != nil {
		return err
	}
	var kept []entry
	placed := false
	for _, e := range i.entries {
		switch old := nameOf(e.desc); {
		case n != (name{}) && (n.replaces(old) || old == (name{}) && e.desc.Digest == desc.Digest):
			if placed {
				continue
			}
			placed = true
			if reflect.DeepEqual(e.desc, added.desc) {
				added = e
			}
			e = added
		case n.full == "" && n.tag != "" && old.tag == n.tag:
			if e, err = e.untagged(); err != nil {
				return err
			}
		}
		kept = append(kept, e)
	}
	if !placed {
		kept = append(kept, added)
	}
	i.changed = i.changed || !reflect.DeepEqual(kept, i.entries)
	i.entries = kept
	return nil
}

// replaces reports whether an image called n takes the place of one called
// old. Full names are compared if n has one: a:1 and b:1 share a tag, and are
// two images.
func (n name) replaces(old name) bool {
	if n.full == "" {
		return old.full == "" && old.tag == n.tag
	}
	full, err := parseName(old.full)
	return old.full == n.full || err == nil && full.full == n.full
}

// untagged is e with its full name only. The other bytes stay.
func (e entry) untagged() (entry, error) {
	path := "annotations." + strings.ReplaceAll(ocispec.AnnotationRefName, ".", `\.`)
	raw, err := sjson.DeleteBytes(e.raw, path)
	if err != nil {
		return entry{}, err
	}
	return entry{raw: raw, desc: name{full: e.desc.Annotations[images.AnnotationImageName]}.on(e.desc)}, nil
}

// newEntry writes desc in the style that the entries around it are written in.
func (i *index) newEntry(desc ocispec.Descriptor) (entry, error) {
	raw, err := encode(desc)
	if err != nil {
		return entry{}, err
	}
	margin := i.lead[strings.LastIndexByte(i.lead, '\n')+1:] // of an element, two levels deep
	if margin != i.lead && strings.Trim(margin, " \t") == "" {
		value := jsontext.Value(raw)
		if err := value.Indent(jsontext.WithIndentPrefix(margin), jsontext.WithIndent(margin[:(len(margin)+1)/2])); err != nil {
			return entry{}, err
		}
		raw = value
	}
	return entry{raw: raw, desc: desc}, nil
}

// bytes is index.json with the entries as they are now, and whether that is
// another file than before.
func (i *index) bytes() ([]byte, bool) {
	if !i.changed {
		return i.body, false
	}
	var b bytes.Buffer
	b.Write(i.body[:i.start])
	b.WriteByte('[')
	for n, e := range i.entries {
		if n > 0 {
			b.WriteByte(',')
		}
		b.WriteString(i.lead)
		b.Write(e.raw)
	}
	b.WriteString(i.tail)
	b.WriteByte(']')
	b.Write(i.body[i.end:])
	return b.Bytes(), true
}
