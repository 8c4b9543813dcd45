// SPDX-License-Identifier: Apache-2.0

package inspection

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/opencontainers/go-digest"
)

// FormatName is what a person calls a format.
func FormatName(word string) string {
	switch word {
	case FormatOCI:
		return "OCI"
	case FormatDocker:
		return "Docker V2.2"
	case FormatDockerV1:
		return "Docker V2.1"
	}
	return word
}

// formatOf is the format of a document and of what it names; what is of no
// format, as an artifact's payload is, does not count.
func formatOf(d *Document) string {
	formats := []string{d.Format}
	if d.Config != nil {
		formats = append(formats, d.Config.Format)
	}
	for _, l := range d.Layers {
		formats = append(formats, l.Format)
	}
	for _, m := range d.Manifests {
		formats = append(formats, formatOf(m))
	}
	return together(formats)
}

func together(formats []string) string {
	formats = slices.DeleteFunc(formats, func(f string) bool { return f == "" })
	slices.Sort(formats)
	formats = slices.Compact(formats)
	switch len(formats) {
	case 0:
		return ""
	case 1:
		return formats[0]
	}
	return FormatMixed
}

// summarize counts.
func (i *Image) summarize() {
	i.Format, i.Platforms, i.Attestations, i.Size = i.Root.Format, []string{}, 0, 0
	seen := map[digest.Digest]bool{}
	add := func(d digest.Digest, size int64) {
		if !seen[d] {
			seen[d] = true
			i.Size += size
		}
	}
	referrers := 0
	i.Root.each(func(d *Document) {
		add(d.Digest, d.Size)
		if d.Config != nil {
			add(d.Config.Digest, d.Config.Size)
		}
		for _, l := range d.Layers {
			add(l.Digest, l.Size)
		}
		if d.Kind == KindManifest && d.Platform != "" && !slices.Contains(i.Platforms, d.Platform) {
			i.Platforms = append(i.Platforms, d.Platform)
		}
		if d.Kind == KindAttestation {
			i.Attestations += statements(d)
		}
		for _, r := range d.Referrers {
			i.Attestations += statements(r)
			if statements(r) == 0 {
				referrers++
			}
		}
	})
	parts := []string{strings.TrimSpace(FormatName(i.Format) + " " + i.Root.Kind)}
	switch {
	case i.Root.Kind == KindIndex:
		parts = append(parts, counted(len(i.Platforms), "platform"))
	case i.Root.Platform != "":
		parts = append(parts, i.Root.Platform)
	case i.Root.ArtifactType != "":
		parts = append(parts, i.Root.ArtifactType)
	}
	if i.Attestations > 0 {
		parts = append(parts, counted(i.Attestations, "attestation"))
	}
	if referrers > 0 {
		parts = append(parts, counted(referrers, "other referrer"))
	}
	if i.ReferrersUnknown {
		parts = append(parts, "referrers unknown")
	}
	if i.Size > 0 {
		parts = append(parts, HumanSize(i.Size))
	}
	i.Summary = strings.Join(parts, ", ")
}

// statements counts the in-toto statements of an attestation or a referrer.
func statements(d *Document) int {
	n := 0
	for _, l := range d.Layers {
		if l.Statement != "" {
			n++
		}
	}
	return n
}

// statementNames are the predicate types that people have names for.
var statementNames = []struct{ prefix, name string }{
	{"https://spdx.dev/Document", "SPDX SBOM"},
	{"https://cyclonedx.org/bom", "CycloneDX SBOM"},
	{"https://slsa.dev/provenance/", "SLSA provenance"},
	{"https://slsa.dev/verification_summary/", "SLSA verification summary"},
	{"https://openvex.dev/ns", "OpenVEX"},
	{"https://in-toto.io/attestation/vulns", "vulnerability scan"},
}

// statementName says what a statement is; one of an unknown type is named by
// it.
func statementName(predicateType string) string {
	for _, known := range statementNames {
		if rest, ok := strings.CutPrefix(predicateType, known.prefix); ok {
			version := strings.Trim(rest, "/")
			if !strings.HasPrefix(version, "v") {
				version = ""
			}
			return strings.TrimSpace(known.name + " " + version)
		}
	}
	if predicateType != "" {
		return predicateType
	}
	return "in-toto statement"
}

// artifactNames are the artifact types that people have names for.
var artifactNames = map[string]string{
	"application/vnd.dev.cosign.artifact.sig.v1+json":     "cosign signature",
	"application/vnd.dev.sigstore.bundle.v0.3+json":       "sigstore bundle",
	"application/vnd.cncf.notary.signature":               "notation signature",
	"application/vnd.in-toto+json":                        "attestation",
	"application/spdx+json":                               "SPDX SBOM",
	"application/vnd.cyclonedx+json":                      "CycloneDX SBOM",
	"application/vnd.docker.attestation.manifest.v1+json": "attestation",
}

// ArtifactName says what an artifact is, by its type if that is not known.
func (d *Document) ArtifactName() string {
	if known, ok := artifactNames[d.ArtifactType]; ok {
		return known
	}
	if d.ArtifactType == "" {
		return d.Kind
	}
	return d.ArtifactType
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	shown := slices.Clone(list)
	for i, s := range shown {
		if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			shown[i] = strconv.Quote(s) // it could steer a terminal
		}
	}
	return strings.Join(shown, ", ")
}

// HumanSize is a number of bytes in powers of 1000, as docker counts: 47.1 MB.
func HumanSize(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n), 0
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	// 999.95 would be written as 1000.0.
	for size >= 999.95 {
		size /= 1000
		unit++
	}
	return fmt.Sprintf("%.1f %s", size, units[unit])
}
