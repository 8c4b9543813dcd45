// SPDX-License-Identifier: Apache-2.0

// Package registry makes one repository of a registry a place for images: a
// content.Provider and content.Ingester of containerd's, with names.
//
// # Why oras-go
//
// Behind it is one library, oras-go v2. Of the four that were measured
// (containerd's core/remotes/docker, go-containerregistry, regclient, oras-go)
// it moves bytes fastest with the least CPU, speaks HTTP/2 without being
// asked, mounts blobs across repositories, reads and writes referrers with the
// tag schema as a fallback, keeps tokens per set of scopes, drops credentials
// on every redirect to another origin, and has a retry policy that can be
// replaced. Its limits, and what is done here about each:
//
//   - Its Retry-After is read in seconds, on 429 alone, and cut to 3 seconds.
//     The policy here reads dates too, on 503 too, and gives up at once on a
//     registry that asks for more patience than there is.
//   - A blob whose upload broke is not sent again. Here it is, in a new upload
//     session, because a registry does not take the start of a blob twice in
//     one session; and what is given up is cancelled at the registry.
//   - A broken download is not resumed. Here it is, with a Range request.
//   - A peer that falls silent is waited for without end. Here it is for two
//     minutes where it sends, five where it takes, then asked again, twice.
//   - A tag costs a HEAD and a GET, and the digest is the one that a header
//     claims. Here it is one GET, and the digest is that of the bytes.
//   - An upload can not be a stream of unknown length. Here it is one PATCH.
//   - Deleting the old referrers index fails where a registry forbids deletes.
//     Nothing is ever deleted here.
//
// A blob upload whose Location is on another host is refused, as oras-go does
// (GHSA-jxpm-75mh-9fp7), and so is a redirect of anything that is sent: no known registry needs it, and a malicious one could
// have content or a token sent elsewhere. Where oras-go also refuses one that
// turns from https to http, which a registry behind a badly configured proxy
// names, the upload goes on over https.
//
// # Plain HTTP
//
// Registries are spoken to over TLS. One on a loopback address (127.0.0.0/8,
// ::1, localhost) is spoken to in plain HTTP first, and over TLS if that is
// what it turns out to speak; the other way round if a certificate is
// configured for it. Any other host has plain HTTP only if
// [Options.PlainHTTP] says so. Certificates are always verified.
//
// # What leaves this machine
//
// Credentials go to the registry they are for, over the origin that asked for
// them, and to the token server it names. They are never sent to where a
// registry redirects to, client certificates included, and never appear in an
// error: those have no query and no user information in any URL.
package registry
