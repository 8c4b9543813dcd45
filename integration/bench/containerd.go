// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"strings"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// converting is the shape inside a containerd.
const converting = "containerd"

// ctrConvert is containerd's own converter.
const ctrConvert = "ctr images convert"

// The ways to convert an image that a containerd has.
var converters = []tool{
	{ours, isHeld, func(src, dst string) []string {
		addr, name, _ := strings.Cut(src, " ")
		return []string{ours, "convert", "--for", "oci", "--containerd", addr, "containerd://" + name, "containerd://" + dst}
	}},
	{ctrConvert, isHeld, func(src, dst string) []string {
		addr, name, _ := strings.Cut(src, " ")
		return []string{"ctr", "--address", addr, "images", "convert", "--oci", "--all-platforms", name, dst}
	}},
}

// heldImage is what containerd calls the image.
const heldImage = "registry.example.com/bench/image:docker"

// startContainerd puts the image, all of its platforms, into a containerd.
func (b *bench) startContainerd(tb engines.TB) {
	tb.Helper()
	b.containerd = engines.StartContainerd(tb, engines.ContainerdOptions{})
	b.home.Run(tb, ours, "convert", "--for", "docker", "--progress", "quiet", "--containerd", b.containerd.Address,
		b.image.repo.at(b.source.Addr, fixtureTag), "containerd://"+heldImage)
}

// held has each run make another image.
func (b *bench) held(engines.TB, *wire, tool) (src, dst string) {
	dst = "registry.example.com/" + b.fresh(converting) + ":oci"
	return b.containerd.Address + " " + heldImage, dst
}

// verifyHeld looks at what a tool left in containerd, and deletes it: the next
// one is to write it too.
func (b *bench) verifyHeld(tb engines.TB, dst string) {
	tb.Helper()
	const ok = "oci 4"
	out := b.home.Run(tb, ours, "inspect", "--containerd", b.containerd.Address,
		"--format", "{{.Format}} {{len .Platforms}}", "containerd://"+dst)
	if got := strings.TrimSpace(out.Stdout); got != ok || out.Stderr != "" {
		tb.Fatalf("it left %q, not %q\n%s", got, ok, out.Stderr)
	}
	b.containerd.Ctr(tb, "images", "rm", "--sync", dst)
}
