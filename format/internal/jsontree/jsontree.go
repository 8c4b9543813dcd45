// SPDX-License-Identifier: Apache-2.0

// Package jsontree edits JSON in place: a document is taken apart with every
// byte of white space kept beside the value it stands by, values are replaced,
// removed or inserted, and what was not touched comes out as it went in.
//
// Parsing is strict (RFC 8259 with RFC 7493's ban on duplicate names): a
// document that two parsers could read differently is refused.
package jsontree

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Kind is the JSON type of a value, as its first byte: '{' '[' '"' '0' 't' 'f' 'n'.
type Kind = jsontext.Kind

// Value is one JSON value. Objects and arrays have items.
type Value struct {
	kind Kind
	// raw is a scalar as it stands in the document.
	raw   []byte
	items []*Item
	// tail is the white space before the closing bracket.
	tail []byte
	// first is the white space before the first item, whichever that is.
	first []byte
}

// Item is a member of an object or an element of an array.
type Item struct {
	// Name is the member's name, unescaped; empty for an element.
	Name  string
	Value *Value

	lead  []byte // white space before the item, after a comma
	key   []byte // the name as it stands, with colon and white space
	trail []byte // white space before the comma
}

// Document is a parsed JSON text.
type Document struct {
	Root       *Value
	head, tail []byte
	style      style
}

// style is how the document is laid out, for what is inserted into it.
type style struct {
	unit  string // one step of indentation, empty when on one line
	colon string // what stands between a name and its value
}

type parser struct {
	dec    *jsontext.Decoder
	body   []byte
	end    int // of the token read last
	values int
}

// maxValues is how many values a document may have. Each costs a hundred times
// the two bytes that it may be written in.
const maxValues = 400_000

// ErrTooLarge is a document of more values than are read.
var ErrTooLarge = errors.New("more JSON values than are read")

// Parse takes body apart. Body must not be changed while the document is used.
func Parse(body []byte) (*Document, error) {
	p := &parser{dec: jsontext.NewDecoder(bytes.NewBuffer(body)), body: body}
	head := p.space()
	root, err := p.value()
	if err != nil {
		return nil, err
	}
	d := &Document{Root: root, head: head, tail: body[p.end:]}
	if rest := bytes.Trim(d.tail, " \t\r\n"); len(rest) > 0 {
		return nil, fmt.Errorf("more than one JSON value, the second at byte %d", len(body)-len(bytes.TrimLeft(d.tail, " \t\r\n")))
	}
	d.style = styleOf(root)
	return d, nil
}

// space returns the white space that follows the token read last.
func (p *parser) space() []byte {
	i := p.end
	for i < len(p.body) && strings.IndexByte(" \t\r\n", p.body[i]) >= 0 {
		i++
	}
	return p.body[p.end:i]
}

// token reads the next token and returns it as it stands in the document.
func (p *parser) token() (Kind, []byte, error) {
	t, err := p.dec.ReadToken()
	if err != nil {
		var syntax *jsontext.SyntacticError
		if errors.As(err, &syntax) {
			return 0, nil, fmt.Errorf("not valid JSON at byte %d, %s: %w", syntax.ByteOffset, orRoot(syntax.JSONPointer), syntax.Err)
		}
		return 0, nil, fmt.Errorf("not valid JSON: %w", err)
	}
	start := p.end
	for strings.IndexByte(" \t\r\n,:", p.body[start]) >= 0 {
		start++
	}
	p.end = int(p.dec.InputOffset())
	return t.Kind(), p.body[start:p.end], nil
}

func orRoot(p jsontext.Pointer) string {
	if p == "" {
		return "at the top"
	}
	return string(p)
}

func (p *parser) value() (*Value, error) {
	kind, raw, err := p.token()
	if err != nil {
		return nil, err
	}
	if p.values++; p.values > maxValues {
		return nil, ErrTooLarge
	}
	v := &Value{kind: kind}
	if kind != '{' && kind != '[' {
		v.raw = raw
		return v, nil
	}
	v.first = p.space()
	for lead := v.first; ; {
		switch p.dec.PeekKind() {
		case '}', ']':
			v.tail = lead
			if n := len(v.items); n > 0 {
				v.tail, v.items[n-1].trail = v.items[n-1].trail, nil
			}
			_, _, err := p.token()
			return v, err
		}
		it := &Item{lead: lead}
		if kind == '{' {
			if err := p.name(it); err != nil {
				return nil, err
			}
		}
		if it.Value, err = p.value(); err != nil {
			return nil, err
		}
		it.trail = p.space()
		v.items = append(v.items, it)
		lead = nil
		if i := p.end + len(it.trail); i < len(p.body) && p.body[i] == ',' {
			lead = leadAfter(p.body, i+1)
		}
	}
}

func leadAfter(body []byte, start int) []byte {
	end := start
	for end < len(body) && strings.IndexByte(" \t\r\n", body[end]) >= 0 {
		end++
	}
	return body[start:end]
}

// name reads a member's name up to its value.
func (p *parser) name(it *Item) error {
	_, raw, err := p.token()
	if err != nil {
		return err
	}
	start := p.end - len(raw)
	if it.Name, err = unquote(raw); err != nil {
		return err
	}
	end := p.end
	for end < len(p.body) && strings.IndexByte(" \t\r\n:", p.body[end]) >= 0 {
		end++
	}
	it.key = p.body[start:end]
	return nil
}

func unquote(raw []byte) (string, error) {
	b, err := jsontext.AppendUnquote(nil, raw)
	return string(b), err
}

// Bytes returns the document as it is now.
func (d *Document) Bytes() []byte {
	var b bytes.Buffer
	b.Write(d.head)
	d.Root.write(&b)
	b.Write(d.tail)
	return b.Bytes()
}

func (v *Value) write(b *bytes.Buffer) {
	if v.kind != '{' && v.kind != '[' {
		b.Write(v.raw)
		return
	}
	open, shut := byte('{'), byte('}')
	if v.kind == '[' {
		open, shut = '[', ']'
	}
	b.WriteByte(open)
	for i, it := range v.items {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(it.lead)
		b.Write(it.key)
		it.Value.write(b)
		b.Write(it.trail)
	}
	b.Write(v.tail)
	b.WriteByte(shut)
}

// Kind returns the value's JSON type.
func (v *Value) Kind() Kind { return v.kind }

// Items returns the members or elements, in order. The slice must not be changed.
func (v *Value) Items() []*Item { return v.items }

// Get returns the member of that name, nil if there is none. It may be called
// on nil.
func (v *Value) Get(name string) *Value {
	if v == nil {
		return nil
	}
	for _, it := range v.items {
		if it.key != nil && it.Name == name {
			return it.Value
		}
	}
	return nil
}

// Raw returns the value as it is now.
func (v *Value) Raw() []byte {
	var b bytes.Buffer
	v.write(&b)
	return b.Bytes()
}

// Text returns a string's value, and whether v is one. It may be called on nil.
func (v *Value) Text() (string, bool) {
	if v == nil || v.kind != '"' {
		return "", false
	}
	s, err := unquote(v.raw)
	return s, err == nil
}
