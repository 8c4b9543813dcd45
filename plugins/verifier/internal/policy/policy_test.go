// SPDX-License-Identifier: Apache-2.0

package policy

import (
	_ "embed"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"github.com/manifest-format/manifest-format/format"
)

//go:embed policy.schema.json
var schemaText string

// page is what documents the policy.
func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../../docs/containerd.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestExample reads the example that the documentation has.
func TestExample(t *testing.T) {
	match := regexp.MustCompile("(?s)```json\n(.*?)```").FindStringSubmatch(page(t))
	if match == nil {
		t.Fatal("the page has no example")
	}
	dir := t.TempDir()
	example := strings.Replace(match[1], "/etc/containerd/certs.d", dir, 1)
	for name, text := range map[string]string{"verifier.json": example, "config.json": `{"auths": {}}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Read(filepath.Join(dir, "verifier.json"))
	if err != nil {
		t.Fatal(err)
	}
	validate(t, example)
	for name, want := range map[string]int{
		"registry.k8s.io/pause:3.9": 0, "alpine": 1, "registry.example.com/team/app:v1": 2, "registry.example.com/team/app:1": 3,
	} {
		if got := p.For(name); got != want {
			t.Errorf("rule %d is for %s, not %d", got, name, want)
		}
	}
	if r := p.Rules[3]; r.Action != Enforce || r.Mode != Shallow || r.Severity != format.SeverityError || r.Profile().Name != "docker" {
		t.Errorf("what is left out is %+v", r)
	}
	if time.Duration(p.Budget) != 5*time.Second || p.OnTimeout != Deny || p.DockerConfig != filepath.Join(dir, "config.json") {
		t.Errorf("the policy is %+v", p)
	}
}

func validate(t *testing.T, text string) {
	t.Helper()
	schema, err := jsonschema.CompileString("policy.schema.json", schemaText)
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(document); err != nil {
		t.Errorf("the schema refuses %s: %v", text, err)
	}
}

// TestSchemaHasEveryField compares the schema and the page with what is read.
func TestSchemaHasEveryField(t *testing.T) {
	type object struct {
		Properties map[string]struct {
			Enum  []string
			Items *object
		}
	}
	var schema object
	if err := json.Unmarshal([]byte(schemaText), &schema); err != nil {
		t.Fatal(err)
	}
	text := page(t)
	compare := func(of reflect.Type, schema object) {
		var want []string
		for field := range of.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name == "" {
				continue
			}
			want = append(want, name)
			if name != "rules" && name != "$schema" && !strings.Contains(text, "\n| `"+name+"` | ") {
				t.Errorf("the page has no row for %s", name)
			}
		}
		for name := range schema.Properties {
			if !slices.Contains(want, name) {
				t.Errorf("the schema has a field %s that is not read", name)
			}
		}
		for _, name := range want {
			if _, ok := schema.Properties[name]; !ok {
				t.Errorf("the schema lacks %s", name)
			}
		}
	}
	compare(reflect.TypeFor[Policy](), schema)
	compare(reflect.TypeFor[Rule](), *schema.Properties["rules"].Items)
}
