// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/conformance"
	"github.com/manifest-format/manifest-format/format"
)

// Where SARIF points to.
const (
	sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
	projectURL  = "https://github.com/manifest-format/manifest-format"
	// sarifFingerprint is what tells results apart, and the same ones together.
	sarifFingerprint = "manifestFormatFinding/v1"
	rulesURL         = projectURL + "/blob/main/docs/conversion.md#rules"
)

// The part of SARIF 2.1.0 that is written here.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string    `json:"id"`
		ShortDescription sarifText `json:"shortDescription"`
		Help             sarifText `json:"help"`
		HelpURI          string    `json:"helpUri"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID              string            `json:"ruleId"`
		RuleIndex           int               `json:"ruleIndex"`
		Level               format.Severity   `json:"level"`
		Message             sarifText         `json:"message"`
		Locations           []sarifLocation   `json:"locations"`
		PartialFingerprints map[string]string `json:"partialFingerprints"`
		Properties          sarifProperties   `json:"properties"`
	}
	sarifLocation struct {
		PhysicalLocation sarifPhysical  `json:"physicalLocation"`
		LogicalLocations []sarifLogical `json:"logicalLocations"`
	}
	sarifPhysical struct {
		ArtifactLocation struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Region struct {
			StartLine int `json:"startLine"`
		} `json:"region"`
	}
	sarifLogical struct {
		FullyQualifiedName string `json:"fullyQualifiedName"`
	}
	sarifProperties struct {
		Target  string        `json:"target"`
		Digest  digest.Digest `json:"digest"`
		Fixable bool          `json:"fixable"`
		Fix     string        `json:"fix,omitempty"`
		Fact    *format.Fact  `json:"fact,omitempty"`
	}
)

// writeSARIF writes a as GitHub code scanning takes it: each result has a file,
// which is the image, and a fingerprint that stays from run to run.
func writeSARIF(out io.Writer, a *conformance.Assessment) error {
	rules, index := sarifRules(a)
	run := sarifRun{Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: "manifest-format", InformationURI: projectURL, Rules: rules}
	seen := map[string]int{}
	for _, t := range a.Targets {
		for _, f := range t.Findings {
			r := newSARIFResult(a, t, f, index[f.Rule])
			// A manifest and the descriptor that names it have one path.
			key := strings.Join([]string{name(a.Reference), t.Profile, f.Rule, f.Path}, "\n")
			seen[key]++
			r.PartialFingerprints = map[string]string{sarifFingerprint: digest.FromString(fmt.Sprintf("%s\n%d", key, seen[key])).Encoded()}
			run.Results = append(run.Results, r)
		}
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}})
}

// sarifRules are the rules that are broken somewhere, and where each stands.
func sarifRules(a *conformance.Assessment) ([]sarifRule, map[string]int) {
	broken := map[string]bool{}
	for _, t := range a.Targets {
		for _, f := range t.Findings {
			broken[f.Rule] = true
		}
	}
	rules := []sarifRule{}
	index := map[string]int{}
	for _, r := range format.Rules() {
		if !broken[r.ID] {
			continue
		}
		index[r.ID] = len(rules)
		help := "No conversion mends this: " + r.Source
		if r.Fixable {
			help = "`manifest-format convert` mends this: " + r.Source
		}
		rules = append(rules, sarifRule{ID: r.ID, ShortDescription: sarifText{r.Sentence}, Help: sarifText{help}, HelpURI: rulesURL})
	}
	return rules, index
}

func newSARIFResult(a *conformance.Assessment, t conformance.Target, f conformance.Finding, rule int) sarifResult {
	message := fmt.Sprintf("%s: %s at %s, and it wants that %s. %s.", t.Profile, f.Detail, place(f.Path), f.Wants, strings.TrimSuffix(since(f), "."))
	if f.Error != "" {
		message += " It would say: " + f.Error
	}
	if f.Fix != "" {
		message += " Mend it with: " + f.Fix
	}
	r := sarifResult{
		RuleID: f.Rule, RuleIndex: rule, Level: f.Severity, Message: sarifText{message},
		Locations:  []sarifLocation{{LogicalLocations: []sarifLogical{{FullyQualifiedName: place(f.Path)}}}},
		Properties: sarifProperties{Target: t.Profile, Digest: a.Digest, Fixable: f.Fixable, Fix: f.Fix, Fact: f.Evidence},
	}
	physical := &r.Locations[0].PhysicalLocation
	physical.ArtifactLocation.URI = (&url.URL{Path: name(a.Reference)}).EscapedPath()
	physical.Region.StartLine = 1
	return r
}

// name is a reference as a relative path: without a scheme and a digest, so
// that it is the same from build to build.
func name(reference string) string {
	if _, rest, found := strings.Cut(reference, "://"); found {
		reference = rest
	}
	reference, _, _ = strings.Cut(reference, "@")
	if reference = strings.TrimLeft(reference, "/."); reference == "" || reference == "-" {
		return "stdin"
	}
	return reference
}
