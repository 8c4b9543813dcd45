// SPDX-License-Identifier: Apache-2.0

// Package profiles finds the profiles that a command line names: built-in
// ones, those of the user and of the project, files, and several at once.
package profiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/cli/cli/config"

	"github.com/manifest-format/manifest-format/format"
)

// Where profiles are beside the built-in ones: in a folder of docker's
// configuration, and in the project, the nearest folder above that has one.
const (
	userFolder    = "manifest-format/profiles"
	projectFolder = ".manifest-format"
)

// maxFileSize is as large as a profile may be.
const maxFileSize = 1 << 20

// Set is the profiles that can be named: the project's go before the user's,
// and those before the built-in ones.
type Set struct {
	// own are the user's and the project's, each name once. The built-in ones
	// are read when they are needed: most commands need one, or none.
	own []format.Profile
}

// Load reads the profiles of the user and of the project that the folder dir
// is in. A file that is no profile is an error.
func Load(dir string) (*Set, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &Set{}
	for _, folder := range []string{projectIn(dir), filepath.Join(config.Dir(), userFolder)} {
		own, err := readFolder(folder)
		if err != nil {
			return nil, err
		}
		for _, p := range own {
			if !s.owns(p.Name) {
				s.own = append(s.own, p)
			}
		}
	}
	return s, nil
}

// owns reports whether the user or the project has a profile of that name: a
// built-in one is then hidden, its aliases and hosts too.
func (s *Set) owns(name string) bool {
	return slices.ContainsFunc(s.own, func(p format.Profile) bool { return p.Name == name })
}

// named returns the profile of that name or alias. A name is stronger than an
// alias.
func (s *Set) named(name string) (format.Profile, bool) {
	for _, p := range s.own {
		if p.Name == name {
			return p, true
		}
	}
	builtin, ok := format.LookupProfile(name)
	if ok && builtin.Name == name {
		return builtin, true
	}
	for _, p := range s.own {
		if slices.Contains(p.Aliases, name) {
			return p, true
		}
	}
	return builtin, ok && !s.owns(builtin.Name)
}

// projectIn returns the project's folder of profiles, empty if there is none.
func projectIn(dir string) string {
	for {
		folder := filepath.Join(dir, projectFolder)
		if info, err := os.Stat(folder); err == nil && info.IsDir() {
			return folder
		}
		above := filepath.Dir(dir)
		if above == dir {
			return ""
		}
		dir = above
	}
}

// readFolder reads the profiles in a folder, none if there is no such folder.
func readFolder(folder string) ([]format.Profile, error) {
	if folder == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []format.Profile
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != ".json" {
			continue
		}
		p, err := ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// ReadFile reads the profile in a file. The error names the file.
func ReadFile(path string) (format.Profile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return format.Profile{}, err
	}
	if info.Size() > maxFileSize {
		return format.Profile{}, fmt.Errorf("%s has %d bytes: a profile has at most %d", path, info.Size(), maxFileSize)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return format.Profile{}, err
	}
	p, err := format.ParseProfile(data)
	if err != nil {
		return format.Profile{}, fmt.Errorf("%s is no profile: %w", path, err)
	}
	if strings.Contains(p.Name, ",") {
		return format.Profile{}, fmt.Errorf("%s is no profile: its name %q is several", path, p.Name)
	}
	return p, nil
}

// All returns every profile once, the specifications first, then by name.
func (s *Set) All() []format.Profile {
	all := slices.Clone(s.own)
	for _, p := range format.Profiles() {
		if !s.owns(p.Name) {
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b format.Profile) int {
		if first := a.Kind == format.KindSpecification; first != (b.Kind == format.KindSpecification) {
			if first {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all
}

// Names returns the names of all profiles, then their aliases.
func (s *Set) Names() []string {
	var names, aliases []string
	for _, p := range s.All() {
		names = append(names, p.Name)
		aliases = append(aliases, p.Aliases...)
	}
	return append(names, aliases...)
}

// Find returns the profile that a --for flag names: a name, an alias, the path
// of a file, which has a slash or ends in ".json", or several of these with
// commas between them, all at once.
func (s *Set) Find(spec string) (format.Profile, error) {
	list, err := s.List(spec)
	if err != nil {
		return format.Profile{}, err
	}
	return format.CombineProfiles(list...)
}

// List returns the profiles that a --for flag names, each by itself.
func (s *Set) List(spec string) ([]format.Profile, error) {
	var all []format.Profile
	for name := range strings.SplitSeq(spec, ",") {
		name = strings.TrimSpace(name)
		if IsFile(name) {
			p, err := ReadFile(name)
			if err != nil {
				return nil, err
			}
			all = append(all, p)
			continue
		}
		p, ok := s.named(name)
		if !ok {
			return nil, s.unknown(name)
		}
		all = append(all, p)
	}
	return all, nil
}

// IsFile reports whether a --for flag names a file rather than a profile.
func IsFile(spec string) bool {
	return strings.ContainsAny(spec, `/\`) || strings.HasSuffix(spec, ".json")
}

// ForHost returns the profile of the registry at that host.
func (s *Set) ForHost(host string) (format.Profile, bool) {
	for _, p := range s.own {
		if p.IsAt(host) {
			return p, true
		}
	}
	for _, p := range format.Profiles() {
		if p.IsAt(host) && !s.owns(p.Name) {
			return p, true
		}
	}
	return format.Profile{}, false
}

// unknown says which profiles a name that is none may mean.
func (s *Set) unknown(name string) error {
	var near []string
	for _, known := range s.Names() {
		if name != "" && (strings.Contains(known, name) || strings.Contains(name, known) || distance(name, known) <= 2) {
			near = append(near, known)
		}
	}
	if len(near) == 0 {
		return fmt.Errorf("no such profile: %q; `manifest-format profiles` lists them", name)
	}
	return fmt.Errorf("no such profile: %q; there is %s", name, strings.Join(near, ", "))
}

// distance is how many letters have to be changed, added or left out to make
// one word of the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := left
			if a[i] != b[j] {
				cost++
			}
			left = row[j+1]
			row[j+1] = min(cost, left+1, row[j]+1)
		}
	}
	return row[len(b)]
}
