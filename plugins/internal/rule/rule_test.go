// SPDX-License-Identifier: Apache-2.0

package rule

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPatternMatches(t *testing.T) {
	const digest = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, test := range []struct{ pattern, yes, no string }{
		{"**", "alpine sha256:abc localhost:5000/a/b:c team/app" + digest, ""},
		{"docker.io/**", "alpine team/app docker.io/library/alpine:3 index.docker.io/team/app alpine" + digest, "ghcr.io/a/b mirror/docker.io/x/y:z.io/a"},
		{"index.docker.io/**", "alpine", "ghcr.io/a"},
		{"docker.io/library/*", "alpine alpine:3", "team/app docker.io/a/b/c"},
		{"registry.example.com/team/*:v*", "registry.example.com/team/app:v1 registry.example.com/team/app:v1" + digest, "registry.example.com/team/app registry.example.com/team/app:1 registry.example.com/team/app" + digest + " registry.example.com/team/a/b:v1 registry-example.com/team/app:v1"},
		{"localhost:5000/**", "localhost:5000/a localhost:5000/a/b:c", "localhost:5001/a localhost/a"},
		{"*.example.com/app", "a.example.com/app:1", "example.com/app a.b/x.example.com/app a.example.com/app/b"},
		{"a.io/**/b", "a.io/b a.io/x/b:1 a.io/x/y/b", "a.io/xb a.io/b/c"},
		{"**:latest", "alpine a.io/b/c:latest", "alpine:3 alpine" + digest},
		{"**/app", "team/app a.io/b/c/app", "team/myapp"},
		{"a.io/b@sha256:e3b0*", "a.io/b" + digest + " a.io/b:t" + digest, "a.io/b a.io/b:e3b0"},
		{"[::1]:5000/**", "[::1]:5000/a/b", "localhost:5000/a"},
	} {
		p, err := ParsePattern(test.pattern)
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
			continue
		}
		for name := range strings.FieldsSeq(test.yes) {
			if !p.Matches(ParseName(name)) {
				t.Errorf("%s does not match %s, which is %s", test.pattern, name, ParseName(name))
			}
		}
		for name := range strings.FieldsSeq(test.no) {
			if p.Matches(ParseName(name)) {
				t.Errorf("%s matches %s, which is %s", test.pattern, name, ParseName(name))
			}
		}
		if text, _ := p.MarshalText(); string(text) != test.pattern {
			t.Errorf("%s is written as %s", test.pattern, text)
		}
	}
	if (Pattern{}).Matches(ParseName("alpine")) {
		t.Error("the zero pattern matches")
	}
}

func TestPatternsThatMatchNothing(t *testing.T) {
	for pattern, want := range map[string]string{
		"":                          `"**" is every image`,
		"*":                         "no name with a host in front",
		"alpine":                    `"docker.io/library/alpine"`,
		"registry.example.com":      `"registry.example.com/**"`,
		"registry.example.com:5000": "no name with a host",
		"team/app":                  `"docker.io/team/app"`,
		"docker.io/alpine":          `"docker.io/library/alpine"`,
		"docker.io/*":               `"docker.io/library/*"`,
		"a.io/":                     `"a.io/**"`,
		"a.io/b/":                   "empty component",
		"a.io/b:":                   "ends where its tag",
		"a.io/b@":                   "ends where its tag",
		"a.io/Team/app":             "upper-case",
		"a.io/te?m":                 "characters",
		"https://a.io/b":            "characters",
	} {
		if _, err := ParsePattern(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, which does not say %s", pattern, err, want)
		}
	}
}

func TestFirst(t *testing.T) {
	var rules []Pattern
	for _, s := range []string{"docker.io/library/**", "docker.io/**", "**:dev"} {
		p, err := ParsePattern(s)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, p)
	}
	for name, want := range map[string]int{"alpine": 0, "team/app:dev": 1, "a.io/b:dev": 2, "a.io/b": -1} {
		if got := First(rules, ParseName(name), func(p Pattern) Pattern { return p }); got != want {
			t.Errorf("%s: rule %d, not %d", name, got, want)
		}
	}
}

// sample is a file of rules.
type sample struct {
	Wait  Duration     `json:"wait"`
	Deep  bool         `json:"deep"`
	Count int          `json:"count"`
	Rules []sampleRule `json:"rules"`
}

type sampleRule struct {
	Match Pattern `json:"match"`
	For   string  `json:"for"`
}

// Validate refuses a rule that is for nothing.
func (s *sample) Validate(dir string) error {
	if !filepath.IsAbs(dir) {
		return errors.New("no folder")
	}
	for i, r := range s.Rules {
		if r.For == "" {
			return Field(errors.New("name a profile"), "rules", i, "for")
		}
	}
	if s.Count < 0 {
		return errors.New("a bad file")
	}
	return nil
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadFile(t *testing.T) {
	got, err := ReadFile[sample](write(t, `{"wait": "1m30s", "rules": [{"match": "docker.io/**", "for": "oci"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if time.Duration(got.Wait) != 90*time.Second || len(got.Rules) != 1 || got.Rules[0].Match.String() != "docker.io/**" {
		t.Errorf("read %+v", got)
	}
	if text, _ := got.Wait.MarshalText(); string(text) != "1m30s" {
		t.Errorf("the duration is written as %s", text)
	}
}

func TestReadFileSaysWhere(t *testing.T) {
	for text, want := range map[string]string{
		"":                        ":1: it ends too early: a bracket is not closed",
		"{\n\n":                   ":3: it ends too early: a bracket is not closed",
		"{\n  \"wait\" \"8s\"\n}": ":2: wait: no valid JSON: ",
		"{}\n{}":                  ":2: no valid JSON: ",
		"[]":                      ":1: it is a list, and should be an object",
		"{\n\"wait\": \"8s\",\n\"wait\": \"9s\"}": ":3: wait: it is there twice: leave one out",
		"{\n\"wiat\": \"8s\"}":                    ":2: wiat: no such field: there is wait, deep, count, rules",
		"{\n\"wait\": \"soon\"}":                  `:2: wait: "soon" is no length of time, such as 500ms, 8s or 1m30s`,
		"{\"wait\":\n \"-1s\"}":                   `:1: wait: "-1s" is no length of time`,
		"{\n\"wait\": 8}":                         ":2: wait: it is a number, and should be a text",
		"{\n\"deep\": \"yes\"}":                   ":2: deep: it is a text, and should be true or false",
		"{\n\"count\": 1.5}":                      ":2: count: it is a number, and should be a whole number",
		"{\n\"rules\": {}}":                       ":2: rules: it is an object, and should be a list",
		"{\"rules\": [\n{\"match\": \"**\", \"for\": \"oci\"},\n{\"match\":\n\"alpine\"}]}":  ":3: rules[1].match: \"alpine\" is no name with a host",
		"{\"rules\": [\n{\"match\": \"**\", \"for\": \"oci\"},\n\n{\"match\": \"**\"\n}\n]}": ":4: rules[1].for: name a profile",
		"{\"rules\": [\n{\"match\": \"**\",\n\"for\": \"\"}\n]}":                             ":3: rules[0].for: name a profile",
		"{\"rules\": [\n{\"match\": \"**\",\n\"fro\": \"\"}\n]}":                             ":3: rules[0].fro: no such field: there is match, for",
		"{\"count\": -1}": ": a bad file",
	} {
		path := write(t, text)
		_, err := ReadFile[sample](path)
		if err == nil {
			t.Errorf("%q is read", text)
			continue
		}
		var file *FileError
		if got, ok := strings.CutPrefix(err.Error(), path); !ok || !strings.HasPrefix(got, want) || !errors.As(err, &file) || strings.Contains(got, "\n") {
			t.Errorf("%q: %v\nwhich does not say %s", text, err, want)
		}
	}
}

func TestReadFileThatIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.json")
	if _, err := ReadFile[sample](path); !errors.Is(err, fs.ErrNotExist) || err.Error() != path+": no such file or directory" {
		t.Errorf("missing: %v", err)
	}
	dir := t.TempDir()
	if _, err := ReadFile[sample](dir); err == nil || err.Error() != dir+": is a directory" {
		t.Errorf("a directory: %v", err)
	}
	path = write(t, `{"rules": []}`+strings.Repeat(" ", maxFileSize))
	if _, err := ReadFile[sample](path); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("large: %v", err)
	}
}

func TestFindProfile(t *testing.T) {
	path := write(t, `{"name": "ours", "formats": ["docker"]}`)
	for spec, want := range map[string]string{
		"docker": "docker", "lambda": "aws-lambda", "oci, ghcr": "oci,ghcr", path: "ours", "rules.json": "ours", "./rules.json,docker": "ours,docker",
	} {
		p, err := FindProfile(spec, filepath.Dir(path))
		if err != nil || p.Name != want {
			t.Errorf("%s is %s, not %s: %v", spec, p.Name, want, err)
		}
	}
	for spec, want := range map[string]string{
		"": "no profile is named", "oci,": "no profile is named", "ocy": `no such profile: "ocy"`, "oci,docker": "no image is right for both",
		"none.json": "none.json: no such file", write(t, `{"name": "x", "fomats": []}`): "is no profile",
	} {
		if _, err := FindProfile(spec, filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, which does not say %s", spec, err, want)
		}
	}
}
