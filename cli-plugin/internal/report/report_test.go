// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/santhosh-tekuri/jsonschema/v5"
	"golang.org/x/net/html"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/conformance"
	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
)

var update = flag.Bool("update", false, "write what comes out into testdata, to be looked at by a person")

// store is a place without referrers.
type store struct{ *formattest.Store }

func (store) Referrers(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return nil, nil
}

// hostile is in every text of an image that can be in a report.
const hostile = "<script>alert(1)</script>|`\x1b[31m @someone ](https://evil.example)"

// assess holds an image with everything in it to targets, all if none is named.
func assess(t *testing.T, names ...string) *conformance.Assessment {
	t.Helper()
	b := formattest.Builder{Format: format.OCI, Annotations: map[string]string{hostile: hostile}}
	amd, arm := b.Manifest("linux/amd64", b.Layer(format.Zstd, "a=1")), b.Manifest("linux/arm64", b.Layer(format.Gzip, "a=2"))
	image := b.Index(amd, arm, b.Attestation(true, amd, "https://spdx.dev/Document"))
	s := formattest.NewStore()
	var all []format.Profile
	for _, name := range names {
		p, ok := format.LookupProfile(name)
		if !ok {
			t.Fatalf("no profile %s", name)
		}
		all = append(all, p)
	}
	if len(names) == 0 {
		all = format.Profiles()
	}
	a, err := conformance.Assess(t.Context(), store{s}, image.Put(s), "registry.example.com/app:1.0", all, conformance.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func write(t *testing.T, to string, a *conformance.Assessment) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, to, a); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Each format is compared with what a person has looked at.
func TestGolden(t *testing.T) {
	a := assess(t, "aws-lambda", "ghcr", "gitlab", "sagemaker", "ocir")
	for _, name := range Formats() {
		got := write(t, name, a)
		file := filepath.Join("testdata", "check."+name)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if strings.ContainsRune(got, '\x1b') {
			t.Errorf("%s has control characters of the image", name)
		}
	}
	if err := Write(io.Discard, "pdf", a); err == nil {
		t.Error("there is no pdf")
	}
}

// SARIF keeps to the schema of SARIF 2.1.0, and to what GitHub code scanning
// asks for beside it: a rule and a file for each result, and fingerprints that
// tell results apart.
func TestSARIF(t *testing.T) {
	schema, err := jsonschema.Compile("testdata/sarif-schema-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	empty := assess(t, "ghcr")
	empty.Targets = empty.Targets[:0]
	for _, a := range []*conformance.Assessment{assess(t), empty, document(t)} {
		text := write(t, "sarif", a)
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%#v", err)
		}
		var log sarifLog
		if err := json.Unmarshal([]byte(text), &log); err != nil {
			t.Fatal(err)
		}
		run, seen := log.Runs[0], map[string]bool{}
		for _, r := range run.Results {
			if run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID {
				t.Errorf("result of %s points to rule %d", r.RuleID, r.RuleIndex)
			}
			if key := r.PartialFingerprints[sarifFingerprint]; seen[key] {
				t.Errorf("two results have one fingerprint: %s", r.Message.Text)
			} else {
				seen[key] = true
			}
			if uri := r.Locations[0].PhysicalLocation.ArtifactLocation.URI; uri == "" || strings.HasPrefix(uri, "/") || strings.Contains(uri, "://") {
				t.Errorf("the file is %q", uri)
			}
		}
		findings := 0
		for _, target := range a.Targets {
			findings += len(target.Findings)
		}
		if len(run.Results) != findings {
			t.Errorf("%d results for %d findings", len(run.Results), findings)
		}
	}
}

// document is an assessment of one document alone.
func document(t *testing.T) *conformance.Assessment {
	t.Helper()
	body := `{"schemaVersion":2,"manifests":[]}`
	a, err := conformance.AssessDocument(t.Context(), []byte(body), "-", format.Profiles(), conformance.Options{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestSARIFNames(t *testing.T) {
	for reference, want := range map[string]string{
		"registry.example.com/app:1.0":           "registry.example.com/app:1.0",
		"registry.example.com/app@sha256:abcdef": "registry.example.com/app",
		"oci-layout://../out/app:1":              "out/app:1",
		"archive:///tmp/a b.tar":                 "tmp/a b.tar",
		"archive://-":                            "stdin",
		"-":                                      "stdin",
	} {
		if got := name(reference); got != want {
			t.Errorf("%s is %q, not %q", reference, got, want)
		}
	}
}

func TestJUnit(t *testing.T) {
	a := assess(t)
	var suites junitSuites
	if err := xml.Unmarshal([]byte(write(t, "junit", a)), &suites); err != nil {
		t.Fatal(err)
	}
	refused := map[string]bool{}
	for _, target := range a.Failing() {
		refused[target.Profile] = true
	}
	if suites.Tests != len(a.Targets) || suites.Failures != len(refused) || len(refused) == 0 {
		t.Errorf("%d tests and %d failures for %d targets, of which %d refuse", suites.Tests, suites.Failures, len(a.Targets), len(refused))
	}
	for _, c := range suites.Suites[0].Cases {
		if (c.Failure != nil) != refused[c.Name] {
			t.Errorf("%s: failure %v", c.Name, c.Failure)
		}
	}
}

// Nothing that somebody pushed is markup, or calls anybody, in a comment.
func TestMarkdownIsInert(t *testing.T) {
	text := write(t, "markdown", assess(t))
	if !strings.Contains(text, "@someone") {
		t.Fatal("the image's text is not there")
	}
	spans := regexp.MustCompile("(?s)```` .*? ````|``` .*? ```|`` .*? ``|`[^`\n]*`")
	rest := spans.ReplaceAllString(text, "")
	for _, bad := range []string{"@someone", "<script", "evil.example"} {
		if strings.Contains(rest, bad) {
			t.Errorf("%s is outside of code", bad)
		}
	}
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "| ") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")-1 != 3 && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")-1 != 6 {
			t.Errorf("a row has other columns: %s", line)
		}
	}
}

// The pages need nothing else, have no script, and every link in them leads
// somewhere.
func TestHTMLStandsAlone(t *testing.T) {
	var profiles bytes.Buffer
	if err := WriteProfiles(&profiles, format.Profiles()); err != nil {
		t.Fatal(err)
	}
	for name, page := range map[string]string{"check": write(t, "html", assess(t)), "document": write(t, "html", document(t)), "profiles": profiles.String()} {
		root, err := html.Parse(strings.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		ids, targets := map[string]bool{}, []string{}
		for n := range root.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			switch n.Data {
			case "script", "img", "link", "iframe", "object", "embed", "form":
				t.Errorf("%s has a %s", name, n.Data)
			}
			for _, a := range n.Attr {
				switch {
				case a.Key == "id":
					if ids[a.Val] {
						t.Errorf("%s has two %s", name, a.Val)
					}
					ids[a.Val] = true
				case a.Key == "href" && strings.HasPrefix(a.Val, "#"):
					targets = append(targets, a.Val[1:])
				case a.Key == "href" && !strings.HasPrefix(a.Val, "https://"), a.Key == "src", strings.HasPrefix(a.Key, "on"):
					t.Errorf("%s: <%s %s=%q>", name, n.Data, a.Key, a.Val)
				}
			}
		}
		for _, id := range targets {
			if !ids[id] {
				t.Errorf("%s: nothing has the id %s", name, id)
			}
		}
		if strings.Contains(page, "url(") || strings.Contains(page, "@import") {
			t.Errorf("%s fetches something", name)
		}
	}
}
