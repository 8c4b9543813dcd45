// SPDX-License-Identifier: Apache-2.0

// Package rule is what the plugins' configuration files have in common: a file
// of rules that is read strictly, and patterns that say which images a rule is
// for.
package rule

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"
)

// Pattern says which images a rule is for: NAME[:TAG][@DIGEST], as an image is
// named in full, with the host. "*" stands for any characters within one
// component of the name, "**" for any at all. A part that is left out may be
// anything. The zero value matches nothing. It is read from a text of JSON.
type Pattern struct {
	text              string
	name, tag, digest *regexp.Regexp // nil is anything, but a nil name is nothing
}

// ParsePattern reads a pattern. It refuses one that no image can match: a rule
// that is for nothing is a mistake that nobody would see.
func ParsePattern(s string) (Pattern, error) {
	name, digest, digested := strings.Cut(s, "@")
	tag, tagged := "", false
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name, tag, tagged = name[:i], name[i+1:], true
	}
	if rest, ok := strings.CutPrefix(name, "index.docker.io/"); ok {
		name = "docker.io/" + rest // as docker reads it
	}
	if err := reachable(s, name); err != nil {
		return Pattern{}, err
	}
	if tagged && tag == "" || digested && digest == "" {
		return Pattern{}, fmt.Errorf("%q ends where its tag or its digest should be", s)
	}
	p := Pattern{text: s, name: compile(name)}
	if tagged {
		p.tag = compile(tag)
	}
	if digested {
		p.digest = compile(digest)
	}
	return p, nil
}

// nameLetters are what an image's name and a pattern have.
const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:[]*"

// reachable returns why no image has a name that the pattern s matches.
func reachable(s, name string) error {
	host, path, whole := strings.Cut(name, "/")
	switch {
	case name == "":
		return errors.New(`it is empty: "**" is every image`)
	case strings.Trim(name, nameLetters) != "" || strings.ContainsAny(path, "[]:") || strings.Contains(name, "://"):
		return fmt.Errorf("%q has characters that no image's name has", s)
	case path != strings.ToLower(path):
		return fmt.Errorf("%q has upper-case letters, and no image's name does", s)
	case strings.Contains(host, "**"):
		return nil
	case !whole:
		return fmt.Errorf("%q is no name with a host in front: write %q, or %q for every image of a host", s, "docker.io/library/"+name, name+"/**")
	case path == "" || strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/"):
		return fmt.Errorf("%q has an empty component: write %q for every image of a host", s, host+"/**")
	case !strings.ContainsAny(host, ".:*") && host != "localhost":
		return fmt.Errorf("%q has no host in front: write %q for Docker Hub's", s, "docker.io/"+s)
	case host == "docker.io" && !strings.Contains(path, "/") && !strings.Contains(path, "**"):
		return fmt.Errorf("%q matches nothing, as names of Docker Hub have two components behind the host: write %q", s, "docker.io/library/"+path)
	}
	return nil
}

// compile makes a regular expression of a glob: those run in linear time
// whatever the pattern.
func compile(glob string) *regexp.Regexp {
	// What is between two slashes may also be nothing: a/**/b is a/b too.
	expression := strings.NewReplacer(`/\*\*/`, `/(.*/)?`, `\*\*`, `.*`, `\*`, `[^/]*`).Replace(regexp.QuoteMeta(glob))
	return regexp.MustCompile(`\A(?s:` + expression + `)\z`)
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Matches reports whether the pattern is for an image of that name.
func (p Pattern) Matches(n Name) bool {
	return p.name != nil && p.name.MatchString(n.name) &&
		(p.tag == nil || n.tag != "" && p.tag.MatchString(n.tag)) &&
		(p.digest == nil || n.digest != "" && p.digest.MatchString(n.digest))
}

// MarshalText implements [encoding.TextMarshaler].
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.text), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *Pattern) UnmarshalText(text []byte) error {
	parsed, err := ParsePattern(string(text))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}

// Name is an image's name, taken apart.
type Name struct{ name, tag, digest string }

// ParseName reads a name as docker does: "alpine" is
// docker.io/library/alpine:latest. One with a digest and no tag has no tag.
// What is no image's name is kept whole: containerd takes any text for one, and
// a rule for every image is for those too.
func ParseName(s string) Name {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return Name{name: s}
	}
	named = reference.TagNameOnly(named)
	n := Name{name: named.Name()}
	if tagged, ok := named.(reference.Tagged); ok {
		n.tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		n.digest = digested.Digest().String()
	}
	return n
}

// String returns the name in full.
func (n Name) String() string {
	s := n.name
	if n.tag != "" {
		s += ":" + n.tag
	}
	if n.digest != "" {
		s += "@" + n.digest
	}
	return s
}

// First returns which of the rules is for the image: the first whose pattern
// matches, and -1 if none does.
func First[R any](rules []R, n Name, pattern func(R) Pattern) int {
	for i, r := range rules {
		if pattern(r).Matches(n) {
			return i
		}
	}
	return -1
}
