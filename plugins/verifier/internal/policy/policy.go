// SPDX-License-Identifier: Apache-2.0

// Package policy is the verifier's configuration: which images have to be what
// a profile accepts, and what becomes of those that are not.
package policy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/registry"
	"github.com/manifest-format/manifest-format/plugins/internal/rule"
)

// DefaultFile is where the policy is, unless [Variable] says another file.
const DefaultFile = "/etc/manifest-format/verifier.json"

// Variable is the environment variable with the policy's path.
const Variable = "MANIFEST_FORMAT_VERIFIER"

const (
	// DefaultBudget is how long a verdict takes at most.
	DefaultBudget = 8 * time.Second
	// containerdTimeout is how long containerd waits, unless it is told another
	// time. It then blocks the pull, whatever the policy says.
	containerdTimeout = 10 * time.Second
)

// Answer is whether an image may be pulled.
type Answer string

// The answers.
const (
	Allow Answer = "allow"
	Deny  Answer = "deny"
)

// Action is what a rule does with an image that is not what its profile accepts.
type Action string

const (
	// Enforce refuses it. So does the empty value.
	Enforce Action = "enforce"
	// Warn allows it, and says so.
	Warn Action = "warn"
	// Ignore allows it without a look: an exception to a later rule.
	Ignore Action = "ignore"
)

// Mode is how far an image is looked at.
type Mode string

const (
	// Shallow looks at what containerd knows of the root, without a network. So
	// does the empty value.
	Shallow Mode = "shallow"
	// Deep reads every index, manifest and config that a rule is about.
	Deep Mode = "deep"
)

// Rule is what images of a name have to be.
type Rule struct {
	// Match are the images that it is for.
	Match rule.Pattern `json:"match"`
	// For is the profile that the image has to be acceptable to, or several.
	For    string `json:"for,omitempty"`
	Action Action `json:"action,omitempty"`
	Mode   Mode   `json:"mode,omitempty"`
	// Severity is that of the least finding that counts; empty is an error.
	Severity format.Severity `json:"severity,omitempty"`

	profile format.Profile
}

// Profile is the profile that For names.
func (r *Rule) Profile() format.Profile { return r.profile }

// Counts reports whether a finding stands against an image.
func (r *Rule) Counts(f format.Finding) bool { return f.Severity.Worse(r.Severity) == f.Severity }

// Policy is the file. What it says nothing of is refused rather than allowed.
type Policy struct {
	// Schema is for editors.
	Schema string `json:"$schema,omitempty"`
	// Rules are asked in order: the first that matches decides.
	Rules []Rule `json:"rules"`
	// Default is for images that no rule is for. It has to be there.
	Default Answer `json:"default"`
	// Budget is how long a verdict takes at most; [DefaultBudget] if left out.
	Budget rule.Duration `json:"budget,omitempty"`
	// PerVerifierTimeout is what containerd's configuration has under that name,
	// where it is not containerd's default, 10s.
	PerVerifierTimeout rule.Duration `json:"perVerifierTimeout,omitempty"`
	// OnTimeout is the answer when the budget is used up; Deny if left out.
	OnTimeout Answer `json:"onTimeout,omitempty"`
	// OnError is the answer when the registry cannot be asked; Deny if left out.
	OnError Answer `json:"onError,omitempty"`
	// DockerConfig is a config.json of docker's, with the registries' logins.
	DockerConfig string `json:"dockerConfig,omitempty"`
	// HostsDir are containerd's folders of hosts.toml, with ":" between several.
	HostsDir string `json:"hostsDir,omitempty"`
}

// File is the path of the policy: path, or else what the environment says, or
// else [DefaultFile].
func File(path string) string {
	if path == "" {
		path = os.Getenv(Variable)
	}
	if path == "" {
		path = DefaultFile
	}
	return path
}

// Read reads the policy in a file. The error says the file, and the line where
// it is about one.
func Read(file string) (*Policy, error) {
	p, err := rule.ReadFile[Policy](file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: write the verifier's policy there, or set %s", err, Variable)
	}
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// For returns which rule is for an image, -1 if none is.
func (p *Policy) For(image string) int {
	return rule.First(p.Rules, rule.ParseName(image), func(r Rule) rule.Pattern { return r.Match })
}

// Validate fills in what is left out, and says what makes no sense. Relative
// paths begin in dir.
func (p *Policy) Validate(dir string) error {
	if len(p.Rules) == 0 {
		return rule.Field(errors.New(`there is no rule: write one, such as {"match": "**", "for": "oci"}`), "rules")
	}
	if p.Default == "" {
		return rule.Field(errors.New(`say "allow" or "deny": what becomes of images that no rule is for`), "default")
	}
	p.Budget = either(p.Budget, rule.Duration(DefaultBudget))
	p.PerVerifierTimeout = either(p.PerVerifierTimeout, rule.Duration(containerdTimeout))
	p.OnTimeout, p.OnError = either(p.OnTimeout, Deny), either(p.OnError, Deny)
	for _, check := range []error{
		oneOf("default", p.Default, Allow, Deny),
		oneOf("onTimeout", p.OnTimeout, Allow, Deny),
		oneOf("onError", p.OnError, Allow, Deny),
		p.validateBudget(),
		p.validateRules(dir),
		p.validatePaths(dir),
	} {
		if check != nil {
			return check
		}
	}
	return nil
}

// either returns the first value unless it is left out.
func either[T comparable](value, other T) T {
	var zero T
	if value == zero {
		return other
	}
	return value
}

// validateBudget refuses a budget that containerd does not leave.
func (p *Policy) validateBudget() error {
	if p.Budget < p.PerVerifierTimeout {
		return nil
	}
	return rule.Field(fmt.Errorf("%s is not below containerd's per_verifier_timeout, %s, after which it blocks every pull: lower it, or set perVerifierTimeout to what containerd has",
		time.Duration(p.Budget), time.Duration(p.PerVerifierTimeout)), "budget")
}

func (p *Policy) validateRules(dir string) error {
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.Match.String() == "" {
			return rule.Field(errors.New(`say which images the rule is for: "**" is every image`), "rules", i, "match")
		}
		r.Action, r.Mode, r.Severity = either(r.Action, Enforce), either(r.Mode, Shallow), either(r.Severity, format.SeverityError)
		for _, check := range []error{
			oneOf("action", r.Action, Enforce, Warn, Ignore),
			oneOf("mode", r.Mode, Shallow, Deep),
			oneOf("severity", r.Severity, format.SeverityError, format.SeverityWarning, format.SeverityNote),
			r.findProfile(dir),
		} {
			var field *rule.FieldError
			if errors.As(check, &field) {
				return rule.Field(field.Err, "rules", i, strings.TrimPrefix(string(field.Field), "/"))
			}
		}
	}
	return nil
}

// findProfile reads the rule's profile.
func (r *Rule) findProfile(dir string) error {
	if r.Action == Ignore {
		if r.For != "" {
			return rule.Field(errors.New("images that are ignored are held to no profile: leave it out"), "for")
		}
		return nil
	}
	var err error
	if r.profile, err = rule.FindProfile(r.For, dir); err != nil {
		return rule.Field(err, "for")
	}
	if !r.canRefuse() {
		return rule.Field(fmt.Errorf(`%s has no fact that is sure enough to refuse an image for: set severity to "note"`, r.profile.Name), "for")
	}
	return nil
}

// canRefuse reports whether a finding can count. A profile of one's own may
// have no facts.
func (r *Rule) canRefuse() bool {
	return r.Severity == format.SeverityNote || slices.ContainsFunc(r.profile.Facts, func(f format.Fact) bool {
		return r.Counts(format.Finding{Severity: f.Confidence.Severity()})
	})
}

// validatePaths has paths begin in dir, and refuses those that lead nowhere:
// who cannot log in finds out now, and not from a refused pull.
func (p *Policy) validatePaths(dir string) error {
	if p.DockerConfig != "" {
		p.DockerConfig = below(dir, p.DockerConfig)
		if _, err := registry.CredentialsFrom(p.DockerConfig); err != nil {
			return rule.Field(err, "dockerConfig")
		}
	}
	var hosts []string
	for _, one := range filepath.SplitList(p.HostsDir) {
		one = below(dir, one)
		if info, err := os.Stat(one); err != nil {
			return rule.Field(err, "hostsDir")
		} else if !info.IsDir() {
			return rule.Field(fmt.Errorf("%s is no folder: name the one that has a folder for each registry's host", one), "hostsDir")
		}
		hosts = append(hosts, one)
	}
	p.HostsDir = strings.Join(hosts, string(filepath.ListSeparator))
	return nil
}

func below(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// oneOf refuses a value that is none of known.
func oneOf[T ~string](field string, value T, known ...T) error {
	if slices.Contains(known, value) {
		return nil
	}
	var names []string
	for _, k := range known {
		names = append(names, string(k))
	}
	return rule.Field(fmt.Errorf("%q is none of %s", value, strings.Join(names, ", ")), field)
}
