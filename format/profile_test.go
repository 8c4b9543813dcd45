// SPDX-License-Identifier: Apache-2.0

package format_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v5"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
)

func profileFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("profile/*.json")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files of profiles: %v", len(files), err)
	}
	return files
}

// Every file of a profile keeps to the published schema, and says what the
// loader reads: nothing more, nothing less.
func TestProfileFiles(t *testing.T) {
	schema, err := jsonschema.CompileString("profile.schema.json", string(format.ProfileSchema))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range profileFiles(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		p, err := format.ParseProfile(data)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if want := filepath.Base(file); p.Name+".json" != want {
			t.Errorf("%s is of %s", file, p.Name)
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var back any
		if err := json.Unmarshal(again, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(v, back); diff != "" {
			t.Errorf("%s is not what is read from it (-file +read):\n%s", file, diff)
		}
		if returned, err := format.ParseProfile(again); err != nil || !cmp.Equal(p, returned) {
			t.Errorf("%s: the way through JSON changes it: %v", file, err)
		}
	}
}

// The schema knows the rules that the engine has, and no others.
func TestSchemaKnowsTheRules(t *testing.T) {
	var schema struct {
		Properties struct {
			Facts struct {
				Items struct {
					Properties struct {
						About struct{ Enum []string }
					}
				}
			}
			Details struct{ Items struct{ Enum []string } }
		}
	}
	if err := json.Unmarshal(format.ProfileSchema, &schema); err != nil {
		t.Fatal(err)
	}
	want := []string{"conversion", "general", "referrers", "tolerance"}
	for _, r := range format.Rules() {
		want = append(want, r.ID)
	}
	got := schema.Properties.Facts.Items.Properties.About.Enum
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("facts may be about (-engine +schema):\n%s", diff)
	}
	for _, id := range want {
		err := format.Profile{Name: "x", Details: []string{id}}.Validate()
		if listed := slices.Contains(schema.Properties.Details.Items.Enum, id); listed != (err == nil) {
			t.Errorf("the detail %s is in the schema: %t, and the engine says: %v", id, listed, err)
		}
	}
}

// What a profile asks of an image has evidence, and no name or host is of two.
func TestProfilesAreBacked(t *testing.T) {
	taken := map[string]string{}
	for _, p := range format.Profiles() {
		for _, name := range slices.Concat([]string{p.Name}, p.Aliases, p.Hosts) {
			if other, twice := taken[name]; twice {
				t.Errorf("%s is of %s and of %s", name, other, p.Name)
			}
			taken[name] = p.Name
		}
		if p.Title == "" || p.Kind == "" || len(p.Facts) == 0 {
			t.Errorf("%s lacks a title, a kind or facts", p.Name)
		}
		wanted := slices.Clone(p.Details)
		for rule, asked := range map[string]bool{
			"media-type":        len(p.Formats) == 1,
			"layer-compression": len(p.Compressions) > 0,
			"single-manifest":   p.Index == format.IndexForbidden,
			"index-required":    p.Index == format.IndexRequired,
			"attestations":      len(p.Attestations) > 0 && p.Kind != format.KindSpecification,
			"attestation-form":  len(p.AttestationForms) > 0,
			"target-platform":   len(p.Platforms) > 0,
			"layer-count":       p.Limits.Layers > 0,
			"layer-size":        p.Limits.LayerBytes > 0,
			"image-size":        p.Limits.ImageBytes > 0,
			"document-size":     p.Limits.DocumentBytes > 0,
		} {
			if asked {
				wanted = append(wanted, rule)
			} else if f := p.Evidence(rule); f != nil && f.About == rule && rule != "media-type" && rule != "layer-compression" && p.Kind != format.KindSpecification {
				t.Errorf("%s has evidence for %s, but does not ask for it: %s", p.Name, rule, f)
			}
		}
		if len(p.Tolerates) > 0 {
			wanted = append(wanted, "tolerance")
		}
		for _, id := range p.Tolerates {
			if f := p.Evidence(id); f != nil && f.About == id {
				t.Errorf("%s does not mind %s, but has evidence that it does: %s", p.Name, id, f)
			}
		}
		for _, rule := range wanted {
			if p.Evidence(rule) == nil {
				t.Errorf("%s asks for %s, but has no fact about that", p.Name, rule)
			}
		}
		for _, f := range p.Facts {
			if f.Target != "" {
				t.Errorf("%s: a fact names a target of its own: %s", p.Name, f)
			}
		}
	}
}

func TestLookupProfile(t *testing.T) {
	for name, want := range map[string]string{
		"oci": "oci", "docker": "docker", "lambda": "aws-lambda", "ecr": "aws-ecr", "acr": "azure-container-registry", "gar": "gcp-artifact-registry",
		"docker-engine-20.10": "docker-engine-20.10", "containerd-1.7": "containerd-1.7",
		"lambda,acr": "aws-lambda,azure-container-registry", "oci,oci": "oci",
	} {
		if p, ok := format.LookupProfile(name); !ok || p.Name != want {
			t.Errorf("%s is %q, %t", name, p.Name, ok)
		}
	}
	for _, name := range []string{"", "nowhere", "OCI", "oci,", "heroku,zot", "profile/oci", "../format/profile/oci"} {
		if p, ok := format.LookupProfile(name); ok {
			t.Errorf("%q is %s", name, p.Name)
		}
	}
	one, _ := format.LookupProfile("aws-ecr")
	one.Formats[0] = "changed"
	if two, _ := format.LookupProfile("aws-ecr"); two.Formats[0] != format.OCI {
		t.Error("a caller changed another's profile")
	}
}

func TestProfileForHost(t *testing.T) {
	for host, want := range map[string]string{
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com": "aws-ecr",
		"myregistry.azurecr.io":                        "azure-container-registry",
		"europe-west1-docker.pkg.dev":                  "gcp-artifact-registry",
		"docker.io":                                    "docker-hub",
		"registry.heroku.com":                          "heroku-registry",
		"registry.cn-hangzhou.aliyuncs.com":            "alibaba-acr",
		"GHCR.io":                                      "ghcr",
		"evil.azurecr.io.example.com":                  "",
		"a.b.azurecr.io":                               "",
		"localhost:5000":                               "",
		"":                                             "",
	} {
		if p, _ := format.ProfileForHost(host); p.Name != want {
			t.Errorf("%s is %q, not %q", host, p.Name, want)
		}
	}
}

func TestParseProfileRefuses(t *testing.T) {
	const fact = `{"about":"media-type","says":"x","source":"y","date":"2026","confidence":"reported"}`
	for name, text := range map[string]string{
		"no JSON":            `name: x`,
		"no name":            `{}`,
		"a path as a name":   `{"name":"a/b"}`,
		"half a list":        `{"name":"a,"}`,
		"upper case":         `{"name":"AWS"}`,
		"an alias":           `{"name":"x","aliases":["A B"]}`,
		"a member":           `{"name":"x","format":["oci"]}`,
		"a member's case":    `{"name":"x","Formats":["oci"]}`,
		"a member twice":     `{"name":"x","name":"y"}`,
		"a kind":             `{"name":"x","kind":"cloud"}`,
		"a format":           `{"name":"x","formats":["podman"]}`,
		"a compression":      `{"name":"x","compressions":["brotli"]}`,
		"a use of an index":  `{"name":"x","index":"no"}`,
		"a treatment":        `{"name":"x","attestations":["sign"]}`,
		"a form":             `{"name":"x","attestationForms":["oci"]}`,
		"a platform":         `{"name":"x","platforms":["linux/amd64|?"]}`,
		"a limit":            `{"name":"x","limits":{"layerBytes":-1}}`,
		"a detail":           `{"name":"x","details":["media-type"]}`,
		"a fact's rule":      `{"name":"x","facts":[` + strings.Replace(fact, "media-type", "typo", 1) + `]}`,
		"a fact's certainty": `{"name":"x","facts":[` + strings.Replace(fact, "reported", "sure", 1) + `]}`,
		"a fact's source":    `{"name":"x","facts":[` + strings.Replace(fact, `"source":"y",`, "", 1) + `]}`,
	} {
		if p, err := format.ParseProfile([]byte(text)); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: got %+v, %v", name, p, err)
		}
	}
	if _, err := format.ParseProfile([]byte(`{"name":"x","facts":[` + fact + `]}`)); err != nil {
		t.Error(err)
	}
}

func TestCombineProfiles(t *testing.T) {
	find := func(name string) format.Profile {
		p, ok := format.LookupProfile(name)
		if !ok {
			t.Fatalf("no profile %s", name)
		}
		return p
	}
	both, err := format.CombineProfiles(find("aws-lambda"), find("azure-container-registry"))
	if err != nil {
		t.Fatal(err)
	}
	if both.Name != "aws-lambda,azure-container-registry" || both.Index != format.IndexForbidden || !slices.Equal(both.Formats, []format.Format{format.Docker, format.OCI}) {
		t.Errorf("both are %+v", both)
	}
	if got := both.Evidence("single-manifest"); got == nil || got.Target != "aws-lambda" {
		t.Errorf("the evidence is %+v", got)
	}
	if err := both.Validate(); err != nil {
		t.Error(err) // it may travel as JSON
	}
	for pair, facts := range map[string][2]string{
		"heroku,zot":                   {"media-type", "media-type"},
		"aws-bedrock-agentcore,heroku": {"target-platform", "target-platform"},
		"gitlab,aws-lambda,azure-app-service,aws-bedrock-agentcore": {"target-platform", "target-platform"},
	} {
		var all []format.Profile
		for name := range strings.SplitSeq(pair, ",") {
			all = append(all, find(name))
		}
		_, err := format.CombineProfiles(all...)
		var exclusion *format.ExclusionError
		if !errors.As(err, &exclusion) {
			t.Errorf("%s: got %v", pair, err)
			continue
		}
		if exclusion.A.About != facts[0] || exclusion.B.About != facts[1] || exclusion.A.Target == exclusion.B.Target {
			t.Errorf("%s: %s and %s exclude each other", pair, exclusion.A, exclusion.B)
		}
	}
	// An index can have a platform for each.
	if p, err := format.CombineProfiles(find("gcp-cloud-run"), find("aws-bedrock-agentcore")); err != nil || len(p.Platforms) != 2 {
		t.Errorf("got %v, %v", p.Platforms, err)
	}
	if _, err := format.CombineProfiles(); err == nil {
		t.Error("no profiles are a profile")
	}
}

// What a combination accepts each of its parts accepts.
func TestCombinationIsStricter(t *testing.T) {
	image := oci.Index(oci.Manifest("linux/amd64", oci.Layer(format.Gzip, "a=1")))
	for _, names := range []string{"aws-lambda,azure-container-registry", "docker-hub,heroku-registry", "zot,aws-ecr"} {
		p, ok := format.LookupProfile(names)
		if !ok {
			t.Fatalf("%s exclude each other", names)
		}
		x := conversionOf(image, p, format.Options{})
		s := x.source()
		result := x.run(t, s)
		for name := range strings.SplitSeq(names, ",") {
			part, _ := format.LookupProfile(name)
			report, err := format.Check(t.Context(), s, result.Root, part)
			if err != nil || !report.OK() {
				t.Errorf("%s: what is right for %s is not for %s: %+v, %v", name, names, name, report, err)
			}
		}
	}
}

// Of a Schema 1 manifest a check says who takes it, and who does not.
func TestCheckSchema1(t *testing.T) {
	s := formattest.NewStore()
	root := s.Put(format.MediaTypeDockerSchema1Signed, []byte(`{"schemaVersion":1}`))
	for name, want := range map[string]format.Severity{
		"aws-ecr": "", "containerd-1.7": "", "containerd-2.1": format.SeverityError, "docker-hub": format.SeverityError,
		"oracle-registry": format.SeverityNote, "docker": format.SeverityError,
	} {
		p, _ := format.LookupProfile(name)
		report, err := format.Check(t.Context(), s, root, p)
		if err != nil {
			t.Fatal(err)
		}
		if got := report.Severity(); got != want {
			t.Errorf("%s: %q, not %q: %+v", name, got, want, report.Findings)
		}
	}
}
