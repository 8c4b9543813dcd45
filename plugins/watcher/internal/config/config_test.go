// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/manifest-format/manifest-format/format"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "watcher.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	c, err := Read(write(t, `{"rules": [{"match": "docker.io/**", "for": "oci", "to": "in-place"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "watcher" || c.Concurrency != 2 || len(c.Namespaces) != 1 || c.Namespaces[0] != "default" {
		t.Errorf("the defaults are %+v", c)
	}
	r := c.Rules[0]
	if r.Profile().Name != "oci" || !r.Platforms.Pulled() || !r.Plain() {
		t.Errorf("the rule is %+v", r)
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none.json")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), FileVariable) {
		t.Errorf("of no file: %v", err)
	}
}

func TestReadRefuses(t *testing.T) {
	rule := func(fields string) string {
		return "{\n\"rules\": [\n{\"match\": \"a.io/**\", \"for\": \"oci\", \"to\": \"in-place\"},\n{" + fields + "}\n]}"
	}
	for text, want := range map[string]string{
		"{}":                                    ":1: rules: there is no rule",
		"{\n\"rules\": []}":                     ":2: rules: there is no rule",
		"{\n\"name\": \"a b\",\"rules\": []}":   `:2: name: "a b" is no name`,
		"{\n\"concurrency\": -1,\"rules\": []}": ":2: concurrency: it is less than 1",
		"{\"namespaces\": [\n\"k8s.io\",\n\"k8s.io\"]}":                                              ":3: namespaces[1]: \"k8s.io\" is there twice",
		"{\"namespaces\": [\n\"k8s io\"]}":                                                           ":2: namespaces[0]: \"k8s io\" is no namespace",
		rule(`"for": "oci", "to": "in-place"`):                                                       ":4: rules[1].match: a rule says which images",
		rule(`"match": "b.io/**", "to": "in-place"`):                                                 ":4: rules[1].for: no profile is named",
		rule(`"match": "b.io/**", "for": "ocy", "to": "in-place"`):                                   `:4: rules[1].for: no such profile: "ocy"`,
		rule(`"match": "b.io/**", "for": "oci"`):                                                     `:4: rules[1].to: a rule says where the result goes: "in-place" moves the image's own name, "{{name}}-oci" makes another`,
		rule(`"match": "b.io/**", "for": "oci", "to": "{{nam}}"`):                                    ":4: rules[1].to: \"{{nam}}\" has a place that there is not",
		rule(`"match": "b.io/**", "for": "oci", "to": "{{repository}}:oci"`):                         "gives several images the same name",
		rule(`"match": "b.io/**", "for": "oci", "to": "c.io/app:{{tag}}"`):                           "gives several images the same name",
		rule(`"match": "b.io/**", "for": "oci", "to": "{{repository}}:{{tag}}"`):                     "is the name that an image has",
		rule(`"match": "b.io/**", "for": "oci", "to": "{{name}}"`):                                   "is the name that an image has",
		rule(`"match": "b.io/**", "for": "oci", "to": "{{path}}:{{tag}}"`):                           "which has no host in front",
		rule(`"match": "b.io/**", "for": "oci", "to": "{{name}}/oci"`):                               "which is no image's name",
		rule(`"match": "b.io/**", "for": "oci", "to": "in-place", "onLoss": "no"`):                   `rules[1].onLoss: it is "no", and should be warn or fail`,
		rule(`"match": "b.io/**", "for": "oci", "to": "in-place", "compression": "x"`):               `rules[1].compression: it is "x", and should be gzip or zstd or none`,
		rule(`"match": "b.io/**", "for": "oci", "to": "in-place", "attestations": "referrers"`):      `rules[1].attestations: it is "referrers", and should be keep or drop`,
		rule(`"match": "b.io/**", "for": "oci", "to": "in-place", "platforms": "amd64/linux/x/y/z"`): "is neither pulled nor all",
		rule(`"match": "b.io/**", "for": "oci", "to": "in-place", "namespaces": ["k8s.io"]`):         `rules[1].namespaces[0]: "k8s.io" is not watched`,
		rule(`"match": "b.io/**", "for": "oci", "skip": true`):                                       "rules[1].for: the rule skips its images",
		rule(`"match": "a.io/**", "skip": true`):                                                     "rules[1].match: no image gets this far: rule 0 is for all of them",
		rule(`"match": "b.io/**", "as": "oci"`):                                                      ":4: rules[1].as: no such field: there is match, namespaces, skip, for, to,",
	} {
		path := write(t, text)
		_, err := Read(path)
		if err == nil || !strings.HasPrefix(err.Error(), path) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s\n%v\nwhich does not say %s", text, err, want)
		}
	}
}

func TestFor(t *testing.T) {
	c, err := Read(write(t, `{
		"namespaces": ["default", "k8s.io"],
		"rules": [
			{"match": "docker.io/library/**", "skip": true},
			{"match": "docker.io/**", "for": "docker", "to": "{{name}}-docker", "namespaces": ["k8s.io"]},
			{"match": "docker.io/**", "for": "oci", "to": "in-place"},
			{"match": "**:oci-*", "for": "oci", "to": "{{name}}-oci"}
		]}`))
	if err != nil {
		t.Fatal(err)
	}
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for image, want := range map[string]string{
		"default alpine":                      "",
		"default docker.io/library/alpine:3":  "",
		"default docker.io/team/app:1":        "in-place",
		"k8s.io docker.io/team/app:1":         "{{name}}-docker",
		"moby docker.io/team/app:1":           "",
		"default a.io/b:oci-1":                "{{name}}-oci",
		"default a.io/b:1":                    "",
		"k8s.io " + digest:                    "",
		"k8s.io docker.io/team/app@" + digest: "",
	} {
		namespace, name, _ := strings.Cut(image, " ")
		got := ""
		if r := c.For(namespace, name); r != nil {
			got = r.To.String()
		}
		if got != want {
			t.Errorf("%s goes to %q, want %q", image, got, want)
		}
	}
}

func TestTarget(t *testing.T) {
	for _, test := range []struct{ target, name, want string }{
		{"in-place", "any text", "any text"},
		{"{{name}}-oci", "docker.io/library/app:1", "docker.io/library/app:1-oci"},
		{"{{name}}-oci", "app", "docker.io/library/app:latest-oci"},
		{"mirror.local:5000/{{host}}/{{path}}:{{tag}}", "a.io/team/app:1", "mirror.local:5000/a.io/team/app:1"},
		{"{{repository}}/oci:{{tag}}", "a.io/team/app:1", "a.io/team/app/oci:1"},
		{"{{name}}-oci", "any text", ""},
		{"mirror.local/{{host}}/{{path}}:{{tag}}", "localhost:5000/app:1", ""},
		{"{{name}}-oci", "a.io/b:" + strings.Repeat("x", 128), ""},
	} {
		target, err := ParseTarget(test.target)
		if err != nil {
			t.Errorf("%s: %v", test.target, err)
			continue
		}
		got, err := target.Expand(test.name)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s of %s is %q, %v", test.target, test.name, got, err)
		}
		if test.want != "" && test.target != inPlace && (!target.Makes(got) || target.Makes(test.name)) {
			t.Errorf("%s takes %s for its own: %v, and %s: %v", test.target, got, target.Makes(got), test.name, target.Makes(test.name))
		}
	}
}

func TestRecipe(t *testing.T) {
	seen := map[string]string{}
	for _, fields := range []string{
		`"for": "oci"`, `"for": "docker"`, `"for": "oci", "platforms": "linux/amd64"`, `"for": "oci", "platforms": "all"`,
		`"for": "oci", "compression": "zstd"`, `"for": "oci", "attestations": "drop"`, `"for": "docker", "annotations": "labels"`,
	} {
		c, err := Read(write(t, `{"rules": [{"match": "**", "to": "in-place", `+fields+`}]}`))
		if err != nil {
			t.Fatal(err)
		}
		recipe := c.Rules[0].Recipe()
		if other, ok := seen[recipe]; ok || recipe == "" {
			t.Errorf("%s and %s have the recipe %q", other, fields, recipe)
		}
		seen[recipe] = fields
		if o := c.Rules[0].Options(); strings.Contains(fields, "zstd") && o.Compression != format.Zstd {
			t.Errorf("%s: the options are %+v", fields, o)
		}
	}
}
