// SPDX-License-Identifier: Apache-2.0

// Package dockerconfig edits docker's config.json in place: what is not
// touched keeps its bytes, its order and its indentation, and what this program
// does not know stays.
package dockerconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Document is the text of a configuration. Make one with [Parse].
type Document struct {
	body []byte
	root object
}

// object is where a JSON object is in the text.
type object struct {
	open, end int // of its braces: end is behind the closing one
	members   []member
}

// member is where a member of an object is.
type member struct {
	name       string
	key, value int // where they begin
	end        int // behind the value
	text       string
	isText     bool
	object     *object // nil for other values
}

// Parse reads a configuration: one JSON object.
func Parse(body []byte) (*Document, error) {
	d := &Document{body: bytes.Clone(body)}
	return d, d.parse()
}

func (d *Document) parse() error {
	decoder := jsontext.NewDecoder(bytes.NewReader(d.body))
	if decoder.PeekKind() != jsontext.KindBeginObject {
		if _, err := decoder.ReadValue(); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return errors.New("it is no JSON object")
	}
	root, err := readObject(decoder)
	if err != nil {
		return err
	}
	d.root = *root
	if _, err := decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("there is something behind its JSON object, at byte %d", root.end)
	}
	return nil
}

func readObject(decoder *jsontext.Decoder) (*object, error) {
	if _, err := decoder.ReadToken(); err != nil {
		return nil, err
	}
	o := &object{open: int(decoder.InputOffset()) - 1}
	for decoder.PeekKind() != jsontext.KindEndObject {
		name, err := decoder.ReadValue()
		if err != nil {
			return nil, err
		}
		m := member{end: int(decoder.InputOffset())}
		m.key = m.end - len(name)
		if m.name, err = unquote(name); err != nil {
			return nil, err
		}
		if err := m.read(decoder); err != nil {
			return nil, err
		}
		o.members = append(o.members, m)
	}
	_, err := decoder.ReadToken()
	o.end = int(decoder.InputOffset())
	return o, err
}

// read reads the value.
func (m *member) read(decoder *jsontext.Decoder) (err error) {
	kind := decoder.PeekKind()
	if kind == jsontext.KindBeginObject {
		m.object, err = readObject(decoder)
		if err != nil {
			return err
		}
		m.value, m.end = m.object.open, m.object.end
		return nil
	}
	value, err := decoder.ReadValue()
	if err != nil {
		return err
	}
	m.end = int(decoder.InputOffset())
	m.value = m.end - len(value)
	if kind == jsontext.KindString {
		m.isText = true
		m.text, err = unquote(value)
	}
	return err
}

func unquote(value jsontext.Value) (string, error) {
	text, err := jsontext.AppendUnquote(nil, value)
	return string(text), err
}

// Bytes is the text as it is by now.
func (d *Document) Bytes() []byte { return d.body }

// Get returns the text at a path; ok is false if there is none.
func (d *Document) Get(path ...string) (text string, ok bool) {
	m := d.find(path)
	if m == nil || !m.isText {
		return "", false
	}
	return m.text, true
}

// Has reports whether there is anything at a path.
func (d *Document) Has(path ...string) bool { return d.find(path) != nil }

// IsEmpty reports whether there is an object without members at a path; the
// document itself is at the empty one.
func (d *Document) IsEmpty(path ...string) bool {
	if len(path) == 0 {
		return len(d.root.members) == 0
	}
	m := d.find(path)
	return m != nil && m.object != nil && len(m.object.members) == 0
}

func (d *Document) find(path []string) *member {
	o := &d.root
	var found *member
	for _, name := range path {
		if o == nil {
			return nil
		}
		i := slices.IndexFunc(o.members, func(m member) bool { return m.name == name })
		if i < 0 {
			return nil
		}
		found = &o.members[i]
		o = found.object
	}
	return found
}

// Set puts a text at a path, and makes the objects on the way that are not
// there. Something else on the way is an error.
func (d *Document) Set(text string, path ...string) error {
	if m := d.find(path); m != nil {
		if !m.isText {
			return fmt.Errorf("%s is no text", strings.Join(path, "."))
		}
		return d.splice(m.value, m.end, quote(text))
	}
	at, depth := &d.root, 0
	for ; depth < len(path)-1; depth++ {
		m := d.find(path[:depth+1])
		if m == nil {
			break
		}
		if m.object == nil {
			return fmt.Errorf("%s is no object", strings.Join(path[:depth+1], "."))
		}
		at = m.object
	}
	return d.insert(at, path[depth:], text)
}

// quote is a text as JSON.
func quote(text string) string {
	quoted, err := jsontext.AppendQuote(nil, text)
	if err != nil {
		panic(err) // only for what is no UTF-8, and the texts are this program's
	}
	return string(quoted)
}

// insert adds a member at the end of an object.
func (d *Document) insert(o *object, path []string, text string) error {
	before, after, at := "", "", o.open+1
	switch n := len(o.members); {
	case n > 0:
		at = o.members[n-1].end
		before = "," + d.space(o)
	case d.multiline():
		outer := d.indentOf(o)
		before, after = "\n"+outer+d.unit(), "\n"+outer
	}
	if len(o.members) == 0 {
		// What stands between the braces is white space.
		if err := d.splice(at, o.end-1, ""); err != nil {
			return err
		}
	}
	return d.splice(at, at, before+d.nested(path, text, before)+after)
}

// nested is a member, with the objects on the way to a text: on lines of their
// own where the white space before it has such.
func (d *Document) nested(path []string, text, before string) string {
	key := quote(path[0]) + ":"
	if d.multiline() || bytes.Contains(d.body, []byte(`": `)) {
		key += " "
	}
	if len(path) == 1 {
		return key + quote(text)
	}
	if !strings.Contains(before, "\n") {
		return key + "{" + d.nested(path[1:], text, before) + "}"
	}
	indent := lastLine(before)
	inner := "\n" + indent + d.unit()
	return key + "{" + inner + d.nested(path[1:], text, inner) + "\n" + indent + "}"
}

// space is the white space before an object's last member.
func (d *Document) space(o *object) string {
	last := len(o.members) - 1
	from := o.open + 1
	if last > 0 {
		from = o.members[last-1].end
	}
	text := string(d.body[from:o.members[last].key])
	return text[len(strings.TrimRight(text, " \t\r\n")):]
}

// multiline reports whether the document has its members on lines of their own.
// An empty one gets them.
func (d *Document) multiline() bool {
	return len(d.root.members) == 0 || bytes.ContainsRune(d.body[d.root.open:d.root.members[0].key], '\n')
}

// unit is by how much a member is indented: docker's own is a tab.
func (d *Document) unit() string {
	if len(d.root.members) > 0 {
		if indent := lastLine(string(d.body[d.root.open+1 : d.root.members[0].key])); indent != "" {
			return indent
		}
	}
	return "\t"
}

// indentOf is the indentation of the line that an object begins on.
func (d *Document) indentOf(o *object) string {
	line := lastLine(string(d.body[:o.open]))
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}

// lastLine is what stands behind the last line break.
func lastLine(text string) string { return text[strings.LastIndexByte(text, '\n')+1:] }

// Delete removes what is at a path. An object that then is empty stays.
func (d *Document) Delete(path ...string) error {
	m := d.find(path)
	if m == nil {
		return nil
	}
	o := &d.root
	if len(path) > 1 {
		o = d.find(path[:len(path)-1]).object
	}
	i := slices.IndexFunc(o.members, func(other member) bool { return other.key == m.key })
	switch {
	case len(o.members) == 1:
		return d.splice(o.open+1, o.end-1, "")
	case i > 0:
		return d.splice(o.members[i-1].end, m.end, "")
	}
	return d.splice(m.key, o.members[1].key, "")
}

// splice replaces a stretch of the text.
func (d *Document) splice(from, to int, text string) error {
	d.body = slices.Concat(d.body[:from], []byte(text), d.body[to:])
	return d.parse()
}
