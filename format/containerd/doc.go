// SPDX-License-Identifier: Apache-2.0

// Package containerd makes the images of one namespace of a containerd a
// place: a content.Provider with names, and a [Draft] to write new ones with.
//
// It works on containerd's own interfaces, which a client of the daemon has and
// a plugin inside it too, and knows no connection. The context of each call
// carries the namespace (namespaces.WithNamespace), as everywhere in containerd.
//
// # Garbage
//
// Containerd deletes whatever no image, label or lease leads to. All that a
// Draft writes, or names of what is there, is held by its lease; then every
// document of the new image is given labels for what it names, also one that
// was there before without them; then the image is created, or moved; and last
// the lease is deleted. Nothing is deleted first, and nothing half-made has a
// name. A process that is killed leaves a lease that expires.
package containerd
