// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/manifest-format/manifest-format/plugins/watcher/internal/config"
)

func TestMainSays(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.json", `{"rules": [{"match": "**", "for": "oci", "to": "in-place"}]}`)
	bad := file("bad.json", "{\n\"rules\": [\n{\"match\": \"**\"}]}")
	none := filepath.Join(dir, "none.sock")
	for _, test := range []struct {
		args, variable string
		code           int
		want           string
	}{
		{"--help", "", exitDone, "--metrics-public"},
		{"--version", "", exitDone, programName + " "},
		{"--config " + good + " --check", "", exitDone, "good.json: fine: 1 rules, for the namespaces default\n"},
		{"--check", good, exitDone, "good.json: fine"},
		{"--check", "", exitFailed, config.DefaultFile + ": no such file or directory: write one"},
		{"--check", bad, exitFailed, "bad.json:3: rules[0].for: no profile is named"},
		{"--once --address " + none, good, exitFailed, "none.sock: connect: no such file or directory"},
		{"--metrics 0.0.0.0:0 --address " + none, good, exitFailed, "say --metrics-public"},
		{"--once --metrics off", good, exitUsage, "--once ends, and serves no metrics"},
		{"--log-format xml", good, exitUsage, `not "xml"; --help lists the flags`},
		{"--log-level loud", good, exitUsage, "loud"},
		{"convert", good, exitUsage, `"convert" is no flag`},
		{"--to x", good, exitUsage, "unknown flag: --to"},
	} {
		t.Setenv(config.FileVariable, test.variable)
		if test.variable == "" && strings.Contains(test.want, config.DefaultFile) {
			if _, err := os.Stat(config.DefaultFile); err == nil {
				continue
			}
		}
		var stdout, stderr bytes.Buffer
		code := Main(strings.Fields(test.args), &stdout, &stderr)
		if out := stdout.String() + stderr.String(); code != test.code || !strings.Contains(out, test.want) {
			t.Errorf("%s: exit code %d, not %d, or this does not say %q:\n%s", test.args, code, test.code, test.want, out)
		}
		if (stderr.Len() > 0) != (code != exitDone) || strings.Count(stderr.String(), "\n") > 1 {
			t.Errorf("%s: exit code %d, on standard error:\n%s", test.args, code, &stderr)
		}
	}
}

// TestDocs holds the documentation to what the program reads and says.
func TestDocs(t *testing.T) {
	body, err := os.ReadFile("../../../../docs/containerd.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ := strings.Cut(string(body), "\n## Watcher\n")
	page, _, _ = strings.Cut(page, "\n## ")
	_, example, _ := strings.Cut(page, "```json\n")
	example, _, ok := strings.Cut(example, "```")
	path := filepath.Join(t.TempDir(), "watcher.json")
	if err := os.WriteFile(path, []byte(example), 0o600); err != nil || !ok {
		t.Fatalf("there is no example: %v", err)
	}
	if _, err := config.Read(path); err != nil {
		t.Error(err)
	}
	f, err := parseFlags(nil)
	if err != nil {
		t.Fatal(err)
	}
	for word := range strings.FieldsSeq(f.usage) {
		if strings.HasPrefix(word, "--") && !strings.Contains(page, "`"+strings.TrimRight(word, ";,.")+"`") {
			t.Errorf("%s is not documented", word)
		}
	}
}
