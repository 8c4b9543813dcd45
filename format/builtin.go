// SPDX-License-Identifier: Apache-2.0

package format

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/go-json-experiment/json"
)

// The built-in profiles, one file each. What is known of a target is there,
// and only there.
//
//go:embed profile/*.json
var builtin embed.FS

// ProfileSchema is the JSON Schema that files of profiles keep to.
//
//go:embed profile/schema/profile.schema.json
var ProfileSchema []byte

// fileOf is the file of the built-in profile of that name.
func fileOf(name string) string { return "profile/" + name + ".json" }

// aliases maps each alias of a built-in profile to its name. It reads them all,
// for who uses an alias.
var aliases = sync.OnceValue(func() map[string]string {
	names := map[string]string{}
	for _, p := range Profiles() {
		for _, alias := range p.Aliases {
			names[alias] = p.Name
		}
	}
	return names
})

// LookupProfile returns the built-in profile of that name or alias. Names with
// commas between them are several profiles at once: see [CombineProfiles].
func LookupProfile(name string) (Profile, bool) {
	if strings.Contains(name, ",") {
		var all []Profile
		for one := range strings.SplitSeq(name, ",") {
			p, ok := LookupProfile(one)
			if !ok {
				return Profile{}, false
			}
			all = append(all, p)
		}
		p, err := CombineProfiles(all...)
		return p, err == nil
	}
	if !profileName(name) {
		return Profile{}, false
	}
	if _, err := fs.Stat(builtin, fileOf(name)); err == nil {
		return readBuiltin(fileOf(name)), true
	}
	name, ok := aliases()[name]
	if !ok {
		return Profile{}, false
	}
	return readBuiltin(fileOf(name)), true
}

// Profiles returns the built-in profiles: the specifications first, then the
// targets, by name.
func Profiles() []Profile {
	entries, err := builtin.ReadDir("profile")
	if err != nil {
		panic(err) // it is embedded a few lines above
	}
	var first, all []Profile
	for _, e := range entries {
		p := readBuiltin(path.Join("profile", e.Name()))
		if p.Kind == KindSpecification {
			first = append(first, p)
		} else {
			all = append(all, p)
		}
	}
	return append(first, all...)
}

// readBuiltin reads an embedded profile. Each call makes a new one, so that no
// caller can change another's.
func readBuiltin(file string) Profile {
	data, err := builtin.ReadFile(file)
	if err != nil {
		panic(err)
	}
	p, err := ParseProfile(data)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", file, err)) // a test reads them all
	}
	return p
}

func mustLookup(name string) Profile {
	p, ok := LookupProfile(name)
	if !ok {
		panic("no built-in profile " + name)
	}
	return p
}

// ProfileForHost returns the built-in profile of the registry at that host, as
// a reference names it: "123456789012.dkr.ecr.eu-west-1.amazonaws.com".
func ProfileForHost(host string) (Profile, bool) {
	for _, p := range Profiles() {
		if p.IsAt(host) {
			return p, true
		}
	}
	return Profile{}, false
}

// IsAt reports whether the registry at that host is known to be the target.
func (p Profile) IsAt(host string) bool {
	return slices.ContainsFunc(p.Hosts, func(pattern string) bool { return hostMatches(pattern, host) })
}

// hostMatches compares a host with a pattern, part by part.
func hostMatches(pattern, host string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(strings.ToLower(host), ".")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if ok, err := path.Match(want[i], have[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

// ParseProfile reads a profile from JSON, strictly: a member that is not known
// is an error, and so is a value that is none of those there are.
func ParseProfile(data []byte) (Profile, error) {
	var p Profile
	if err := json.Unmarshal(data, &p, json.RejectUnknownMembers(true)); err != nil {
		return Profile{}, fmt.Errorf("%w%.0w", err, errdefs.ErrInvalidArgument)
	}
	return p, p.Validate()
}

// Validate returns what is wrong with a profile that was not made here. The
// name may be several, with commas between them: see [CombineProfiles].
func (p Profile) Validate() error {
	if slices.ContainsFunc(strings.Split(p.Name, ","), func(name string) bool { return !profileName(name) }) {
		return fmt.Errorf("name %q is not made of lower-case letters, digits, dots and hyphens%.0w", clip(p.Name), errdefs.ErrInvalidArgument)
	}
	checks := []error{
		oneOf("kind", p.Kind, KindSpecification, KindRegistry, KindService, KindRuntime),
		oneOf("index", p.Index, IndexAllowed, IndexForbidden, IndexRequired),
		allOf("formats", p.Formats, OCI, Docker),
		allOf("compressions", p.Compressions, Gzip, Zstd, Uncompressed),
		allOf("attestations", p.Attestations, AttestationsKeep, AttestationsReferrers, AttestationsDrop),
		allOf("attestationForms", p.AttestationForms, FormImage, FormArtifact),
		allOf("details", p.Details, detailIDs()...),
		allOf("tolerates", p.Tolerates, tolerable()...),
		p.validatePlatforms(),
		p.validateLimits(),
	}
	for _, name := range p.Aliases {
		if !profileName(name) {
			checks = append(checks, fmt.Errorf("alias %q is not made of lower-case letters, digits, dots and hyphens%.0w", clip(name), errdefs.ErrInvalidArgument))
		}
	}
	for _, f := range p.Facts {
		checks = append(checks, f.validate())
	}
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	return nil
}

// profileName reports whether s can name a profile: it can be told from a
// path, and from several names.
func profileName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" &&
		!strings.HasPrefix(s, ".") && !strings.HasPrefix(s, "-") && !strings.HasSuffix(s, ".json")
}

// allOf refuses a list with a value that is none of known.
func allOf[T ~string](field string, values []T, known ...T) error {
	for _, v := range values {
		if !slices.Contains(known, v) {
			return fmt.Errorf("%s: %q is none of %s%.0w", field, clip(string(v)), joinWords(known), errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

func (p Profile) validatePlatforms() error {
	for _, choice := range p.Platforms {
		for name := range strings.SplitSeq(choice, "|") {
			if _, err := platforms.Parse(name); err != nil {
				return fmt.Errorf("platforms: %q is not a platform, such as linux/arm64%.0w", clip(name), errdefs.ErrInvalidArgument)
			}
		}
	}
	return nil
}

func (p Profile) validateLimits() error {
	l := p.Limits
	if l.Layers < 0 || l.LayerBytes < 0 || l.ImageBytes < 0 || l.DocumentBytes < 0 {
		return fmt.Errorf("limits: a limit is negative%.0w", errdefs.ErrInvalidArgument)
	}
	return nil
}

func (f Fact) validate() error {
	about := []string{aboutReferrers, aboutConversion, aboutTolerance, aboutGeneral}
	for _, r := range Rules() {
		about = append(about, r.ID)
	}
	switch {
	case !slices.Contains(about, f.About):
		return fmt.Errorf("facts: about %q is neither the id of a rule nor one of %s%.0w", clip(f.About), joinWords(about[:4]), errdefs.ErrInvalidArgument)
	case !slices.Contains(confidences, f.Confidence):
		return fmt.Errorf("facts: confidence %q is none of %s%.0w", clip(string(f.Confidence)), joinWords(confidences), errdefs.ErrInvalidArgument)
	case f.Says == "" || f.Source == "" || f.Date == "":
		return fmt.Errorf("facts: what is said about %s lacks its text, its source or its date%.0w", f.About, errdefs.ErrInvalidArgument)
	}
	return nil
}
