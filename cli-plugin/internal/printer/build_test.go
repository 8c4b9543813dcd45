// SPDX-License-Identifier: Apache-2.0

package printer

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/build"
	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/emission"
)

func built() Build {
	digest := layer.Digest
	pushed := build.Emitted{
		Destination: "r.example/app:1", Reference: "r.example/app@" + digest.String(),
		Emission: emission.Emission{
			Profile: "docker", Format: format.Docker, Size: 2100, Pushed: true,
			Root:   ocispec.Descriptor{MediaType: "application/x\x1b[2J", Digest: digest},
			Losses: []format.Loss{{Path: "/annotations/a", What: `annotation "a"`, Why: "docker has none"}},
			Notes:  []format.Note{{Text: "good to know"}},
		},
	}
	again := pushed
	again.Destination = "r.example/app:2"
	loaded := build.Emitted{
		Destination: "engine://app", Reference: digest.String(),
		Emission: emission.Emission{Profile: "docker", Root: ocispec.Descriptor{Digest: digest}},
	}
	return Build{Emissions: []build.Emitted{pushed, again, loaded}}
}

func TestBuildTable(t *testing.T) {
	s := newScreen()
	if err := built().Print(s, ConversionOptions{}); err != nil {
		t.Fatal(err)
	}
	want := `DESTINATION      PROFILE  FORMAT       MEDIA TYPE           DIGEST  SIZE    LOSSES
r.example/app:1  docker   Docker V2.2  application/x\x1b[2J D       2.1 kB  1
r.example/app:2  docker   Docker V2.2  application/x\x1b[2J D       2.1 kB  1
engine://app     docker   -            -                    D       -       0
`
	squeeze := func(text string) string {
		return strings.Join(strings.Fields(strings.ReplaceAll(text, layer.Digest.String(), "D")), " ")
	}
	if diff := cmp.Diff(squeeze(want), squeeze(s.stdout.String())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Of one emission with two names, what was lost is listed once.
	if got := strings.Count(s.stderr.String(), "Lost:"); got != 1 {
		t.Errorf("%d lists of losses:\n%s", got, &s.stderr)
	}
	if !strings.Contains(s.stderr.String(), "r.example/app:1, for docker:\nLost:\n") || !strings.Contains(s.stderr.String(), "good to know") {
		t.Errorf("standard error has\n%s", &s.stderr)
	}
}

func TestBuildQuiet(t *testing.T) {
	s := newScreen()
	if err := built().Print(s, ConversionOptions{Quiet: true}); err != nil {
		t.Fatal(err)
	}
	if want := "r.example/app@" + layer.Digest.String() + "\n" + layer.Digest.String() + "\n"; s.stdout.String() != want {
		t.Errorf("printed %q, want %q", &s.stdout, want)
	}
	if !strings.Contains(s.stderr.String(), "Lost:") || strings.Contains(s.stderr.String(), "good to know") {
		t.Errorf("standard error has\n%s", &s.stderr)
	}
}

func TestBuildTemplate(t *testing.T) {
	s := newScreen()
	if err := built().Print(s, ConversionOptions{Format: "{{range .Emissions}}{{.Profile}} {{len .Losses}};{{end}}"}); err != nil {
		t.Fatal(err)
	}
	if got := s.stdout.String(); got != "docker 1;docker 1;docker 0;\n" || s.stderr.Len() > 0 {
		t.Errorf("printed %q and %q", got, &s.stderr)
	}
	if err := built().Try(ConversionOptions{Format: "{{.Nothing}}"}); err == nil {
		t.Error("a template of nothing was taken")
	}
}
