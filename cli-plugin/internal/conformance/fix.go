// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"strings"

	"github.com/containerd/platforms"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/inspection"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/format"
)

// fix is the command that converts the image to what a target accepts.
func (a *Assessment) fix(p format.Profile, o Options) string {
	spec := p.Name
	if known := o.Specs[p.Name]; known != "" {
		spec = known
	}
	words := []string{"manifest-format", "convert", "--for", quoted(spec)}
	in, inEngine := a.inEngine()
	if inEngine {
		words[1] = "push"
	}
	if name := a.platformFor(p); name != "" {
		words = append(words, "--platform", name)
	}
	if inEngine {
		words = append(words, quoted(in.Name))
		if _, tagged := in.Tagged(); !tagged {
			words = append(words, "REF")
		}
		return strings.Join(words, " ")
	}
	from, to := places(a.Reference, p.Name)
	return strings.Join(append(words, quoted(from), quoted(to)), " ")
}

// inEngine is where an image is that is in an engine: it gets the format of a
// target on its way there, and in some engines not before.
func (a *Assessment) inEngine() (location.Engine, bool) {
	place, err := location.Parse(a.Reference)
	if err != nil {
		return location.Engine{}, false
	}
	in, is := place.(location.Engine)
	return in, is
}

// platformFor is the platform to choose where the target takes one image and
// there are several: the first that the target runs.
func (a *Assessment) platformFor(p format.Profile) string {
	if p.Index != format.IndexForbidden || a.Image == nil || a.Image.Root.Kind != inspection.KindIndex || len(a.Image.Platforms) < 2 {
		return ""
	}
	for _, name := range a.Image.Platforms {
		have, err := platforms.Parse(name)
		if err == nil && p.Runs(have) {
			return name
		}
	}
	return a.Image.Platforms[0]
}

// places are where a conversion reads and writes: in place, but for an archive,
// which gets a neighbour.
func places(reference, profile string) (from, to string) {
	place, err := location.Parse(reference)
	if err != nil || reference == stdin {
		return "IMAGE", "IMAGE" // a document alone does not say where it is from
	}
	switch at := place.(type) {
	case location.Archive:
		if at.Path == "-" {
			return reference, location.Archive{Path: profile + ".tar"}.String()
		}
		return reference, location.Archive{Path: strings.TrimSuffix(at.Path, ".tar") + "-" + profile + ".tar"}.String()
	case location.Registry:
		if name, _, digested := strings.Cut(reference, "@"); digested {
			return reference, name + ":" + profile
		}
	case location.Layout:
		if name, _, digested := strings.Cut(reference, "@"); digested {
			return reference, name + ":" + profile
		}
	}
	return reference, reference
}

// stdin is how a document on standard input is named.
const stdin = "-"

// quoted is a word as a shell reads it.
func quoted(word string) string {
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@+=,") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// remedy is what helps where no conversion does: the build has to be another.
func remedy(rule string, p format.Profile) string {
	if rule != "target-platform" {
		return ""
	}
	var wanted []string
	for _, choice := range p.Platforms {
		first, _, _ := strings.Cut(choice, "|")
		wanted = append(wanted, first)
	}
	return "docker buildx build --platform " + strings.Join(wanted, ",") + " ."
}
