// SPDX-License-Identifier: Apache-2.0

// Package build makes images for profiles with the person's own buildx.
//
// [Parse] makes of the command line of a build the emissions that it asks for:
// what -t names, loaded or pushed, and each --emit. [Builder.Emit] makes them.
// Where every BuildKit of the builder has our exporter, BuildKit does it, in
// one build. Elsewhere BuildKit builds OCI, into the registry by digest or
// into a layout on this machine, and the engine (package format) converts from
// there to where it goes, the tags last.
package build
