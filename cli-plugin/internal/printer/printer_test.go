// SPDX-License-Identifier: Apache-2.0

package printer

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/streams"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/inspection"
	"github.com/manifest-format/manifest-format/format"
)

// screen is docker's streams into memory.
type screen struct {
	out, err *streams.Out
	stdout   bytes.Buffer
	stderr   bytes.Buffer
}

var _ command.Streams = (*screen)(nil)

func newScreen() *screen {
	s := &screen{}
	s.out, s.err = streams.NewOut(&s.stdout), streams.NewOut(&s.stderr)
	return s
}

func (s *screen) In() *streams.In   { return nil }
func (s *screen) Out() *streams.Out { return s.out }
func (s *screen) Err() *streams.Out { return s.err }

func openTerminal(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func TestTableMeasuresWhatIsSeen(t *testing.T) {
	var rows table
	rows.add("\x1b[32mab\x1b[0m", "x")
	rows.add("├─ é", "y", "")
	var out bytes.Buffer
	rows.print(&out)
	want := "  \x1b[32mab\x1b[0m    x\n  ├─ é  y\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func image() *inspection.Image {
	return &inspection.Image{
		Reference: "app:1", Summary: "OCI manifest, linux/amd64, 1.0 kB",
		Root: &inspection.Document{
			Kind: inspection.KindManifest, Format: inspection.FormatOCI, Platform: "linux/amd64",
			Digest: layer.Digest, Size: 1000, MediaType: "application/vnd.oci.image.manifest.v1+json",
		},
	}
}

func TestColoursOnTerminalsOnly(t *testing.T) {
	for _, tc := range []struct {
		name, noColor string
		terminal      bool
		want          bool
	}{
		{"terminal", "", true, true},
		{"pipe", "", false, false},
		{"NO_COLOR", "1", true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", tc.noColor)
			t.Setenv("TERM", "xterm")
			s := newScreen()
			s.out.SetIsTerminal(tc.terminal)
			if err := Inspection(s, image(), InspectionOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(s.stdout.String(), "\x1b["); got != tc.want {
				t.Errorf("colours: %v, in %q", got, &s.stdout)
			}
		})
	}
}

func TestDigestsAreWholeInPipes(t *testing.T) {
	for _, tc := range []struct {
		name              string
		terminal, noTrunc bool
		whole             bool
	}{
		{"terminal", true, false, false},
		{"terminal, --no-trunc", true, true, true},
		{"pipe", false, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScreen()
			s.out.SetIsTerminal(tc.terminal)
			if err := Inspection(s, image(), InspectionOptions{NoTrunc: tc.noTrunc}); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(s.stdout.String(), layer.Digest.String()); got != tc.whole {
				t.Errorf("whole: %v, in %q", got, &s.stdout)
			}
			if !strings.Contains(s.stdout.String(), Short(layer.Digest)) {
				t.Errorf("no digest in %q", &s.stdout)
			}
		})
	}
}

func TestWarningsGoToStandardError(t *testing.T) {
	s := newScreen()
	i := image()
	i.Warnings = []string{"bad \x1b[2J"}
	if err := Inspection(s, i, InspectionOptions{Format: "{{.Reference}}"}); err != nil {
		t.Fatal(err)
	}
	if s.stdout.String() != "app:1\n" || s.stderr.String() != "warning: bad \\x1b[2J\n" {
		t.Errorf("printed %q and %q", &s.stdout, &s.stderr)
	}
}

func TestConversionOnStandardError(t *testing.T) {
	s := newScreen()
	c := Conversion{Reference: "archive://-@sha256:0", Result: &format.Result{}}
	if err := c.Print(s, ConversionOptions{OnStderr: true, Quiet: true}); err != nil {
		t.Fatal(err)
	}
	if s.stdout.Len() != 0 || s.stderr.String() != "archive://-@sha256:0\n" {
		t.Errorf("printed %q and %q", &s.stdout, &s.stderr)
	}
}

func TestShort(t *testing.T) {
	for in, want := range map[digest.Digest]string{
		layer.Digest: "sha256:012345678901",
		"sha256:12":  "sha256:12",
		"":           "",
	} {
		if got := Short(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"one\n\n two \n":         "one; two",
		"\x1b]0;t\a\r\u202e\x9b": `\x1b]0;t\a\r\u202e` + "\ufffd",
		"läuft ├─ 'a' \"b\"":     "läuft ├─ 'a' \"b\"",
	} {
		if got := Line(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
