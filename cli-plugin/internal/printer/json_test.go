// SPDX-License-Identifier: Apache-2.0

package printer

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/conformance"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/inspection"
	"github.com/manifest-format/manifest-format/format"
)

// fieldRow is a row of docs/json.md: a field's name, and what it is.
var fieldRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\|")

// docs/json.md has every field that --format json can print, under the name of
// its struct, and no other.
func TestEveryFieldIsInTheManual(t *testing.T) {
	page, err := os.ReadFile("../../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, section := range strings.Split(string(page), "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		name := title[strings.LastIndex(title, " ")+1:]
		for _, row := range fieldRow.FindAllStringSubmatch(text, -1) {
			if strings.Contains(row[2], "optional") {
				row[1] += ",optional"
			}
			got[name] = append(got[name], row[1])
		}
		slices.Sort(got[name])
	}
	want := map[string][]string{}
	for _, v := range []any{Build{}, Conversion{}, Refusal{}, inspection.Image{}, conformance.Assessment{}, format.Profile{}} {
		addStructs(want, reflect.TypeOf(v))
	}
	for name := range want {
		slices.Sort(want[name])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/json.md is not what is printed (-printed +page):\n%s", diff)
	}
}

// addStructs adds the fields of the struct in t, and of those in its fields.
func addStructs(structs map[string][]string, t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if _, known := structs[t.Name()]; known || t.Kind() != reflect.Struct {
		return
	}
	structs[t.Name()] = []string{}
	for _, field := range reflect.VisibleFields(t) {
		if !field.IsExported() || field.Anonymous || field.Tag.Get("json") == "-" {
			continue
		}
		name, option, _ := strings.Cut(field.Tag.Get("json"), ",")
		if option == "omitempty" || option == "omitzero" {
			name += ",optional"
		}
		structs[t.Name()] = append(structs[t.Name()], name)
		addStructs(structs, field.Type)
	}
}
