// SPDX-License-Identifier: Apache-2.0

package format_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/manifest-format/manifest-format/format"
)

// TestRulesAreDocumented compares the table of rules in docs/conversion.md
// with the rules; -update writes it.
func TestRulesAreDocumented(t *testing.T) {
	const path = "../docs/conversion.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- rules: begin -->\n", "<!-- rules: end -->\n"
	before, rest, found := strings.Cut(string(page), begin)
	have, after, found2 := strings.Cut(rest, end)
	if !found || !found2 {
		t.Fatalf("%s has no table of rules", path)
	}
	var want strings.Builder
	want.WriteString("| rule | what holds | Convert mends it | source |\n| --- | --- | --- | --- |\n")
	for _, r := range format.Rules() {
		mends := "no"
		if r.Fixable {
			mends = "yes"
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", r.ID, r.Sentence, mends, r.Source)
	}
	if have == want.String() {
		return
	}
	if !*update {
		t.Fatalf("the rules in %s are not those of the engine: run go test ./format -run TestRulesAreDocumented -update", path)
	}
	if err := os.WriteFile(path, []byte(before+begin+want.String()+end+after), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestProfilesAreInTheReadme compares the README's table with the profiles.
func TestProfilesAreInTheReadme(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "| profile | formats | layer compressions | index | attestations |\n| --- | --- | --- | --- | --- |\n")
	have, _, _ := strings.Cut(rest, "\n\n")
	var want []string
	for _, p := range format.Profiles() {
		compressions, index := "all", "yes"
		if len(p.Compressions) > 0 {
			compressions = words(p.Compressions)
		}
		if p.NoIndex {
			index = "no"
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s | %s |", p.Name, words(p.Formats), compressions, index, words(p.Attestations)))
	}
	if got := strings.Join(want, "\n"); got != have {
		t.Errorf("README.md has\n%s\nthe profiles are\n%s", have, got)
	}
}

func words[T ~string](list []T) string {
	var all []string
	for _, w := range list {
		all = append(all, string(w))
	}
	return strings.Join(all, ", ")
}
