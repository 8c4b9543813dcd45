// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import "strings"

// tool is a way to do a shape's work.
type tool struct {
	name string
	// outcome is what must be at the destination afterwards.
	outcome outcome
	// line is the program, a name that engines.Binary takes or self, and its
	// arguments.
	line func(src, dst string) []string
}

// outcome is what a tool leaves at the destination.
type outcome int

const (
	isDocker  outcome = iota // the image, in strict Docker V2.2
	isCopy                   // the image as it was
	isOCI                    // the image, changed, in OCI types
	isHeld                   // the image, in OCI types, in containerd
	isNothing                // it only reads
)

// self names this very program.
const self = ""

const (
	ours    = "manifest-format"
	floor   = "limit"
	orasTen = "oras cp -c10 (only copies)"
)

var (
	manifestFormat = tool{ours, isDocker, func(src, dst string) []string {
		return []string{ours, "convert", "--for", "docker", src, dst}
	}}
	theLimit = tool{floor, isDocker, func(src, dst string) []string {
		return []string{self, modeLimit, src, dst}
	}}
	regctl = tool{"regctl", isDocker, func(src, dst string) []string {
		return append(regctlMod(src, dst), "--to-docker")
	}}
	regctlGzip = tool{"regctl (stays OCI)", isOCI, func(src, dst string) []string {
		return append(regctlMod(src, dst), "--layer-compress", "gzip")
	}}
	skopeo = tool{"skopeo", isDocker, func(src, dst string) []string {
		return append(skopeoCopy(src, dst), "--format", "v2s2")
	}}
	// Debian's skopeo refuses to make a Docker manifest of an image with zstd, also
	// while it recompresses. The layer, which is all of the work, is the same.
	skopeoGzip = tool{"skopeo (stays OCI)", isOCI, func(src, dst string) []string {
		return append(skopeoCopy(src, dst), "--dest-compress-format", "gzip")
	}}
	orasCopy = tool{orasTen, isCopy, func(src, dst string) []string {
		return []string{"oras", "cp", "--from-plain-http", "--to-plain-http", "--concurrency", "10", src, dst}
	}}
	craneCopy = tool{"crane copy (only copies)", isCopy, func(src, dst string) []string {
		return []string{"crane", "copy", "--insecure", src, dst}
	}}
	imagetools = tool{"imagetools create (only copies)", isCopy, func(src, dst string) []string {
		return []string{"buildx", "imagetools", "create", "--tag", dst, src}
	}}
)

// regctlMod writes the result to dst, or over src if that is dst.
func regctlMod(src, dst string) []string {
	line := []string{"regctl"}
	for _, reference := range []string{src, dst} {
		line = append(line, "--host", "reg="+hostOf(reference)+",tls=disabled")
	}
	line = append(line, "image", "mod", src)
	if src == dst {
		return append(line, "--replace")
	}
	return append(line, "--create", dst)
}

// hostOf is the registry of a reference.
func hostOf(reference string) string {
	host, _, _ := strings.Cut(reference, "/")
	return host
}

func skopeoCopy(src, dst string) []string {
	return []string{
		"skopeo", "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false",
		"docker://" + src, "docker://" + dst,
	}
}

// readers only look at an image: what a program costs before it does anything.
var readers = []tool{
	{inspecting, isNothing, func(src, _ string) []string {
		return []string{ours, "inspect", src}
	}},
	{dryRunning, isNothing, func(src, dst string) []string {
		return []string{ours, "convert", "--dry-run", "--for", "docker", src, dst}
	}},
	{"regctl manifest get", isNothing, func(src, _ string) []string {
		return []string{"regctl", "--host", "reg=" + hostOf(src) + ",tls=disabled", "manifest", "get", src}
	}},
	{"crane manifest", isNothing, func(src, _ string) []string {
		return []string{"crane", "manifest", "--insecure", src}
	}},
	{"oras manifest fetch", isNothing, func(src, _ string) []string {
		return []string{"oras", "manifest", "fetch", "--plain-http", src}
	}},
	{"skopeo inspect --raw", isNothing, func(src, _ string) []string {
		return []string{"skopeo", "inspect", "--raw", "--tls-verify=false", "docker://" + src}
	}},
	{"imagetools inspect", isNothing, func(src, _ string) []string {
		return []string{"buildx", "imagetools", "inspect", src}
	}},
}

const (
	inspecting = "manifest-format inspect"
	dryRunning = "manifest-format convert --dry-run"
)
