// SPDX-License-Identifier: Apache-2.0

// Package format turns a container image from one format into another: the
// OCI Image Format into Docker Image Manifest V2 Schema 2, and back.
//
// Four verbs work on a graph of descriptors that starts at a root, an index
// or a manifest:
//
//   - [Walk] reads it, strictly;
//   - [Check] says what of it a [Profile] does not accept;
//   - [Convert] makes it acceptable, and says what was lost on the way;
//   - [Copy] moves it, children before parents.
//
// A profile is what a target accepts. [OCI] and [Docker] are the two built-in
// ones. Check and Convert are duals over one table of [Rule] values: what
// Check finds and Convert can mend, Convert mends, so a check of a converted
// image finds nothing.
//
// Documents are edited in place: key order, white space and unknown fields
// stay as they are, config and layer blobs keep their bytes. The same input
// and options give the same digests in every host.
//
// Content is read through a [content.Provider] and written through a
// [content.Ingester], containerd's interfaces. This package knows no network,
// no daemon and no command line: format/registry and format/layout are places
// that images live in.
package format
