// SPDX-License-Identifier: Apache-2.0

//go:build linux

package buildx

import (
	"regexp"
	"slices"
	"testing"

	"github.com/manifest-format/manifest-format/integration/engines"
)

var (
	flagLine = regexp.MustCompile(`(?m)^ +(?:-(\w), )?--([a-z-]+)(?: (\w+))? {2,}`)
	verbLine = regexp.MustCompile(`(?m)^  ([a-z-]+) {2,}`)
)

// The flags of buildx's build are those that this program knows: one that it
// does not know, and that takes a value, would make an operand of its value.
func TestFlagsAreThoseOfBuildx(t *testing.T) {
	help := engines.NewHome(t).Run(t, "buildx", "build", "--help").Stdout
	seen := 0
	for _, match := range flagLine.FindAllStringSubmatch(help, -1) {
		short, name, value := match[1], match[2], match[3]
		seen++
		switch {
		case value != "" && !valued[name]:
			t.Errorf("--%s takes a value: add it to valued", name)
		case value == "" && !switches[name]:
			t.Errorf("--%s takes no value: add it to switches", name)
		}
		if short != "" && shorthands[short[0]] != name {
			t.Errorf("-%s is --%s: add it to shorthands", short, name)
		}
	}
	if seen < 30 {
		t.Errorf("found %d flags in the help of buildx:\n%s", seen, help)
	}
}

// Every command of buildx is reached through this program.
func TestVerbsAreThoseOfBuildx(t *testing.T) {
	help := engines.NewHome(t).Run(t, "buildx", "--help").Stdout
	seen := 0
	for _, match := range verbLine.FindAllStringSubmatch(help, -1) {
		seen++
		if !slices.Contains(slices.Concat(Verbs, Shared, []string{"build", "help"}), match[1]) {
			t.Errorf("buildx %s is passed on by nothing: add it to Verbs", match[1])
		}
	}
	if seen < 10 {
		t.Errorf("found %d commands in the help of buildx:\n%s", seen, help)
	}
}
