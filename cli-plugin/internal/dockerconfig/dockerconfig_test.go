// SPDX-License-Identifier: Apache-2.0

package dockerconfig

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var installation = Installation{Plugin: "ours", Profile: "docker", Hooks: []string{"push", "image push"}}

func open(t *testing.T, text string) *File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What uninstall leaves is what there was before install, byte for byte.
func TestUninstallUndoes(t *testing.T) {
	for _, text := range []string{
		"{}", "{}\n", `{"auths":{}}`, `{"auths": {}, "x": [1, 2]}`,
		"{\n\t\"auths\": {\n\t\t\"a.example\": {}\n\t}\n}",
		"{\n  \"credsStore\": \"pass\",\n  \"unknown\": {\"a\": 1e3}\n}\n",
		"{\r\n    \"auths\": {}\r\n}\r\n",
		`{"aliases":{"builder":"buildx"},"auths":{}}`,
		"{\n\t\"aliases\": {},\n\t\"plugins\": {\n\t\t\"other\": {\"hooks\": \"run\"}\n\t}\n}",
		"{\n\t\"plugins\": {\n\t\t\"ours\": {\n\t\t\t\"mine\": \"1\"\n\t\t}\n\t}\n}",
		"{\n\t\"plugins\": {\"ours\": {\"default-profile\": \"oci\"}}, \"features\": {\"hooks\": \"false\"}\n}",
		"{\"features\": {\"buildkit\": \"true\"}, \"currentContext\": \"x\"}",
		"{\n\"auths\": {}\n}",
	} {
		f := open(t, text)
		i := installation
		if err := f.Install(i); err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		once := string(f.Bytes())
		var valid map[string]any
		if err := json.Unmarshal(f.Bytes(), &valid); err != nil {
			t.Errorf("%q became %q: %v", text, once, err)
		}
		if err := f.Install(i); err != nil || string(f.Bytes()) != once {
			t.Errorf("%q: installed twice, %v:\n%s", text, err, cmp.Diff(once, string(f.Bytes())))
		}
		if alias, _ := f.Get("aliases", "builder"); alias != "ours" {
			t.Errorf("%q: the alias is %q", text, alias)
		}
		for range 2 {
			if _, err := f.Uninstall("ours"); err != nil {
				t.Errorf("%q: %v", text, err)
			}
			if diff := cmp.Diff(text, string(f.Bytes())); diff != "" {
				t.Errorf("after uninstall (-before +after), installed it was\n%s\n%s", once, diff)
			}
		}
	}
}

func TestInstallLooksLikeDockers(t *testing.T) {
	f := open(t, "{\n\t\"auths\": {}\n}")
	if err := f.Install(installation); err != nil {
		t.Fatal(err)
	}
	want := `{
	"auths": {},
	"aliases": {
		"builder": "ours"
	},
	"plugins": {
		"ours": {
			"default-profile": "docker",
			"hooks": "push,image push",
			"added": "aliases,aliases.builder,features,features.hooks,plugins,plugins.ours,plugins.ours.default-profile,plugins.ours.hooks"
		}
	},
	"features": {
		"hooks": "true"
	}
}`
	if diff := cmp.Diff(want, string(f.Bytes())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What the person did since is left alone.
func TestUninstallKeepsChanges(t *testing.T) {
	f := open(t, "{}")
	if err := f.Install(installation); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][]string{
		{"buildx", "aliases", "builder"},
		{"false", "features", "hooks"},
		{"1", "plugins", "ours", "mine"},
		{"x", "currentContext"},
	} {
		if err := f.Set(change[0], change[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Uninstall("ours"); err != nil {
		t.Fatal(err)
	}
	want := `{"aliases":{"builder":"buildx"},"features":{"hooks":"false"},"plugins":{"ours":{"mine":"1"}},"currentContext":"x"}`
	var got, wanted any
	if err := json.Unmarshal(f.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"", "[]", "null", `"x"`, "{", `{"a":1,}`, `{} {}`, `{"a":1,"a":2}`, "\xef\xbb\xbf{}"} {
		if d, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q was read as %s", text, d.Bytes())
		}
	}
	for _, text := range []string{`{"aliases":1}`, `{"plugins":{"ours":[]}}`, `{"features":"x"}`} {
		f := open(t, text)
		if err := f.Install(installation); err == nil {
			t.Errorf("%s became %s", text, f.Bytes())
		}
	}
}

func TestSaveKeepsModeAndLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "real.json"), filepath.Join(dir, "config.json")
	if err := os.WriteFile(target, []byte("{}"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(target, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.json", link); err != nil {
		t.Fatal(err)
	}
	f, err := Open(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Install(installation); err != nil {
		t.Fatal(err)
	}
	if err := f.Save(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is one no more: %v, %v", info, err)
	}
	info, err := os.Stat(target)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file is %v, %v", info, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
}

// An edit keeps the value of everything else, in any document.
func TestEditKeepsTheRest(t *testing.T) {
	value := rapid.Deferred(func() *rapid.Generator[any] { return anyValue(2) })
	rapid.Check(t, func(t *rapid.T) {
		document := rapid.MapOf(rapid.SampledFrom([]string{"aliases", "auths", "plugins", "features", "x"}), value).Draw(t, "document")
		indent := rapid.SampledFrom([]string{"", "\t", "  "}).Draw(t, "indent")
		body, err := json.MarshalIndent(document, "", indent)
		if err != nil {
			t.Fatal(err)
		}
		d, err := Parse(body)
		if err != nil {
			t.Fatal(err)
		}
		f := &File{Document: d}
		if alias, _ := f.Get("aliases", "builder"); alias == "ours" {
			t.Skip() // it goes, whoever wrote it: without the plugin no build works
		}
		if err := f.Install(installation); err != nil {
			t.Skip() // something in the way that is no object
		}
		if _, err := f.Uninstall("ours"); err != nil {
			t.Fatal(err)
		}
		var before, after any
		if err := json.Unmarshal(body, &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(f.Bytes(), &after); err != nil {
			t.Fatalf("%s: %v", f.Bytes(), err)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatalf("%s\nbecame\n%s\n%s", body, f.Bytes(), diff)
		}
	})
}

// anyValue is a JSON value with objects in it.
func anyValue(depth int) *rapid.Generator[any] {
	simple := rapid.OneOf(
		rapid.Map(rapid.SampledFrom([]string{"", "ours", `"\`, "é"}), func(s string) any { return s }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
	)
	if depth == 0 {
		return simple
	}
	keys := rapid.SampledFrom([]string{"builder", "hooks", "ours", "default-profile", "y"})
	return rapid.OneOf(simple, rapid.Map(rapid.MapOf(keys, anyValue(depth-1)), func(m map[string]any) any { return m }))
}
