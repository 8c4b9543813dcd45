// SPDX-License-Identifier: Apache-2.0

package buildx

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestScan(t *testing.T) {
	for _, tc := range []struct {
		line string
		flag string
		want []string
		rest []string // operands
	}{
		{"-t a --tag b --tag=c -td -t=e .", "tag", []string{"a", "b", "c", "d", "e"}, []string{"."}},
		{"-qt a .", "tag", []string{"a"}, []string{"."}},
		{"-qta .", "quiet", []string{"true"}, []string{"."}},
		{"--push --build-arg push=false .", "push", []string{"true"}, []string{"."}},
		{"--push=false .", "push", []string{"false"}, []string{"."}},
		{"-q=false .", "quiet", []string{"false"}, []string{"."}},
		{"--build-arg --push .", "push", nil, []string{"."}},
		{"-- --push", "push", nil, []string{"--push"}},
		{"-f - -", "file", []string{"-"}, []string{"-"}},
		{"--for docker --for=oci .", "for", []string{"docker", "oci"}, []string{"."}},
		// Flags of a buildx to come.
		{"--new --push . -x", "push", []string{"true"}, []string{"."}},
		{"--new=a b", "new", []string{"a"}, []string{"b"}},
		{"-z a", "-z", []string{""}, []string{"a"}},
	} {
		args, err := Scan(strings.Fields(tc.line), "for")
		if err != nil {
			t.Errorf("%s: %v", tc.line, err)
			continue
		}
		if diff := cmp.Diff(tc.want, args.Values(tc.flag)); diff != "" {
			t.Errorf("%s: --%s (-want +got):\n%s", tc.line, tc.flag, diff)
		}
		if diff := cmp.Diff(tc.rest, args.Operands()); diff != "" {
			t.Errorf("%s: operands (-want +got):\n%s", tc.line, diff)
		}
	}
	for _, line := range []string{"-t", "--tag", "-qt", "--for"} {
		if args, err := Scan(strings.Fields(line), "for"); err == nil {
			t.Errorf("%s: scanned as %v", line, args)
		}
	}
}

// What is taken apart and not changed is what buildx gets: the same arguments,
// but for letters that stood together.
func TestScanKeepsWords(t *testing.T) {
	word := rapid.StringMatching(`(--)?[a-z]{0,4}(=[a-z-]{0,3})?|--(tag|push|for|output|load)(=[a-z]{0,2})?|-[tfoq]?=?[a-z]?|-|--|\.`)
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(word).Draw(t, "words")
		args, err := Scan(words, "for")
		if err != nil {
			t.Skip()
		}
		again, err := Scan(args.Words(), "for")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(args, again, cmp.AllowUnexported(Arg{})); diff != "" {
			t.Fatalf("%q became %q (-first +second):\n%s", words, args.Words(), diff)
		}
		if without := args.Without("tag", "push", "for"); len(without.Values("tag"))+len(without.Values("push"))+len(without.Values("for")) > 0 {
			t.Fatalf("%q without flags is %q", words, without.Words())
		}
	})
}

func TestOutput(t *testing.T) {
	for _, tc := range []struct{ in, out string }{
		{"type=image,name=a,push=true", ""},
		{`type=image,"name=a,b",PUSH=true`, `type=image,"name=a,b",push=true`},
		{"push=true,type=registry", "type=registry,push=true"},
		{"out", "type=local,dest=out"},
		{"-", "type=tar,dest=-"},
		{`type=image,"annotation.x=say ""a"""`, ""},
	} {
		o, err := ParseOutput(tc.in)
		if err != nil {
			t.Errorf("%s: %v", tc.in, err)
			continue
		}
		if tc.out == "" {
			tc.out = tc.in
		}
		if o.String() != tc.out {
			t.Errorf("%s: is %s, want %s", tc.in, o, tc.out)
		}
	}
	for _, in := range []string{"", "name=a", `type="image`} {
		if o, err := ParseOutput(in); err == nil {
			t.Errorf("%q was read as %s", in, o)
		}
	}
}

func TestParseBuilder(t *testing.T) {
	b, err := parseBuilder([]byte(`Name:          two
Driver:        remote
Last Activity: 2026-01-01 00:00:00 +0000 UTC

Nodes:
Name:             two0
Endpoint:         unix:///run/one.sock
Status:           running
Features:
 OCI exporter: true
Labels:
 manifest-format: v1
 other:           a:b
GC Policy rule#0:
 All: false

Name:     two1
Endpoint: unix:///run/two.sock
Labels:
 other: c
`))
	if err != nil {
		t.Fatal(err)
	}
	want := &Builder{Name: "two", Driver: "remote", Nodes: []Node{
		{
			Name: "two0", Endpoint: "unix:///run/one.sock",
			Labels: map[string]string{"manifest-format": "v1", "other": "a:b"},
		},
		{Name: "two1", Endpoint: "unix:///run/two.sock", Labels: map[string]string{"other": "c"}},
	}}
	if diff := cmp.Diff(want, b); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if b.Has("manifest-format") || !b.Has("other") {
		t.Error("a label of one node is not one of the builder")
	}
	if _, err := parseBuilder([]byte("something else")); err == nil {
		t.Error("what names no builder was read as one")
	}
}
