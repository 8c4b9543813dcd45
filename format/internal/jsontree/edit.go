// SPDX-License-Identifier: Apache-2.0

package jsontree

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Member is a name and a value to be written: a string, an int64, a []string
// or an Object.
type Member struct {
	Name  string
	Value any
}

// Object is an object to be written, its members in order.
type Object []Member

// SetText makes v the string s. A document that escapes slashes keeps doing
// so, which makes a replacement there and back the identity.
func (v *Value) SetText(s string) {
	escaped := v.kind == '"' && bytes.Contains(v.raw, []byte(`\/`))
	v.raw, v.kind, v.items = quote(s), '"', nil
	if escaped {
		v.raw = bytes.ReplaceAll(v.raw, []byte("/"), []byte(`\/`))
	}
}

// SetInt makes v the number n.
func (v *Value) SetInt(n int64) {
	v.raw, v.kind, v.items = strconv.AppendInt(nil, n, 10), '0', nil
}

func quote(s string) []byte {
	// The only error is invalid UTF-8, which is replaced: strings come from
	// parsed documents and digests.
	b, _ := jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\uFFFD"))
	return b
}

// Filter removes the members or elements for which keep is false, and reports
// whether it removed any.
func (v *Value) Filter(keep func(i int, it *Item) bool) bool {
	var kept []*Item
	for i, it := range v.items {
		if keep(i, it) {
			kept = append(kept, it)
		}
	}
	removed := len(kept) != len(v.items)
	if removed {
		v.setItems(kept)
	}
	return removed
}

// Remove removes the member of that name, and reports whether it was there.
func (v *Value) Remove(name string) bool {
	return v.Filter(func(_ int, it *Item) bool { return it.Name != name })
}

// SetItems makes the elements of an array those in items, which may come from
// other documents.
func (v *Value) SetItems(items []*Item) { v.setItems(items) }

// setItems gives the first item the white space that a first item has, and
// the others what stands between items.
func (v *Value) setItems(items []*Item) {
	between := v.first
	if len(v.items) > 1 {
		between = v.items[1].lead
	}
	v.items = slices.Clone(items)
	for i, it := range v.items {
		switch {
		case i == 0:
			it.lead = v.first
		case len(it.lead) == 0 || &it.lead[0] == firstByte(v.first):
			it.lead = between
		}
	}
	if len(items) == 0 {
		v.first, v.tail = nil, nil
		return
	}
	v.items[len(items)-1].trail = nil // the white space before the bracket is tail
}

func firstByte(b []byte) *byte {
	if len(b) == 0 {
		return nil
	}
	return &b[0]
}

// Insert adds a member to the object v, right after the one named after, or
// at the end if there is none of that name.
func (d *Document) Insert(v *Value, after string, m Member) {
	indent := d.indentOf(v)
	it := &Item{Name: m.Name, key: append(quote(m.Name), d.style.colon...), Value: d.build(m.Value, indent), lead: []byte(indent)}
	at := len(v.items)
	for i, sibling := range v.items {
		if sibling.Name == after {
			at = i + 1
		}
	}
	if len(v.items) == 0 {
		v.first = it.lead
		v.tail = []byte(strings.TrimSuffix(indent, d.style.unit))
	}
	if n := len(v.items); n > 1 {
		it.lead = v.items[n-1].lead
	}
	v.items = slices.Insert(v.items, at, it)
}

// Replace makes the value of item it what m says, laid out as the document is.
func (d *Document) Replace(parent *Value, it *Item, value any) {
	it.Value = d.build(value, d.indentOf(parent))
}

// indentOf returns the white space that stands before each item of v.
func (d *Document) indentOf(v *Value) string {
	if len(v.items) > 0 {
		return string(v.items[len(v.items)-1].lead)
	}
	if d.style.unit == "" {
		return ""
	}
	return "\n" + strings.Repeat(d.style.unit, d.depth(d.Root, v, 1))
}

// depth returns how deep the items of v are, 1 being the root's.
func (d *Document) depth(in, v *Value, level int) int {
	if in == v {
		return level
	}
	for _, it := range in.items {
		if n := d.depth(it.Value, v, level+1); n > 0 {
			return n
		}
	}
	return 0
}

// build makes a value whose container's items stand behind indent.
func (d *Document) build(value any, indent string) *Value {
	inner := indent
	if indent != "" && d.style.unit != "" {
		inner += d.style.unit
	}
	switch x := value.(type) {
	case string:
		return &Value{kind: '"', raw: quote(x)}
	case int64:
		return &Value{kind: '0', raw: strconv.AppendInt(nil, x, 10)}
	case []string:
		v := &Value{kind: '[', first: []byte(inner), tail: []byte(indent)}
		for _, s := range x {
			v.items = append(v.items, &Item{Value: d.build(s, inner), lead: []byte(inner)})
		}
		return v
	case Object:
		v := &Value{kind: '{', first: []byte(inner), tail: []byte(indent)}
		for _, m := range x {
			v.items = append(v.items, &Item{
				Name: m.Name, key: append(quote(m.Name), d.style.colon...), Value: d.build(m.Value, inner), lead: []byte(inner),
			})
		}
		return v
	}
	panic("jsontree: a value of a type that Member does not name")
}

// styleOf reads the layout off the root's first member.
func styleOf(root *Value) style {
	s := style{colon: ":"}
	if len(root.items) == 0 {
		return s
	}
	first := root.items[0]
	if i := bytes.LastIndexByte(first.lead, '\n'); i >= 0 {
		s.unit = string(first.lead[i+1:])
	}
	if i := bytes.LastIndexByte(first.key, '"'); i >= 0 {
		s.colon = string(first.key[i+1:])
	}
	return s
}

// Object returns the member of that name, an object; where there is none, or
// null, it is made, empty.
func (d *Document) Object(parent *Value, name string) *Value {
	for _, it := range parent.items {
		if it.Name != name {
			continue
		}
		if it.Value.kind != '{' {
			it.Value = &Value{kind: '{'}
		}
		return it.Value
	}
	d.Insert(parent, "", Member{Name: name, Value: Object{}})
	v := parent.items[len(parent.items)-1].Value
	v.first, v.tail = nil, nil
	return v
}
