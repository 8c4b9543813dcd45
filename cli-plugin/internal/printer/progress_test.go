// SPDX-License-Identifier: Apache-2.0

package printer

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/console"
	"github.com/docker/cli/cli/streams"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

var (
	layer = ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageLayerGzip, Size: 1000,
		Digest: "sha256:0123456789012345678901234567890123456789012345678901234567890123",
	}
	config = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Size: 10, Digest: layer.Digest}
)

// show runs a progress display in a clock of its own: steps, each a second
// after the one before.
func show(t *testing.T, mode ProgressMode, pause time.Duration, steps ...format.Progress) string {
	t.Helper()
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		p, err := NewProgress(streams.NewOut(&out), mode)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range steps {
			p.Update(step)
			time.Sleep(pause)
		}
		p.Close()
	})
	return out.String()
}

func TestProgress(t *testing.T) {
	half := format.Progress{Action: format.ActionCopy, Path: "/layers/0", Desc: layer, Done: 500}
	whole := format.Progress{Action: format.ActionCopy, Path: "/layers/0", Desc: layer, Done: 1000, Final: true}
	mount := format.Progress{Action: format.ActionMount, Path: "/layers/1", Desc: layer, Final: true}
	small := format.Progress{Action: format.ActionCopy, Path: "/config", Desc: config, Done: 10, Final: true}
	for _, tc := range []struct {
		name  string
		mode  ProgressMode
		pause time.Duration
		steps []format.Progress
		want  []string
	}{
		{"a long copy", ProgressAuto, time.Second, []format.Progress{half, whole}, []string{"#1 copy /layers/0\n", "1.00kB / 1.00kB", "#1 DONE"}},
		{"a short copy", ProgressAuto, time.Millisecond, []format.Progress{half, whole}, nil},
		{"a short copy, plain", ProgressPlain, time.Millisecond, []format.Progress{half, whole}, []string{"#1 copy /layers/0\n"}},
		{"documents only", ProgressPlain, time.Second, []format.Progress{small}, nil},
		{"mounts only", ProgressAuto, time.Second, []format.Progress{mount}, nil},
		{"mounts, plain", ProgressPlain, time.Second, []format.Progress{mount}, []string{"#1 mount /layers/1\n", "#1 CACHED"}},
		{"quiet", ProgressQuiet, time.Second, []format.Progress{half, whole}, nil},
		{"raw", ProgressRawJSON, time.Second, []format.Progress{small}, []string{`"name":"copy /config"`, `"total":10,"current":10`}},
		{"nothing", ProgressPlain, time.Second, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := show(t, tc.mode, tc.pause, tc.steps...)
			if len(tc.want) == 0 && got != "" {
				t.Errorf("printed %q", got)
			}
			for _, want := range tc.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q is not in %q", want, got)
				}
			}
		})
	}
}

// A step that fails is not printed as done, and its error is not printed here:
// the command prints it.
func TestProgressFails(t *testing.T) {
	got := show(t, ProgressPlain, time.Second,
		format.Progress{Action: format.ActionCopy, Path: "/layers/0", Desc: layer, Done: 500},
		format.Progress{Action: format.ActionCopy, Path: "/layers/0", Desc: layer, Done: 500, Final: true, Err: bytes.ErrTooLarge})
	if strings.Contains(got, "DONE") || strings.Contains(got, "too large") {
		t.Errorf("printed %q", got)
	}
}

func TestProgressNeedsTerminal(t *testing.T) {
	if _, err := NewProgress(streams.NewOut(&bytes.Buffer{}), ProgressTTY); err == nil {
		t.Error("a buffer was taken for a terminal")
	}
	terminal, path, err := console.NewPty()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	file := openTerminal(t, path)
	p, err := NewProgress(streams.NewOut(file), ProgressTTY)
	if err != nil {
		t.Fatal(err)
	}
	p.Update(format.Progress{Action: format.ActionCopy, Path: "/layers/0", Desc: layer, Done: 1000, Final: true})
	p.Close()
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	screen, _ := io.ReadAll(terminal) // ends with EIO, as nobody has the other end
	if !strings.Contains(string(screen), "Converting") {
		t.Errorf("the terminal has %q", screen)
	}
}
