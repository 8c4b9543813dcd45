// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command demo shows what manifest-format does, with real programs: a BuildKit
// with the exporter builds an image once, for two platforms, and emits it to
// one name in OCI and to another in Docker V2.2; then manifest-format converts
// one that is in a registry. Everything runs on 127.0.0.1 and is gone when the
// demo ends.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing/fstest"
	"time"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// hello copies a file of its own for each platform, so that no layer is shared.
var hello = fstest.MapFS{
	"Dockerfile": {Data: []byte(`FROM scratch
ARG TARGETARCH
COPY ${TARGETARCH}.txt /hello.txt
LABEL org.opencontainers.image.title="hello"
`)},
	"amd64.txt": {Data: []byte("hello from linux/amd64\n")},
	"arm64.txt": {Data: []byte("hello from linux/arm64\n")},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := engines.Main(ctx, demo); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

func demo(tb engines.TB) {
	start := time.Now()
	reg := engines.StartRegistry(tb, engines.RegistryOptions{})
	bk := engines.StartBuildkitd(tb, engines.BuildkitdOptions{Exporter: true})
	home := engines.NewHome(tb, reg.Addr)
	home.UseBuildkitd(tb, engines.BuildxNode{Buildkitd: bk})
	if err := os.CopyFS(filepath.Join(home.Dir, "hello"), hello); err != nil {
		tb.Fatalf("%v", err)
	}
	oci, docker := reg.Ref("hello:1"), reg.Ref("legacy/hello:1")

	say("A registry and a BuildKit with the exporter are up. One build, for two platforms, to two destinations, each in its format:")
	show(tb, home, "build", "--quiet", "--platform", "linux/amd64,linux/arm64", "--provenance", "mode=max",
		"--emit", "oci="+oci, "--emit", "docker="+docker, "hello")
	say("What the one destination has, in OCI:")
	show(tb, home, "inspect", oci)
	say("What the other has, in Docker V2.2. Its attestations stand beside it, as OCI referrers:")
	show(tb, home, "inspect", docker)
	say("An image that is there already is converted where it is, to the same digest. No layer moves:")
	show(tb, home, "convert", "--for", "docker", oci, reg.Ref("hello:converted"))
	say(fmt.Sprintf("That took %s. Nothing of it stays.", time.Since(start).Round(10*time.Millisecond)))
}

func say(line string) {
	fmt.Fprintf(os.Stdout, "\n== %s\n", line)
}

// show runs manifest-format as a person would, and shows what it says.
func show(tb engines.TB, home *engines.Home, args ...string) {
	fmt.Fprintf(os.Stdout, "$ manifest-format %s\n", strings.Join(args, " "))
	out := home.Run(tb, "manifest-format", args...)
	fmt.Fprint(os.Stdout, out.Stdout, out.Stderr)
}
