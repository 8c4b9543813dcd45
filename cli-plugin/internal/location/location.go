// SPDX-License-Identifier: Apache-2.0

// Package location knows the places that a person can name on the command
// line as the home of an image, and opens them.
//
//	NAME[:TAG|@DIGEST]                  a registry's, as docker reads it
//	oci-layout://PATH[:TAG|@DIGEST]     an OCI image layout, a directory
//	archive://FILE.tar[:TAG|@DIGEST]    an OCI archive, or what `docker save` writes
//	archive://-                         the same on standard input or output
//	containerd://[NAMESPACE/]NAME       a containerd's
//	engine://NAME[:TAG|@DIGEST]|ID      a Docker engine's, or Podman's, as docker reads it
//
// [Parse] looks at the text alone. [OpenSource] and [OpenDestination] look at
// the place.
package location

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// The schemes of locations that are no registry's.
const (
	SchemeLayout     = "oci-layout://"
	SchemeArchive    = "archive://"
	SchemeContainerd = "containerd://"
	SchemeEngine     = "engine://"
)

// Location is where one image is: a [Registry], a [Layout], an [Archive], a
// [Containerd] or an [Engine]. There are no others.
type Location interface {
	// String returns what [Parse] reads as the same location.
	String() string
	// Pinned returns the location of exactly the content of that digest: what
	// a script passes to the next command.
	Pinned(digest.Digest) string

	sealed()
}

// Registry is an image in a registry.
type Registry struct {
	// Ref always has a tag or a digest; with both, the digest counts.
	Ref reference.Named
}

// Layout is an image in an OCI layout directory.
type Layout struct {
	Path string
	// Name is the tag, or a digest; empty for the only image there.
	Name string
}

// Archive is an image in a tar.
type Archive struct {
	// Path is a file, or "-" for standard input or output.
	Path string
	// Name is as in [Layout].
	Name string
}

func (Registry) sealed() {}
func (Layout) sealed()   {}
func (Archive) sealed()  {}

// String implements [Location].
func (r Registry) String() string { return r.Ref.String() }

// String implements [Location].
func (l Layout) String() string { return SchemeLayout + l.Path + suffix(l.Name) }

// String implements [Location].
func (a Archive) String() string { return SchemeArchive + a.Path + suffix(a.Name) }

// Pinned implements [Location].
func (r Registry) Pinned(d digest.Digest) string { return r.Ref.Name() + "@" + d.String() }

// Pinned implements [Location].
func (l Layout) Pinned(d digest.Digest) string { return SchemeLayout + l.Path + "@" + d.String() }

// Pinned implements [Location].
func (a Archive) Pinned(d digest.Digest) string { return SchemeArchive + a.Path + "@" + d.String() }

// suffix is how a name stands after a path.
func suffix(name string) string {
	switch {
	case name == "":
		return ""
	case isDigest(name):
		return "@" + name
	}
	return ":" + name
}

// Parse reads an image argument. It touches neither network nor disk.
func Parse(s string) (Location, error) {
	switch {
	case s == "":
		return nil, errors.New("an empty image name")
	case strings.HasPrefix(s, SchemeLayout):
		path, name, err := splitPath(s, SchemeLayout)
		if err != nil {
			return nil, err
		}
		return Layout{Path: path, Name: name}, nil
	case strings.HasPrefix(s, SchemeArchive):
		path, name, err := splitPath(s, SchemeArchive)
		if err != nil {
			return nil, err
		}
		return Archive{Path: path, Name: name}, nil
	case strings.HasPrefix(s, SchemeContainerd):
		return parseContainerd(s)
	case strings.HasPrefix(s, SchemeEngine):
		return parseEngine(s)
	case strings.Contains(s, "://"):
		scheme, rest, _ := strings.Cut(s, "://")
		return nil, fmt.Errorf("%s: no such kind of place, %s://: name %s as docker does, without a scheme, or use %s, %s, %s or %s",
			s, scheme, rest, SchemeLayout, SchemeArchive, SchemeContainerd, SchemeEngine)
	}
	return parseRegistry(s)
}

// parseRegistry reads a name the way docker does: alpine is
// docker.io/library/alpine:latest.
func parseRegistry(s string) (Location, error) {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s, err)
	}
	if canonical, ok := named.(reference.Canonical); ok {
		if err := canonical.Digest().Validate(); err != nil {
			return nil, fmt.Errorf("%s: %w", s, err)
		}
		// The digest says it all; a tag beside it may have moved on.
		named, err = reference.WithDigest(reference.TrimNamed(named), canonical.Digest())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s, err)
		}
	}
	return Registry{Ref: reference.TagNameOnly(named)}, nil
}

// splitPath takes PATH[:TAG|@DIGEST] apart. A colon before the last slash is
// part of the path, and so is a drive letter's.
func splitPath(whole, scheme string) (path, name string, err error) {
	s := strings.TrimPrefix(whole, scheme)
	path = s
	if i := strings.LastIndexByte(s, '@'); i >= 0 && strings.Contains(s[i:], ":") && !strings.Contains(s[i:], "/") {
		path, name = s[:i], s[i+1:]
		if err := digest.Digest(name).Validate(); err != nil {
			return "", "", fmt.Errorf("%s: %q after the @: %w", whole, name, err)
		}
	} else if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.ContainsAny(s[i:], `/\`) {
		path, name = s[:i], s[i+1:]
		if name == "" {
			return "", "", fmt.Errorf("%s: no tag after the colon", whole)
		}
	}
	if path == "" {
		return "", "", fmt.Errorf("%s: no path after the scheme", whole)
	}
	return path, name, nil
}

// IsStream reports whether l is standard input or output.
func IsStream(l Location) bool {
	archive, ok := l.(Archive)
	return ok && archive.Path == standardStream
}

func isDigest(name string) bool { return digest.Digest(name).Validate() == nil }
