// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/manifest-format/manifest-format/integration/engines"
)

const (
	// building is the shape whose client is a builder's.
	building = "build"
	// buildFiles of buildFileSize each are a layer: 300 MB.
	buildFiles    = 10
	buildFileSize = 30_000_000
)

// builder is our BuildKit, with everything built that the runs export.
type builder struct {
	addr    string
	context string
	bytes   int64
}

// The ways to export the same build. BuildKit's own image exporter is there
// with and without ours beside it.
var exports = []tool{
	{stockExporter, isOCI, func(src, dst string) []string {
		return export(src, "type=image,push=true,name="+dst)
	}},
	{stockDocker, isDocker, func(src, dst string) []string {
		return export(src, "type=image,push=true,oci-mediatypes=false,name="+dst)
	}},
	{oneEmission, isDocker, func(src, dst string) []string {
		return export(src, "type=manifest-format,push=true,for=docker,name="+dst)
	}},
	{twoEmissions, isDocker, func(src, dst string) []string {
		repo, tag, _ := cutTag(dst)
		return export(src, fmt.Sprintf(
			"type=manifest-format,push=true,emit.1.for=docker,emit.1.name=%s,emit.2.for=oci,emit.2.name=%s-oci:%s", dst, repo, tag))
	}},
}

const (
	stockExporter = "BuildKit's type=image"
	stockDocker   = "BuildKit's type=image, Docker"
	oneEmission   = "manifest-format: one emission"
	twoEmissions  = "manifest-format: two emissions"
)

var buildGoals = []goal{
	{text: "one emission's time ÷ BuildKit's type=image", most: 1.05, strict: true, value: func(r results) (float64, bool) {
		return r.ratio(oneEmission, stockExporter)
	}},
	{text: "the second emission's time ÷ the first's", most: 0.10, strict: true, value: func(r results) (float64, bool) {
		both, ok := r.ratio(twoEmissions, oneEmission)
		return both - 1, ok
	}},
}

// cutTag splits HOST/NAME:TAG.
func cutTag(reference string) (repo, tag string, ok bool) {
	at := strings.LastIndexByte(reference, ':')
	if at < 0 {
		return reference, "", false
	}
	return reference[:at], reference[at+1:], true
}

// export is the command line that builds at src, which is an address and a
// context, with an output.
func export(src, output string) []string {
	addr, files, _ := strings.Cut(src, " ")
	return []string{
		"buildctl", "--addr", addr, "build", "--progress", "plain", "--frontend", "dockerfile.v0",
		"--local", "context=" + files, "--local", "dockerfile=" + files, "--output", output,
	}
}

// startBuilder builds once what the runs export: their time is the exporter's,
// and that of finding that nothing has changed.
func startBuilder(tb engines.TB, home *engines.Home, scale float64) *builder {
	tb.Helper()
	b := &builder{context: tb.TempDir()}
	lines := "FROM scratch\n"
	source := rand.NewChaCha8([32]byte{})
	for n := range buildFiles {
		name := fmt.Sprintf("file%d", n)
		content := make([]byte, int64(scale*buildFileSize))
		_, _ = source.Read(content) // it never fails
		b.bytes += int64(len(content))
		b.write(tb, name, content)
		lines += "COPY " + name + " /\n"
	}
	b.write(tb, "Dockerfile", []byte(lines))
	b.addr = engines.StartBuildkitd(tb, engines.BuildkitdOptions{Exporter: true}).Addr
	line := export(b.addr+" "+b.context, "type=image,name=warm")
	home.Run(tb, line[0], line[1:]...)
	return b
}

func (b *builder) write(tb engines.TB, name string, content []byte) {
	tb.Helper()
	if err := os.WriteFile(filepath.Join(b.context, name), content, 0o600); err != nil {
		tb.Fatalf("%v", err)
	}
}

// built gives each run a registry with nothing in it.
func (b *bench) built(tb engines.TB, w *wire, _ tool) (src, dst string) {
	empty := engines.StartRegistry(tb, engines.RegistryOptions{})
	return b.builder.addr + " " + b.builder.context, b.via(tb, w, empty.Addr) + "/" + b.fresh(building) + ":new"
}
