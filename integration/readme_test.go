// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// TestReadme runs the commands that the README shows, on an image built for
// it, and compares what they print. Digests and sizes differ from build to
// build and are set aside.
func TestReadme(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	ref := registry.Ref("app:1.0")
	buildkit.Build(t, engines.Build{
		Context: fstest.MapFS{
			"Dockerfile": {Data: []byte("FROM scratch\nARG TARGETARCH\nCOPY ${TARGETARCH} /hello\n")},
			"amd64":      {Data: []byte("hello from linux/amd64\n")},
			"arm64":      {Data: []byte("hello from linux/arm64\n")},
		},
		Platforms: []string{"linux/amd64", "linux/arm64"},
		Options:   []string{"attest:provenance=mode=max"},
		Output:    engines.Push(ref, "oci-mediatypes=true", "annotation.org.opencontainers.image.source=https://example.com/app"),
	})
	home := buildxHome(t, exporting)
	blocks := regexp.MustCompile("(?s)<!-- readme_test: (\\w+) -->\n```console\n\\$ (.*?)\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 3 {
		t.Fatalf("the README has %d blocks to run, not 3", len(blocks))
	}
	for _, block := range blocks {
		name, command, want := block[1], block[2], block[3]
		args := strings.Fields(strings.ReplaceAll(command, "registry.example.com", registry.Addr))
		if args[0] != "manifest-format" {
			t.Fatalf("%s: the README runs %q", name, command)
		}
		cmd := exec.CommandContext(t.Context(), product, args[1:]...)
		cmd.Env, cmd.Dir = home.Env, filepath.Join(home.Dir, "context")
		run := cmd.CombinedOutput
		if name == "build" {
			run = cmd.Output // without buildx's progress
		}
		out, err := run()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		got := settled(strings.ReplaceAll(string(out), registry.Addr, "registry.example.com"))
		if got != settled(want) {
			t.Errorf("%s prints\n%s\nthe README shows\n%s", command, got, settled(want))
		}
	}
}

var (
	anyDigest = regexp.MustCompile(`sha256:[0-9a-f]+…?`)
	anySize   = regexp.MustCompile(`\b[0-9.]+ (B|kB|MB)\b`)
	anySpace  = regexp.MustCompile(` +`)
)

// settled replaces what differs from build to build.
func settled(s string) string {
	s = anyDigest.ReplaceAllString(s, "DIGEST")
	s = anySize.ReplaceAllString(s, "SIZE")
	return strings.TrimSpace(anySpace.ReplaceAllString(s, " "))
}
