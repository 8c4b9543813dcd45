// SPDX-License-Identifier: Apache-2.0

// Package layout reads and writes images that lie in files: an OCI image
// layout as a directory ([Dir]) or as a tar ([Archive] to read,
// [ArchiveWriter] to write), and what `docker save` writes.
//
// Each is content addressed by digest, a [content.Provider] or a
// [content.Ingester] or both, with names on top. A name is a tag
// (org.opencontainers.image.ref.name), a full reference
// (io.containerd.image.name, as containerd, BuildKit and Docker write it), or
// both.
//
// What is read is not trusted. Documents are parsed strictly, a blob that is
// read from its start to its end is compared with its digest, and nothing in a
// layout or an archive can make a reader leave it: a directory is only ever
// opened through an [os.Root], a tar is never unpacked.
//
// What is written appears whole or not at all: temporary files are renamed
// into place, index.json is replaced under a lock that every process that uses
// this package takes, and that BuildKit takes too.
package layout
