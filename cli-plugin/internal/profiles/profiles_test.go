// SPDX-License-Identifier: Apache-2.0

package profiles

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/cli/cli/config"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSet(t *testing.T) {
	home, project := t.TempDir(), t.TempDir()
	was := config.Dir()
	config.SetDir(home)
	t.Cleanup(func() { config.SetDir(was) })
	write(t, filepath.Join(home, userFolder, "ours.json"), `{"name":"ours","aliases":["us"],"formats":["docker"]}`)
	write(t, filepath.Join(home, userFolder, "notes.txt"), `not a profile`)
	write(t, filepath.Join(home, userFolder, "heroku.json"), `{"name":"heroku","title":"the user's"}`)
	write(t, filepath.Join(project, projectFolder, "heroku.json"), `{"name":"heroku","title":"the project's"}`)
	file := filepath.Join(project, "mine.json")
	write(t, file, `{"name":"mine","index":"forbidden"}`)
	below := filepath.Join(project, "a", "b")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	set, err := Load(below)
	if err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]string{
		"us": "ours", "lambda": "aws-lambda", file: "mine", "lambda, us": "aws-lambda,ours", "docker," + file: "docker,mine",
	} {
		if p, err := set.Find(spec); err != nil || p.Name != want {
			t.Errorf("%s is %q, %v", spec, p.Name, err)
		}
	}
	if p, err := set.Find("heroku"); err != nil || p.Title != "the project's" {
		t.Errorf("heroku is %q, %v", p.Title, err)
	}
	count := 0
	for _, p := range set.All() {
		if p.Name == "heroku" {
			count++
		}
	}
	if count != 1 {
		t.Errorf("there are %d profiles named heroku", count)
	}
	for spec, want := range map[string]string{
		"lamda":         "there is lambda",
		"aws":           "aws-lambda",
		"xyzzy":         "`manifest-format profiles` lists them",
		"":              "lists them",
		"oci,":          "lists them",
		"./gone.json":   "gone.json",
		"oci,docker":    "no image is right for both",
		project + "/a/": "is a directory",
	} {
		if _, err := set.Find(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", spec, err, want)
		}
	}
}

// TestProjectAbove is in a folder of the project, which commands call ".": the
// project's profiles are above it. One hides the built-in one of its name, with
// its aliases and its hosts.
func TestProjectAbove(t *testing.T) {
	project := t.TempDir()
	was := config.Dir()
	config.SetDir(t.TempDir())
	t.Cleanup(func() { config.SetDir(was) })
	write(t, filepath.Join(project, projectFolder, "ecr.json"), `{"name":"aws-ecr","title":"the project's"}`)
	below := filepath.Join(project, "a", "b")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(below)
	set, err := Load(".")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := set.Find("aws-ecr"); err != nil || p.Title != "the project's" {
		t.Errorf("aws-ecr is %q, %v", p.Title, err)
	}
	if p, err := set.Find("ecr"); err == nil {
		t.Errorf("the alias of a hidden profile is %q", p.Title)
	}
	if p, ok := set.ForHost("123456789012.dkr.ecr.eu-west-1.amazonaws.com"); ok {
		t.Errorf("the host of a hidden profile is for %q", p.Title)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, text := range map[string]string{"bad": `{`, "typo": `{"name":"x","format":["oci"]}`, "several": `{"name":"x,y"}`, "large": strings.Repeat(" ", maxFileSize+1)} {
		dir := t.TempDir()
		file := filepath.Join(dir, projectFolder, name+".json")
		write(t, file, text)
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
