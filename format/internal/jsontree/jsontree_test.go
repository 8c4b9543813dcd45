// SPDX-License-Identifier: Apache-2.0

package jsontree

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func mustParse(t *testing.T, body string) *Document {
	t.Helper()
	d, err := Parse([]byte(body))
	if err != nil {
		t.Fatalf("Parse(%q): %v", body, err)
	}
	return d
}

func TestUntouchedIsIdentity(t *testing.T) {
	for _, body := range []string{
		`{}`, `{ }`, "{\n}", `[]`, `[ ]`, `[1, 2 ,3]`, ` {"a" : 1 } ` + "\n", `{"a":[{"b":{}},null,true,-1.5e3,"\u00e9\/"]}`,
		"{\r\n\t\"a\": [\r\n\t\t1,\r\n\t\t2\r\n\t]\r\n}\r\n", `"text"`, `{"a":{"a":{"a":[[[]]]}}}`,
	} {
		if got := string(mustParse(t, body).Bytes()); got != body {
			t.Errorf("got %q, want %q", got, body)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct{ name, body, want string }{
		{"empty", ``, "not valid JSON"},
		{"cut short", `{"a":1`, "not valid JSON"},
		{"duplicate name", `{"a":1,"a":2}`, "duplicate"},
		{"duplicate name under escapes", `{"a":1,"\u0061":2}`, "duplicate"},
		{"trailing comma", `{"a":1,}`, "not valid JSON"},
		{"two values", `{} {}`, "more than one JSON value, the second at byte 3"},
		{"invalid UTF-8", "{\"a\":\"\xff\"}", "UTF-8"},
		{"byte order mark", "\ufeff{}", "not valid JSON"},
		{"comment", `{/* */}`, "not valid JSON"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse([]byte(tc.body))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestRemoveKeepsTheLayout(t *testing.T) {
	for _, tc := range []struct{ name, body, remove, want string }{
		{"first, compact", `{"a":1,"b":2}`, "a", `{"b":2}`},
		{"last, compact", `{"a":1,"b":2}`, "b", `{"a":1}`},
		{"only", "{\n  \"a\": 1\n}", "a", `{}`},
		{"first, indented", "{\n  \"a\": 1,\n  \"b\": 2\n}", "a", "{\n  \"b\": 2\n}"},
		{"middle, indented", "{\n\t\"a\": 1,\n\t\"b\": 2,\n\t\"c\": 3\n}\n", "b", "{\n\t\"a\": 1,\n\t\"c\": 3\n}\n"},
		{"last, indented", "{\n  \"a\": 1,\n  \"b\": 2\n}", "b", "{\n  \"a\": 1\n}"},
		{"on one line with spaces", `{"a": 1, "b": 2, "c": 3}`, "a", `{"b": 2, "c": 3}`},
		{"space before commas", `{"a":1 , "b":2 }`, "b", `{"a":1 }`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := mustParse(t, tc.body)
			if !d.Root.Remove(tc.remove) {
				t.Fatal("nothing was removed")
			}
			if got := string(d.Bytes()); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestInsertFollowsTheLayout(t *testing.T) {
	platform := Member{"p", Object{{"os", "linux"}, {"f", []string{"x", "y"}}, {"n", int64(7)}}}
	for _, tc := range []struct{ name, body, after, want string }{
		{"compact", `{"a":1,"b":2}`, "a", `{"a":1,"p":{"os":"linux","f":["x","y"],"n":7},"b":2}`},
		{"at the end", `{"a": 1}`, "", `{"a": 1, "p": {"os": "linux", "f": ["x", "y"], "n": 7}}`},
		{
			"indented", "{\n  \"a\": 1\n}", "a",
			"{\n  \"a\": 1,\n  \"p\": {\n    \"os\": \"linux\",\n    \"f\": [\n      \"x\",\n      \"y\"\n    ],\n    \"n\": 7\n  }\n}",
		},
		{
			"on one line of an indented document", "{\n  \"o\": {\"a\": 1, \"b\": 2}\n}", "",
			"{\n  \"o\": {\"a\": 1, \"b\": 2},\n  \"p\": {\n    \"os\": \"linux\",\n    \"f\": [\n      \"x\",\n      \"y\"\n    ],\n    \"n\": 7\n  }\n}",
		},
		{"into nothing", `{}`, "", `{"p":{"os":"linux","f":["x","y"],"n":7}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := mustParse(t, tc.body)
			d.Insert(d.Root, tc.after, platform)
			if got := string(d.Bytes()); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestInsertIntoNestedEmptyObject(t *testing.T) {
	d := mustParse(t, "{\n  \"config\": {\n    \"Labels\": null\n  }\n}")
	config, _ := d.Object(d.Root, "config")
	labels, ok := d.Object(config, "Labels")
	if !ok {
		t.Fatal("Labels are no object")
	}
	d.Insert(labels, "", Member{"k", "v"})
	want := "{\n  \"config\": {\n    \"Labels\": {\n      \"k\": \"v\"\n    }\n  }\n}"
	if got := string(d.Bytes()); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestInsertIntoOneLineOfIndentedDocument(t *testing.T) {
	d := mustParse(t, "{\n  \"config\": {\"Cmd\": \"sh\", \"Env\": \"x\"}\n}")
	labels, ok := d.Object(d.Root.Get("config"), "Labels")
	if !ok {
		t.Fatal("Labels are no object")
	}
	d.Insert(labels, "", Member{"k", "v"})
	d.Insert(labels, "", Member{"l", "w"})
	want := "{\n  \"config\": {\"Cmd\": \"sh\", \"Env\": \"x\", \"Labels\": {\n      \"k\": \"v\",\n      \"l\": \"w\"\n    }}\n}"
	if got := string(d.Bytes()); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestSetTextKeepsEscapedSlashes(t *testing.T) {
	d := mustParse(t, `{"a":"x\/y","b":"x/y"}`)
	d.Root.Get("a").SetText("p/q")
	d.Root.Get("b").SetText("p/q")
	if got, want := string(d.Bytes()), `{"a":"p\/q","b":"p/q"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSetItemsAcrossDocuments(t *testing.T) {
	outer := mustParse(t, "{\n  \"m\": [\n    {\"n\":1},\n    {\"n\":2}\n  ]\n}")
	inner := mustParse(t, `{"m":[{"n":3},{"n":4}]}`)
	a, b := outer.Root.Get("m"), inner.Root.Get("m")
	a.SetItems([]*Item{b.Items()[0], b.Items()[1], a.Items()[0]})
	want := "{\n  \"m\": [\n    {\"n\":3},\n    {\"n\":4},\n    {\"n\":1}\n  ]\n}"
	if got := string(outer.Bytes()); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// FuzzParse holds that what is accepted is what encoding/json accepts, comes
// out as it went in, and stays valid JSON under every edit.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,{"b":null}],"c":"\/"}`, "{\n  \"a\": 1,\n  \"b\": []\n}\n", `[[],{}]`, `{"a" :1 , "b": {"c":2}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := Parse(body)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatalf("accepts %q, which is not JSON", body)
		}
		if got := d.Bytes(); !bytes.Equal(got, body) {
			t.Fatalf("%q comes out as %q", body, got)
		}
		if d.Root.Kind() != '{' {
			return
		}
		for i := range d.Root.Items() {
			edited, _ := Parse(body)
			name := edited.Root.Items()[i].Name
			edited.Insert(edited.Root, name, Member{name + "!", Object{{"k", []string{"v"}}}})
			edited.Root.Remove(name)
			if got := edited.Bytes(); !json.Valid(got) {
				t.Fatalf("%q without %q is %q", body, name, got)
			}
			if edited.Root.Get(name) != nil {
				t.Fatalf("%q still has %q", edited.Bytes(), name)
			}
		}
	})
}

func TestParseBoundsValues(t *testing.T) {
	if _, err := Parse([]byte("[" + strings.Repeat("0,", maxValues) + "0]")); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

// A member without a name is a member like others.
func TestInsertBesideEmptyName(t *testing.T) {
	d := mustParse(t, `{"":1,"a":2}`)
	d.Insert(d.Root, "", Member{"b", int64(3)}, Member{"c", int64(4)})
	if got, want := string(d.Bytes()), `{"":1,"a":2,"b":3,"c":4}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestObjectWhereSomethingElseIs(t *testing.T) {
	d := mustParse(t, `{"a":["precious"]}`)
	if _, ok := d.Object(d.Root, "a"); ok {
		t.Error("an array passes for an object")
	}
	if got, want := string(d.Bytes()), `{"a":["precious"]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
