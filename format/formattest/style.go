// SPDX-License-Identifier: Apache-2.0

package formattest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Style is how a document is written: what may differ between two documents
// that say the same. The zero value is what Go's encoding/json writes.
type Style struct {
	// Indent is put before each member, once per level. Empty puts everything
	// on one line.
	Indent string
	// Colon is between a name and its value, ":" when empty.
	Colon string
	// Comma is after each member but the last, "," when empty.
	Comma string
	// Newline ends the document with one.
	Newline bool
	// CRLF writes "\r\n" where a line ends.
	CRLF bool
	// Reversed writes the members of objects last to first.
	Reversed bool
	// Unknown adds members that no specification knows, non-ASCII and things
	// that look like media types and descriptors among them.
	Unknown bool
	// EscapedSlashes writes "\/" for "/" and escapes everything not ASCII.
	EscapedSlashes bool
}

// Styles returns every style that a conversion must keep, by name.
func Styles() map[string]Style {
	return map[string]Style{
		"compact":  {},
		"spaces2":  {Indent: "  ", Colon: ": "},
		"spaces3":  {Indent: "   ", Colon: ": "},
		"spaces4":  {Indent: "    ", Colon: ": "},
		"tabs":     {Indent: "\t", Colon: ": "},
		"newline":  {Indent: "  ", Colon: ": ", Newline: true},
		"crlf":     {Indent: "  ", Colon: ": ", Newline: true, CRLF: true},
		"loose":    {Colon: " : ", Comma: " , ", Newline: true},
		"reversed": {Indent: "  ", Colon: ": ", Reversed: true},
		"unknown":  {Indent: " ", Colon: ":", Unknown: true},
		"escaped":  {EscapedSlashes: true, Unknown: true},
	}
}

// unknown has what a careless edit would change: it is to stay as it is.
const unknown = `{"mediaType":"application/vnd.oci.image.manifest.v1+json","größe":[1e3,-0.0,18446744073709551616,null],` +
	`"annotations":{"text":"\u0041 <&> é 世界 \ud83d\udc33"},"digest":"sha256:00","size":"many","platform":{}}`

// Render marshals v, and writes it in the style.
func (s Style) Render(v any) ([]byte, error) {
	compact, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	tree, err := parse(compact)
	if err != nil {
		return nil, err
	}
	if s.Unknown {
		extra, err := parse([]byte(unknown))
		if err != nil {
			return nil, err
		}
		tree.addUnknown(extra)
	}
	var b strings.Builder
	s.write(&b, tree, 0)
	if s.Newline {
		b.WriteByte('\n')
	}
	text := b.String()
	if s.CRLF {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return []byte(text), nil
}

// value is a JSON value whose members keep their order: a scalar as it is
// written, or the members of an object, or the elements of an array.
type value struct {
	scalar  string
	kind    json.Delim // '{', '[' or 0 for a scalar
	members []member
}

type member struct {
	name  string // as written, with quotes; empty in an array
	value *value
}

func parse(text []byte) (*value, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	v, err := parseValue(dec, text)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one value in %q", text)
	}
	return v, nil
}

func parseValue(dec *json.Decoder, text []byte) (*value, error) {
	scalar, token, err := next(dec, text)
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return &value{scalar: scalar}, nil
	}
	v := &value{kind: delim}
	for dec.More() {
		var m member
		if delim == '{' {
			if m.name, _, err = next(dec, text); err != nil {
				return nil, err
			}
		}
		if m.value, err = parseValue(dec, text); err != nil {
			return nil, err
		}
		v.members = append(v.members, m)
	}
	_, err = dec.Token()
	return v, err
}

// next returns the next token as it is written, and as Go has it.
func next(dec *json.Decoder, text []byte) (string, json.Token, error) {
	start := dec.InputOffset()
	token, err := dec.Token()
	if err != nil {
		return "", nil, err
	}
	return strings.TrimLeft(string(text[start:dec.InputOffset()]), ":, \t\r\n"), token, nil
}

// addUnknown puts extra into every object that is a document or a descriptor.
func (v *value) addUnknown(extra *value) {
	for _, m := range v.members {
		m.value.addUnknown(extra)
	}
	if i := slices.IndexFunc(v.members, func(m member) bool {
		return m.name == `"schemaVersion"` || m.name == `"size"`
	}); i >= 0 {
		v.members = slices.Insert(v.members, i, member{name: `"x-unknown"`, value: extra})
	}
}

func (s Style) write(b *strings.Builder, v *value, depth int) {
	if v.kind == 0 {
		b.WriteString(s.scalar(v.scalar))
		return
	}
	end := byte('}')
	if v.kind == '[' {
		end = ']'
	}
	members := slices.Clone(v.members)
	if s.Reversed && v.kind == '{' {
		slices.Reverse(members)
	}
	b.WriteString(v.kind.String())
	for i, m := range members {
		if i > 0 {
			b.WriteString(cmp.Or(s.Comma, ","))
		}
		s.line(b, depth+1)
		if v.kind == '{' {
			b.WriteString(s.scalar(m.name))
			b.WriteString(cmp.Or(s.Colon, ":"))
		}
		s.write(b, m.value, depth+1)
	}
	if len(members) > 0 {
		s.line(b, depth)
	}
	b.WriteByte(end)
}

func (s Style) line(b *strings.Builder, depth int) {
	if s.Indent != "" {
		b.WriteByte('\n')
		b.WriteString(strings.Repeat(s.Indent, depth))
	}
}

func (s Style) scalar(text string) string {
	if !s.EscapedSlashes {
		return text
	}
	var b strings.Builder
	for _, r := range strings.ReplaceAll(text, "/", `\/`) {
		switch {
		case r < 0x80:
			b.WriteRune(r)
		case r > 0xffff:
			hi, lo := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
