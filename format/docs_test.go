// SPDX-License-Identifier: Apache-2.0

package format_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/manifest-format/manifest-format/format"
)

// compareSection compares what stands between two comments of a page with
// want; -update writes it.
func compareSection(t *testing.T, path, name, want string) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->\n"
	before, rest, found := strings.Cut(string(page), begin)
	have, after, found2 := strings.Cut(rest, end)
	if !found || !found2 {
		t.Fatalf("%s has no section %s", path, name)
	}
	if have == want {
		return
	}
	if !*update {
		t.Fatalf("the section %s of %s is not what the engine has: run go test ./format -run %s -update", name, path, t.Name())
	}
	if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRulesAreDocumented compares the table of rules in docs/conversion.md
// with the rules.
func TestRulesAreDocumented(t *testing.T) {
	var want strings.Builder
	want.WriteString("| rule | what holds | Convert mends it | source |\n| --- | --- | --- | --- |\n")
	for _, r := range format.Rules() {
		mends := "no"
		if r.Fixable {
			mends = "yes"
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", r.ID, r.Sentence, mends, r.Source)
	}
	compareSection(t, "../docs/conversion.md", "rules", want.String())
}

// TestProfilesAreInTheReadme compares the README's table with the profiles
// of targets that restrict the format or the shape of an image; the others are
// listed, and runtimes are on their own page.
func TestProfilesAreInTheReadme(t *testing.T) {
	var want strings.Builder
	want.WriteString("| profile | target | formats | index | attestations |\n| --- | --- | --- | --- | --- |\n")
	var rest []string
	for _, p := range format.Profiles() {
		if p.Kind == format.KindRuntime {
			continue
		}
		if p.Kind != format.KindSpecification && len(p.Formats) != 1 && p.Index != format.IndexForbidden {
			rest = append(rest, "`"+p.Name+"`")
			continue
		}
		fmt.Fprintf(&want, "| %s | %s | %s | %s | %s |\n", names(p), p.Title, orAny(p.Formats), use(p.Index), orAny(p.Attestations))
	}
	fmt.Fprintf(&want, "\nNo format is known to be refused by %s; some of them are particular about details.\n", strings.Join(rest, ", "))
	compareSection(t, "../README.md", "profiles", want.String())
}

// TestProfilesAreDocumented compares docs/profiles.md with the profiles.
func TestProfilesAreDocumented(t *testing.T) {
	var want strings.Builder
	for _, kind := range []struct {
		format.TargetKind
		title string
	}{
		{format.KindSpecification, "Specifications"},
		{format.KindRegistry, "Registries"},
		{format.KindService, "Services"},
		{format.KindRuntime, "Runtimes and clients"},
	} {
		fmt.Fprintf(&want, "## %s\n\n| profile | target | formats | compressions | index | attestations | platforms | details and limits | surest evidence |\n", kind.title)
		want.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
		for _, p := range format.Profiles() {
			if p.Kind != kind.TargetKind {
				continue
			}
			attestations := orAny(p.Attestations)
			if len(p.AttestationForms) > 0 {
				attestations += "; form " + words(p.AttestationForms)
			}
			fmt.Fprintf(&want, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", names(p), p.Title, orAny(p.Formats), orAny(p.Compressions),
				use(p.Index), attestations, strings.ReplaceAll(strings.Join(p.Platforms, ", "), "|", " or "), details(p), surest(p))
		}
		want.WriteString("\n")
	}
	compareSection(t, "../docs/profiles.md", "profiles", strings.TrimSuffix(want.String(), "\n"))
}

// TestHowtoIsRight reads the profile that docs/profiles-howto.md shows.
func TestHowtoIsRight(t *testing.T) {
	page, err := os.ReadFile("../docs/profiles-howto.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```json\n")
	text, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatal("the page shows no profile")
	}
	p, err := format.ParseProfile([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if p.Evidence("media-type") == nil || p.Evidence("single-manifest") == nil {
		t.Error("a restriction has no fact")
	}
}

func names(p format.Profile) string {
	text := "`" + p.Name + "`"
	for _, alias := range p.Aliases {
		text += " `" + alias + "`"
	}
	return text
}

func orAny[T ~string](list []T) string {
	if len(list) == 0 {
		return "any"
	}
	return words(list)
}

func use(i format.IndexUse) string {
	switch i {
	case format.IndexForbidden:
		return "no"
	case format.IndexRequired:
		return "only"
	default:
		return "yes"
	}
}

func details(p format.Profile) string {
	all := []string{}
	for _, d := range p.Details {
		all = append(all, "`"+d+"`")
	}
	for _, l := range []struct {
		what string
		most int64
	}{
		{"layers", int64(p.Limits.Layers)},
		{"bytes a layer", p.Limits.LayerBytes},
		{"bytes an image", p.Limits.ImageBytes},
		{"bytes a document", p.Limits.DocumentBytes},
	} {
		if l.most > 0 {
			all = append(all, fmt.Sprintf("%d %s", l.most, l.what))
		}
	}
	return strings.Join(all, ", ")
}

// surest is the best evidence for what the profile says of formats, or else of
// anything.
func surest(p format.Profile) string {
	best := p.Evidence("media-type")
	for _, f := range p.Facts {
		if other := p.Evidence(f.About); best == nil || other != nil && other.Confidence.Severity() == format.SeverityError && best.Confidence.Severity() != format.SeverityError {
			best = other
		}
	}
	if best == nil {
		return ""
	}
	text := fmt.Sprintf("%s %s", best.Confidence, best.Date)
	if strings.HasPrefix(best.Source, "https://") && !strings.ContainsAny(best.Source, " ,") {
		return fmt.Sprintf("[%s](%s)", text, best.Source)
	}
	return text + ", " + best.Source
}

func words[T ~string](list []T) string {
	var all []string
	for _, w := range list {
		all = append(all, string(w))
	}
	return strings.Join(all, ", ")
}
