// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command demo shows what manifest-format does, with real programs: BuildKit
// builds an image for two platforms, a registry holds it, manifest-format
// turns it into Docker V2.2 there. Everything runs on 127.0.0.1 and is gone
// when the demo ends.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
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
	bk := engines.StartBuildkitd(tb, engines.BuildkitdOptions{})
	home := engines.NewHome(tb, reg.Addr)
	image, converted := reg.Ref("hello:oci"), reg.Ref("hello:docker")

	say("A registry and a BuildKit of our own are up. BuildKit builds, for two platforms, with provenance.")
	built := bk.Build(tb, engines.Build{
		Context:   hello,
		Platforms: []string{"linux/amd64", "linux/arm64"},
		Options:   []string{"attest:provenance=mode=max"},
		Output:    engines.Push(image, "oci-mediatypes=true"),
	})
	fmt.Fprintf(os.Stdout, "pushed %s@%s\n", image, built.Digest)

	say("What the registry holds now:")
	show(tb, home, "inspect", image)
	say("The same image as Docker V2.2, beside it in the registry. No layer moves.")
	show(tb, home, "convert", "--for", "docker", image, converted)
	say("What came out:")
	show(tb, home, "inspect", converted)
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
