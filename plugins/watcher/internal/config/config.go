// SPDX-License-Identifier: Apache-2.0

// Package config is what the watcher is told to do: rules that say which images
// are converted, for what, and under which name.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/pkg/identifiers"
	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/plugins/internal/rule"
)

const (
	// DefaultFile is read when no other file is named.
	DefaultFile = "/etc/manifest-format/watcher.json"
	// FileVariable is the environment variable that names another file.
	FileVariable = "MANIFEST_FORMAT_WATCHER"

	defaultName        = "watcher"
	defaultNamespace   = "default"
	defaultConcurrency = 2
)

// Config is the file's content, with defaults for what it leaves out.
type Config struct {
	// Name is this watcher's among those on one containerd: it marks its leases.
	// Two that run at once must not have the same.
	Name string `json:"name"`
	// Namespaces are those of containerd that are watched.
	Namespaces []string `json:"namespaces"`
	// Concurrency is how many images are converted at once.
	Concurrency int `json:"concurrency"`
	// Rules are in order: the first that is for an image says what becomes of it.
	Rules []Rule `json:"rules"`
}

// Read reads a file. Errors say its name, and the line if they can.
func Read(path string) (*Config, error) {
	c, err := rule.ReadFile[Config](path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: write one, or name another with --config or %s", err, FileVariable)
	}
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// Validate fills in what was left out, and refuses what cannot be meant. Paths
// of profiles begin in dir.
func (c *Config) Validate(dir string) error {
	if c.Name == "" {
		c.Name = defaultName
	}
	if len(c.Namespaces) == 0 {
		c.Namespaces = []string{defaultNamespace}
	}
	if c.Concurrency == 0 {
		c.Concurrency = defaultConcurrency
	}
	if err := identifiers.Validate(c.Name); err != nil {
		return rule.Field(fmt.Errorf("%q is no name: it has letters and digits, with one of . _ - between them", c.Name), "name")
	}
	if c.Concurrency < 0 {
		return rule.Field(errors.New("it is less than 1"), "concurrency")
	}
	if err := checkNamespaces(c.Namespaces); err != nil {
		return err
	}
	if len(c.Rules) == 0 {
		return rule.Field(errors.New("there is no rule, so nothing would be converted"), "rules")
	}
	for i := range c.Rules {
		if err := c.validateRule(dir, i); err != nil {
			return err
		}
	}
	return nil
}

// checkNamespaces refuses what is no name of containerd's, or there twice. The
// steps lead to the list.
func checkNamespaces(namespaces []string, steps ...any) error {
	for i, name := range namespaces {
		at := append(slices.Clone(steps), "namespaces", i)
		if identifiers.Validate(name) != nil {
			return rule.Field(fmt.Errorf("%q is no namespace of containerd's", name), at...)
		}
		if slices.Contains(namespaces[:i], name) {
			return rule.Field(fmt.Errorf("%q is there twice: leave one out", name), at...)
		}
	}
	return nil
}

// validateRule finds the profile of a rule, and refuses one that can be for
// no image.
func (c *Config) validateRule(dir string, i int) error {
	r := &c.Rules[i]
	if err := checkNamespaces(r.Namespaces, "rules", i); err != nil {
		return err
	}
	for n, name := range r.Namespaces {
		if !slices.Contains(c.Namespaces, name) {
			return rule.Field(fmt.Errorf("%q is not watched: the file's own namespaces have to have it", name), "rules", i, "namespaces", n)
		}
	}
	if len(r.Namespaces) == 0 {
		r.Namespaces = c.Namespaces
	}
	for n := range c.Rules[:i] {
		if c.Rules[n].hides(r) {
			return rule.Field(fmt.Errorf("no image gets this far: rule %d is for all of them", n), "rules", i, "match")
		}
	}
	return r.validate(dir, i)
}

// Ignored reports whether a name is one that no rule is for: one by digest says
// what has it, and those that Kubernetes' interface makes beside a tag are
// bookkeeping.
func Ignored(name string) bool {
	return strings.ContainsRune(name, '@') || digest.Digest(name).Validate() == nil
}

// For returns the rule for an image, and nil if none is, or one that skips it.
func (c *Config) For(namespace, name string) *Rule {
	if Ignored(name) {
		return nil
	}
	parsed := rule.ParseName(name)
	for i := range c.Rules {
		r := &c.Rules[i]
		if !r.Match.Matches(parsed) || !slices.Contains(r.Namespaces, namespace) {
			continue
		}
		if r.Skip {
			return nil
		}
		return r
	}
	return nil
}
