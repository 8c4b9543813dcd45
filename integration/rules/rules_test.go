// SPDX-License-Identifier: Apache-2.0

// Package rules tests what this repository asks of its own files, so that a
// rule is a failing test and not a paragraph that nobody reads.
package rules

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/manifest-format/manifest-format"
	// A file that is longer has more than one subject.
	maxLines = 400
	// A Makefile with more targets needs a manual.
	maxTargets = 14
)

// hosts are where the engine runs. None knows another, and the engine knows none.
var hosts = []string{"/exporter", "/plugins", "/cli-plugin"}

// listed is what `go list -json` says of a package.
type listed struct {
	ImportPath, Dir                    string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Deps                               []string
}

func (p listed) within(folder string) bool {
	return p.ImportPath == module+folder || strings.HasPrefix(p.ImportPath, module+folder+"/")
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,GoFiles,TestGoFiles,XTestGoFiles,Deps", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsRunDownward(t *testing.T) {
	// Packages, with what none of them may reach by any way.
	bans := map[string]map[string]string{
		"/format": {
			"net/http":                 "the engine knows no network",
			"crypto/tls":               "the engine knows no network",
			"google.golang.org/grpc":   "the engine knows no daemon",
			"github.com/moby/buildkit": "the engine knows no builder",
			"github.com/docker/cli":    "the engine knows no command line",
		},
		"/format/layout": {
			"net/http":                 "a layout is a folder or a file",
			"github.com/moby/buildkit": "the engine knows no builder",
			"github.com/docker/cli":    "the engine knows no command line",
		},
		"/format/containerd": {
			"google.golang.org/protobuf":                 "it knows no connection; format/containerd/converter does",
			"github.com/containerd/containerd/v2/client": "it works inside the daemon too",
			"github.com/moby/buildkit":                   "the engine knows no builder",
			"github.com/docker/cli":                      "the engine knows no command line",
		},
		"/format/containerd/converter": {
			"github.com/containerd/containerd/v2/client": "whoever connects brings the connection",
			"github.com/moby/buildkit":                   "the engine knows no builder",
			"github.com/docker/cli":                      "the engine knows no command line",
		},
		"/format/registry": {
			"google.golang.org/grpc":   "a registry speaks HTTP",
			"github.com/moby/buildkit": "the engine knows no builder",
		},
		"/plugins/verifier": {
			"github.com/containerd/containerd/v2/client": "it starts for each pull, and has to be small",
			"github.com/moby/buildkit":                   "it starts for each pull, and has to be small",
			"github.com/spf13/cobra":                     "it starts for each pull, and has to be small",
		},
	}
	seen := 0
	for _, p := range packages(t) {
		for banned, reason := range bans[strings.TrimPrefix(p.ImportPath, module)] {
			for _, dep := range p.Deps {
				if dep == banned || strings.HasPrefix(dep, banned+"/") {
					t.Errorf("%s reaches %s: %s", p.ImportPath, dep, reason)
				}
			}
		}
		if _, ok := bans[strings.TrimPrefix(p.ImportPath, module)]; ok {
			seen++
		}
		for _, dep := range p.Deps {
			to := listed{ImportPath: dep}
			for _, host := range hosts {
				if to.within(host) && !p.within(host) && !p.within("/integration") {
					t.Errorf("%s imports %s: only that host's own packages may", p.ImportPath, dep)
				}
			}
			if to.within("/integration") && !p.within("/integration") {
				t.Errorf("%s imports %s: the product knows no tests", p.ImportPath, dep)
			}
		}
	}
	if seen != len(bans) {
		t.Errorf("found %d of the %d packages that the bans name", seen, len(bans))
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		files := slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles)
		if len(p.GoFiles) > 0 {
			files = p.GoFiles
		}
		documented := slices.ContainsFunc(files, func(name string) bool {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			text := file.Doc.Text()
			return strings.HasPrefix(text, "Package ") || strings.HasPrefix(text, "Command ")
		})
		if !documented {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// sources calls visit with each file of the repository that a person wrote as code.
func sources(t *testing.T, visit func(path string, content []byte)) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if slices.Contains([]string{".git", ".cache", "bin", "dist", "testdata"}, name) {
				return filepath.SkipDir
			}
			return nil
		}
		code := slices.Contains([]string{".go", ".proto", ".yaml", ".yml", ".sh"}, filepath.Ext(name)) ||
			name == "Makefile" || filepath.Base(filepath.Dir(path)) == ".ci"
		if !code {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found++
		relative, err := filepath.Rel(root, path)
		visit(relative, content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 20 {
		t.Errorf("found %d files: is %s the repository?", found, root)
	}
}

func TestSources(t *testing.T) {
	const licence = "SPDX-License-Identifier: Apache-2.0"
	// Split, so that this file keeps the rules too.
	unfinished := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX|HA` + `CK)\b`)
	ofOneMachine := regexp.MustCompile(`/ro` + `ot/|/wo` + `rk/|/ho` + `me/[a-z]|proxy\.gol` + `ang\.org|deb\.debi` + `an\.org|registry\.npm` + `js`)
	generated := regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
	sources(t, func(path string, content []byte) {
		head, _, _ := bytes.Cut(content, []byte("\n"))
		if filepath.Ext(path) == ".go" && string(head) != "// "+licence {
			t.Errorf("%s does not start with the line %q", path, "// "+licence)
		}
		if !bytes.Contains(content[:min(len(content), 200)], []byte(licence)) {
			t.Errorf("%s does not say its licence in its first lines", path)
		}
		if found := unfinished.Find(content); found != nil {
			t.Errorf("%s holds the word %s: finish it, or open an issue", path, found)
		}
		if found := ofOneMachine.Find(content); found != nil {
			t.Errorf("%s names %s, which other machines do not have", path, found)
		}
		lines := bytes.Count(content, []byte("\n"))
		if filepath.Ext(path) == ".go" && !strings.HasSuffix(path, "_test.go") && lines > maxLines && !generated.Match(content) {
			t.Errorf("%s has %d lines, more than %d", path, lines, maxLines)
		}
	})
}

func TestMakefile(t *testing.T) {
	file, err := os.Open(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	target := regexp.MustCompile(`^([a-z]+):([^=].*)?$`)
	var targets []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		match := target.FindStringSubmatch(lines.Text())
		if match == nil {
			continue
		}
		targets = append(targets, match[1])
		if !strings.Contains(match[2], "## ") {
			t.Errorf("make %s is not documented", match[1])
		}
	}
	if len(targets) > maxTargets {
		t.Errorf("%d targets, more than %d: %v", len(targets), maxTargets, targets)
	}
	for _, want := range []string{"help", "build", "test", "lint", "fuzz", "bench", "demo", "docs", "install", "clean"} {
		if !slices.Contains(targets, want) {
			t.Errorf("there is no make %s", want)
		}
	}
}

// TestOneBuildKit compares the BuildKit that our daemon is made of with the
// stock one that the tests compare it with.
func TestOneBuildKit(t *testing.T) {
	line := regexp.MustCompile(`(?m)^\s+github\.com/moby/buildkit (v\S+)`)
	var versions []string
	for _, name := range []string{"go.mod", "integration/tools/go.mod"} {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		match := line.FindSubmatch(content)
		if match == nil {
			t.Fatalf("%s requires no BuildKit", name)
		}
		versions = append(versions, string(match[1]))
	}
	if versions[0] != versions[1] {
		t.Errorf("go.mod requires BuildKit %s, integration/tools/go.mod %s", versions[0], versions[1])
	}
}
