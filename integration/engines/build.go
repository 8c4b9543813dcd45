// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Build says what BuildKit is to build and where the result goes.
//
// A Dockerfile that starts `FROM scratch` and only copies needs no network, no
// runc, and no emulator for other platforms.
type Build struct {
	// Context holds the files of the build context, with a Dockerfile.
	Context fs.FS
	// Platforms to build for, as `linux/arm64`. With none, the machine's own.
	Platforms []string
	// Options of the Dockerfile frontend, as `attest:provenance=mode=max` or `build-arg:X=1`.
	Options []string
	// Output is what `buildctl build --output` takes: see [Push].
	Output string
	// Home is whose credentials the client has; if nil, nobody's.
	Home *Home
	// Flags are more of buildctl's, as `--export-cache type=inline`.
	Flags []string
}

// Push is an output of a build: an image pushed over plain HTTP to ref, with
// attributes as BuildKit's image exporter takes them, such as
// `oci-mediatypes=true`.
func Push(ref string, attributes ...string) string {
	return strings.Join(append([]string{"type=image,name=" + ref + ",push=true,registry.insecure=true"}, attributes...), ",")
}

// Built is what the exporter answered.
type Built struct {
	// Digest of the image: of its index, where it has one.
	Digest string
	// Metadata is the file that buildctl wrote of the answer.
	Metadata []byte
	// Response holds all that it answered, `containerimage.descriptor` among it.
	Response map[string]json.RawMessage
}

// Build builds an image. It fails the test with BuildKit's progress when it cannot.
func (bk *Buildkitd) Build(tb TB, b Build) Built {
	tb.Helper()
	answer := filepath.Join(tb.TempDir(), "metadata.json")
	b.Flags = append(slices.Clone(b.Flags), "--metadata-file", answer)
	if out, err := bk.Try(tb, b); err != nil {
		tb.Fatalf("%v\n%s%s", err, out.Stdout, out.Stderr)
	}

	var built Built
	var err error
	if built.Metadata, err = os.ReadFile(answer); err == nil {
		err = json.Unmarshal(built.Metadata, &built.Response)
	}
	if value, ok := built.Response["containerimage.digest"]; ok && err == nil {
		err = json.Unmarshal(value, &built.Digest)
	}
	if err != nil {
		tb.Fatalf("build: BuildKit's answer: %v", err)
	}
	return built
}

// Try is Build for a build that may fail. BuildKit's progress, in plain, is in
// what it returns.
func (bk *Buildkitd) Try(tb TB, b Build) (Output, error) {
	tb.Helper()
	files := filepath.Join(tb.TempDir(), "context")
	if err := os.CopyFS(files, b.Context); err != nil {
		tb.Fatalf("build: %v", err)
	}
	args := []string{
		"--addr", bk.Addr, "build", "--progress", "plain", "--frontend", "dockerfile.v0",
		"--local", "context=" + files, "--local", "dockerfile=" + files, "--output", b.Output,
	}
	if len(b.Platforms) > 0 {
		args = append(args, "--opt", "platform="+strings.Join(b.Platforms, ","))
	}
	for _, option := range b.Options {
		args = append(args, "--opt", option)
	}
	home := b.Home
	if home == nil {
		home = NewHome(tb)
	}
	return home.Try(tb, "buildctl", append(args, b.Flags...)...)
}
