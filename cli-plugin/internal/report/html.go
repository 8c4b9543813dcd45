// SPDX-License-Identifier: Apache-2.0

package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/conformance"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/inspection"
	"github.com/manifest-format/manifest-format/format"
)

// The pages have no script and fetch nothing: what they need is in them.
var (
	//go:embed style.css
	styleSheet string
	//go:embed check.html
	checkPage string
	//go:embed profiles.html
	profilesPage string
)

var functions = template.FuncMap{
	"style":    func() template.CSS { return template.CSS(styleSheet) }, //nolint:gosec // it is a file of this package
	"place":    place,
	"isLink":   func(s string) bool { return strings.HasPrefix(s, "https://") && !strings.ContainsAny(s, " ,") },
	"size":     inspection.HumanSize,
	"format":   inspection.FormatName,
	"join":     func(v any) string { return strings.Trim(strings.ReplaceAll(fmt.Sprint(v), " ", ", "), "[]") },
	"choices":  func(list []string) string { return strings.ReplaceAll(strings.Join(list, ", "), "|", " or ") },
	"document": func(d *inspection.Document, label string) node { return node{Label: label, Doc: d} },
}

var (
	checkTemplate    = template.Must(template.New("check").Funcs(functions).Parse(checkPage))
	profilesTemplate = template.Must(template.New("profiles").Funcs(functions).Parse(profilesPage))
)

// node is a document in the tree, and what stands before its name.
type node struct {
	Label string
	Doc   *inspection.Document
}

// page is what the template of an assessment sees.
type page struct {
	*conformance.Assessment
	Counts []count
}

type count struct {
	Verdict conformance.Verdict
	Number  int
}

// writeHTML writes a as one page that needs nothing else.
func writeHTML(out io.Writer, a *conformance.Assessment) error {
	p := page{Assessment: a}
	for _, v := range conformance.Verdicts() {
		n := 0
		for _, t := range a.Targets {
			if t.Verdict == v {
				n++
			}
		}
		p.Counts = append(p.Counts, count{v, n})
	}
	return checkTemplate.Execute(out, p)
}

// kind is the profiles of one kind of target.
type kind struct {
	Title    string
	ID       format.TargetKind
	Profiles []format.Profile
}

// WriteProfiles writes the table of what targets accept as one page that needs
// nothing else.
func WriteProfiles(out io.Writer, all []format.Profile) error {
	kinds := []kind{
		{Title: "Specifications", ID: format.KindSpecification},
		{Title: "Registries", ID: format.KindRegistry},
		{Title: "Services", ID: format.KindService},
		{Title: "Runtimes and clients", ID: format.KindRuntime},
		{Title: "Others", ID: ""},
	}
	for i := range kinds {
		for _, p := range all {
			if p.Kind == kinds[i].ID {
				kinds[i].Profiles = append(kinds[i].Profiles, p)
			}
		}
	}
	return profilesTemplate.Execute(out, kinds)
}
