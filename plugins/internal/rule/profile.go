// SPDX-License-Identifier: Apache-2.0

package rule

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/manifest-format/manifest-format/format"
)

// FindProfile returns the profile that a rule names as --for does: a built-in
// one's name or alias, the path of a file, which has a slash or ends in
// ".json", or several of these with commas between them, all at once. A
// relative path is looked for in dir.
func FindProfile(spec, dir string) (format.Profile, error) {
	var all []format.Profile
	for name := range strings.SplitSeq(spec, ",") {
		p, err := findOne(strings.TrimSpace(name), dir)
		if err != nil {
			return format.Profile{}, err
		}
		all = append(all, p)
	}
	return format.CombineProfiles(all...)
}

func findOne(name, dir string) (format.Profile, error) {
	switch {
	case name == "":
		return format.Profile{}, errors.New("no profile is named: name one, such as oci or docker; `manifest-format profiles` lists them")
	case strings.ContainsRune(name, '/') || strings.HasSuffix(name, ".json"):
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		body, err := read(name)
		if err != nil {
			return format.Profile{}, fmt.Errorf("%s: %w", name, err)
		}
		p, err := format.ParseProfile(body)
		if err != nil {
			return format.Profile{}, fmt.Errorf("%s is no profile: %w", name, err)
		}
		return p, nil
	}
	p, ok := format.LookupProfile(name)
	if !ok {
		return format.Profile{}, fmt.Errorf("no such profile: %q; `manifest-format profiles` lists them", name)
	}
	return p, nil
}
