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

// Insert adds members to the object v, right after the one named after, or at
// the end if there is none of that name.
func (d *Document) Insert(v *Value, after string, members ...Member) {
	if len(members) == 0 {
		return
	}
	lay := d.layoutOf(v)
	at := len(v.items)
	for i, sibling := range v.items {
		if after != "" && sibling.Name == after {
			at = i + 1
		}
	}
	var items []*Item
	for _, m := range members {
		items = append(items, d.member(m, lay))
	}
	if len(v.items) == 0 {
		v.first, v.tail = lay.first(), lay.tail(d.style.unit)
		items[0].lead = v.first
	}
	v.items = slices.Insert(v.items, at, items...)
}

// Replace makes the value of item it what m says, laid out as the document is.
func (d *Document) Replace(parent *Value, it *Item, value any) {
	it.Value = d.build(value, d.layoutOf(parent))
}

// layout is the white space between the items of a container.
type layout string

// multiline reports whether each item stands on a line of its own.
func (l layout) multiline() bool { return strings.Contains(string(l), "\n") }

// first is what stands before the first item.
func (l layout) first() []byte {
	if l.multiline() {
		return []byte(l)
	}
	return nil
}

// tail is what stands after the last item.
func (l layout) tail(unit string) []byte {
	if l.multiline() {
		return []byte(strings.TrimSuffix(string(l), unit))
	}
	return nil
}

// inner is the layout of a container among items of layout l.
func (l layout) inner(unit string) layout {
	if l.multiline() {
		return l + layout(unit)
	}
	return l
}

// layoutOf reads off v how its items are laid out, or, where it has too few,
// how the rest of the document is.
func (d *Document) layoutOf(v *Value) layout {
	switch {
	case len(v.items) > 1:
		return layout(v.items[len(v.items)-1].lead)
	case len(v.items) == 1 && layout(v.first).multiline():
		return layout(v.first)
	case len(v.items) == 1 || d.style.unit == "":
		// On one line, who writes a space after a colon does so after a comma.
		return layout(d.style.colon[strings.IndexByte(d.style.colon, ':')+1:])
	}
	return layout("\n" + strings.Repeat(d.style.unit, d.depth(d.Root, v, 1)))
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

// member makes an item that is not the first of its object.
func (d *Document) member(m Member, lay layout) *Item {
	return &Item{Name: m.Name, key: append(quote(m.Name), d.style.colon...), Value: d.build(m.Value, lay), lead: []byte(lay)}
}

// build makes a value that stands among items of layout lay.
func (d *Document) build(value any, lay layout) *Value {
	switch x := value.(type) {
	case string:
		return &Value{kind: '"', raw: quote(x)}
	case int64:
		return &Value{kind: '0', raw: strconv.AppendInt(nil, x, 10)}
	case []string:
		inner := lay.inner(d.style.unit)
		var items []*Item
		for _, s := range x {
			items = append(items, &Item{Value: d.build(s, inner), lead: []byte(inner)})
		}
		return d.container('[', items, inner)
	case Object:
		inner := lay.inner(d.style.unit)
		var items []*Item
		for _, m := range x {
			items = append(items, d.member(m, inner))
		}
		return d.container('{', items, inner)
	}
	panic("jsontree: a value of a type that Member does not name")
}

func (d *Document) container(kind Kind, items []*Item, lay layout) *Value {
	v := &Value{kind: kind, items: items}
	if len(items) > 0 {
		v.first, v.tail = lay.first(), lay.tail(d.style.unit)
		items[0].lead = v.first
	}
	return v
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
// null, it is made, empty. It returns false where there is something else.
func (d *Document) Object(parent *Value, name string) (*Value, bool) {
	for _, it := range parent.items {
		if it.Name != name {
			continue
		}
		if it.Value.kind == 'n' {
			it.Value = &Value{kind: '{'}
		}
		return it.Value, it.Value.kind == '{'
	}
	d.Insert(parent, "", Member{Name: name, Value: Object{}})
	return parent.items[len(parent.items)-1].Value, true
}
