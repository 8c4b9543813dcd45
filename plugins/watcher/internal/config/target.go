// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"
)

// inPlace is the target that moves an image's own name.
const inPlace = "in-place"

// What a target puts in of an image's name, registry.example.com/team/app:1.
const (
	placeName       = "{{name}}"       // all of it
	placeRepository = "{{repository}}" // registry.example.com/team/app
	placeHost       = "{{host}}"       // registry.example.com
	placePath       = "{{path}}"       // team/app
	placeTag        = "{{tag}}"        // 1
)

var places = []string{placeName, placeRepository, placeHost, placePath, placeTag}

// Target says where the result of a conversion goes: to the name that the image
// has, or to one that is made of it.
type Target struct {
	text string
	// form matches the names that it makes.
	form *regexp.Regexp
}

// ParseTarget reads "in-place", or a name with places in it. It refuses one
// that gives two images the same name, or an image its own.
func ParseTarget(text string) (Target, error) {
	t := Target{text: text}
	if text == inPlace {
		return t, nil
	}
	rest := text
	expression := regexp.QuoteMeta(text)
	for _, place := range places {
		rest = strings.ReplaceAll(rest, place, "")
		expression = strings.ReplaceAll(expression, regexp.QuoteMeta(place), ".+")
	}
	switch {
	case text == "":
		return Target{}, errors.New("it is empty")
	case strings.ContainsAny(rest, "{}"):
		return Target{}, fmt.Errorf("%q has a place that there is not: there is %s", text, strings.Join(places, ", "))
	case !strings.Contains(text, placeName) && !(strings.Contains(text, placeTag) && (strings.Contains(text, placeRepository) || strings.Contains(text, placePath))):
		return Target{}, fmt.Errorf("%q gives several images the same name: use %s, or %s with %s or %s", text, placeName, placeTag, placeRepository, placePath)
	}
	const sample = "registry.example.com/team/app:1"
	made, err := t.Expand(sample)
	if err != nil {
		return Target{}, err
	}
	if made == sample {
		return Target{}, fmt.Errorf("%q is the name that an image has: write %q to move it", text, inPlace)
	}
	t.form = regexp.MustCompile(`\A` + expression + `\z`)
	return t, nil
}

// Expand returns the name of the result for an image of that name. It is an
// error if either is no image's name in full, with its host: containerd takes
// any text for one.
func (t Target) Expand(name string) (string, error) {
	if t.text == inPlace {
		return name, nil
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", fmt.Errorf("%q has no parts that %q could be made of: %w", name, t.text, err)
	}
	tagged, ok := reference.TagNameOnly(named).(reference.NamedTagged)
	if !ok {
		return "", fmt.Errorf("%q has no tag", name)
	}
	made := strings.NewReplacer(
		placeName, tagged.String(), placeRepository, tagged.Name(),
		placeHost, reference.Domain(tagged), placePath, reference.Path(tagged), placeTag, tagged.Tag(),
	).Replace(t.text)
	full, err := reference.ParseNormalizedNamed(made)
	if err != nil {
		return "", fmt.Errorf("%q makes %q of %s, which is no image's name: %w", t.text, made, name, err)
	}
	if full.String() != made {
		return "", fmt.Errorf("%q makes %q of %s, which has no host in front", t.text, made, name)
	}
	return made, nil
}

// Makes reports whether the target could have made the name, of whatever image.
func (t Target) Makes(name string) bool { return t.form != nil && t.form.MatchString(name) }

// String returns the target as it was written.
func (t Target) String() string { return t.text }

// MarshalText implements [encoding.TextMarshaler].
func (t Target) MarshalText() ([]byte, error) { return []byte(t.text), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (t *Target) UnmarshalText(text []byte) error {
	parsed, err := ParseTarget(string(text))
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}
