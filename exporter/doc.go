// SPDX-License-Identifier: Apache-2.0

// Package exporter is the BuildKit exporter "manifest-format": a build emits
// its image in the format that each destination takes, OCI or Docker V2.2, to
// several destinations at once.
//
// [Wrap] teaches it to a worker of a BuildKit daemon. The daemon then takes
//
//	type=manifest-format,name=REF,for=PROFILE,push=true
//	type=manifest-format,push=true,emit.1.name=REF,emit.1.for=oci,emit.2.name=REF,emit.2.for=docker
//	type=image,manifest-format=PROFILE,…
//
// with every attribute of BuildKit's image exporter, and says what became of
// each emission in its response: package emission has the names of both. The
// types oci and docker take manifest-format=PROFILE too, with the attributes
// that they have.
//
// # How an emission is made
//
// BuildKit commits the image with OCI media types, so that nothing is lost
// before it is looked at, with the compression that the profile takes. The
// engine (package format) converts the documents in the worker's content
// store. Every emission is committed, converted and named before any is
// pushed; pushing is the finalizer's, with the credentials of the client's
// session, referrers before the image and its tag last.
package exporter
