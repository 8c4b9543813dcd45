// SPDX-License-Identifier: Apache-2.0

package printer

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/docker/cli/cli/streams"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

func pushStep(action format.Action, path, content string, final bool) format.Progress {
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString(content), Size: 100}
	return format.Progress{Action: action, Path: path, Desc: desc, Done: 50, Final: final}
}

// TestPushInAPipe says what becomes of each layer, and of nothing else, under
// the digest that it has first.
func TestPushInAPipe(t *testing.T) {
	var out bytes.Buffer
	p := NewPush(streams.NewOut(&out))
	p.Begin("example.com/app")
	for _, name := range []string{"a", "b"} {
		p.Expect("/layers/"+name, pushStep("", "", name, false).Desc)
	}
	config := pushStep(format.ActionCopy, "/config", "c", true)
	config.Desc.MediaType = ocispec.MediaTypeImageConfig
	failed := pushStep(format.ActionCopy, "/layers/3", "d", true)
	failed.Err = errors.New("no")
	for _, step := range []format.Progress{
		pushStep(format.ActionVerify, "/layers/0", "a", true),
		pushStep(format.ActionRecompress, "/layers/0", "a", false),
		pushStep(format.ActionRecompress, "/layers/0", "a", true),
		pushStep(format.ActionExists, "/layers/0", "compressed a", true),
		pushStep(format.ActionExists, "/layers/1", "b", true),
		pushStep(format.ActionMount, "/layers/2", "c", true),
		config, failed,
	} {
		p.Update(step)
	}
	p.End("1", ocispec.Descriptor{Digest: "sha256:0", Size: 7})
	p.Close()
	short := func(name string) string { return digest.FromString(name).Encoded()[:12] }
	want := "The push refers to repository [example.com/app]\n" +
		short("a") + ": Pushed\n" + short("b") + ": Layer already exists\n" + short("c") + ": Mounted\n" +
		"1: digest: sha256:0 size: 7\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

// TestPushOfNothing shows nothing: what went wrong is said elsewhere.
func TestPushOfNothing(t *testing.T) {
	var out bytes.Buffer
	p := NewPush(streams.NewOut(&out))
	p.Begin("example.com/app")
	p.Close()
	if out.Len() > 0 {
		t.Errorf("got %q", out.String())
	}
}

// TestPushOnATerminal has a line for each layer that waits, and for its bytes.
func TestPushOnATerminal(t *testing.T) {
	var out bytes.Buffer
	stream := streams.NewOut(&out)
	stream.SetIsTerminal(true)
	p := NewPush(stream)
	step := pushStep(format.ActionCopy, "/layers/0", "a", false)
	p.Expect(step.Path, step.Desc)
	p.Expect("/manifests/1/layers/0", step.Desc)
	p.Update(step)
	p.Update(pushStep(format.ActionCopy, "/layers/0", "a", true))
	p.Close()
	for text, n := range map[string]int{": Waiting": 1, ": Pushing [=": 1, "50B/100B": 1, ": Pushed": 1} {
		if strings.Count(out.String(), text) != n {
			t.Errorf("%q is not %d times in %q", text, n, out.String())
		}
	}
}
