// SPDX-License-Identifier: Apache-2.0

package formattest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
)

const golden = `A manifest whose config is replaced.

-- case --
for: docker
-- blobs --
layer  = gzip a=1
config = config linux/amd64 layer
-- in/root --
{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {${config}}, "layers": [{${layer}}]}
-- out/root --
{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "config": {${config}}, "layers": [{${layer}}]}
-- losses --
/layers/0 a loss
`

func load(t *testing.T, text string) (*formattest.Case, *formattest.Store) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "case.txtar")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := formattest.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Store()
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// convert does by hand what the golden case expects.
func convert(t *testing.T, c *formattest.Case, s *formattest.Store) *format.Result {
	t.Helper()
	body, _ := s.Body(c.Root.Digest)
	to := strings.Replace(string(body), "oci.image.manifest.v1", "docker.distribution.manifest.v2", 1)
	return &format.Result{
		Source: c.Root,
		Root:   write(t, s, "application/vnd.docker.distribution.manifest.v2+json", to),
		Losses: []format.Loss{{Path: "/layers/0", What: "a loss"}},
	}
}

func write(t *testing.T, s *formattest.Store, mediaType, body string) ocispec.Descriptor {
	t.Helper()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(body), Size: int64(len(body))}
	if err := content.WriteBlob(context.Background(), s, desc.Digest.String(), strings.NewReader(body), desc); err != nil {
		t.Fatal(err)
	}
	return desc
}

func TestCompareTakesWhatIsExpected(t *testing.T) {
	c, s := load(t, golden)
	if problems := c.Compare(s, convert(t, c, s), nil); len(problems) > 0 {
		t.Errorf("the expected outcome has problems: %q", problems)
	}
}

// A golden case that cannot fail says nothing: whatever is off is found.
func TestCompareFindsWhatIsNot(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, *formattest.Store, *format.Result){
		"nothing converted": func(_ *testing.T, _ *formattest.Store, r *format.Result) { r.Root = r.Source },
		"media type":        func(_ *testing.T, _ *formattest.Store, r *format.Result) { r.Root.MediaType = r.Source.MediaType },
		"size":              func(_ *testing.T, _ *formattest.Store, r *format.Result) { r.Root.Size++ },
		"loss missing":      func(_ *testing.T, _ *formattest.Store, r *format.Result) { r.Losses = nil },
		"loss elsewhere":    func(_ *testing.T, _ *formattest.Store, r *format.Result) { r.Losses[0].Path = "/layers/1" },
		"loss of another":   func(_ *testing.T, _ *formattest.Store, r *format.Result) { r.Losses[0].What = "another" },
		"note":              func(_ *testing.T, _ *formattest.Store, r *format.Result) { r.Notes = []format.Note{{Text: "a note"}} },
		"referrer": func(_ *testing.T, _ *formattest.Store, r *format.Result) {
			r.Referrers = []ocispec.Descriptor{r.Root}
		},
		"more written": func(t *testing.T, s *formattest.Store, _ *format.Result) {
			t.Helper()
			write(t, s, "text/plain", "more")
		},
		"writer left open": func(t *testing.T, s *formattest.Store, _ *format.Result) {
			t.Helper()
			if _, err := s.Writer(t.Context(), content.WithRef("open")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, s := load(t, golden)
			result := convert(t, c, s)
			spoil(t, s, result)
			if problems := c.Compare(s, result, nil); len(problems) == 0 {
				t.Error("nothing was found")
			}
		})
	}
}

func TestCompareErrors(t *testing.T) {
	want := golden[:strings.Index(golden, "-- out/root")] + "-- error --\nErrCorrupt at /config: bad\n"
	fails := func(path string, err error) error { return &format.Error{Op: "convert", Path: path, Err: err} }
	for _, test := range []struct {
		name string
		err  error
		ok   bool
	}{
		{"as expected", fails("/config", fmt.Errorf("%w: %s", format.ErrCorrupt, "bad")), true},
		{"none", nil, false},
		{"elsewhere", fails("/layers/0", fmt.Errorf("%w: %s", format.ErrCorrupt, "bad")), false},
		{"another sentinel", fails("/config", fmt.Errorf("%w: %s", format.ErrTooLarge, "bad")), false},
		{"another text", fails("/config", fmt.Errorf("%w: %s", format.ErrCorrupt, "worse")), false},
		{"not the engine's", fmt.Errorf("%w: %s", format.ErrCorrupt, "bad"), false},
	} {
		c, s := load(t, want)
		if problems := c.Compare(s, &format.Result{Source: c.Root, Root: c.Root}, test.err); (len(problems) == 0) != test.ok {
			t.Errorf("%s: problems %q", test.name, problems)
		}
	}
}

// What Update writes is what Compare expects.
func TestUpdate(t *testing.T) {
	c, s := load(t, strings.ReplaceAll(golden, "a loss", "to be written"))
	result := convert(t, c, s)
	if problems := c.Compare(s, result, nil); len(problems) == 0 {
		t.Fatal("the case is not out of date")
	}
	if err := c.Update(s, result, nil); err != nil {
		t.Fatal(err)
	}
	updated, err := formattest.Load(c.File)
	if err != nil {
		t.Fatal(err)
	}
	if problems := updated.Compare(s, result, nil); len(problems) > 0 {
		t.Errorf("after the update: %q", problems)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no profile":       strings.Replace(golden, "for: docker\n", "", 1),
		"unknown profile":  strings.Replace(golden, "docker", "nowhere", 1),
		"unknown setting":  strings.Replace(golden, "for: docker", "for: docker\nfour: docker", 1),
		"unknown kind":     strings.Replace(golden, "gzip a=1", "brotli a=1", 1),
		"unknown name":     strings.Replace(golden, "{${layer}}", "{${player}}", 1),
		"names itself":     strings.Replace(golden, "{${layer}}", "{${root}}", 1),
		"unknown field":    strings.Replace(golden, "{${layer}}", "{${layer.mode}}", 1),
		"no root":          strings.Replace(golden, "in/root", "in/branch", 1),
		"unknown section":  golden + "-- loses --\n/ x\n",
		"setting unparsed": strings.Replace(golden, "for: docker", "for: docker\nsingle: maybe", 1),
	} {
		file := filepath.Join(t.TempDir(), "case.txtar")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := formattest.Load(file); err == nil {
			t.Errorf("%s: no error", name)
		} else if !strings.Contains(err.Error(), file) {
			t.Errorf("%s: the error does not name the file: %v", name, err)
		}
	}
}

func TestCompareFindings(t *testing.T) {
	want := strings.Replace(golden, "-- out/root", "-- findings --\n/config error annotations: a=\n-- out/root", 1)
	finding := func() format.Finding {
		return format.Finding{Rule: "annotations", Severity: format.SeverityError, Path: "/config", Detail: "a=b"}
	}
	for name, test := range map[string]struct {
		spoil func(f *format.Finding)
		ok    bool
	}{
		"as expected":    {func(*format.Finding) {}, true},
		"another rule":   {func(f *format.Finding) { f.Rule = "oci-field" }, false},
		"less bad":       {func(f *format.Finding) { f.Severity = format.SeverityNote }, false},
		"elsewhere":      {func(f *format.Finding) { f.Path = "" }, false},
		"something else": {func(f *format.Finding) { f.Detail = "c=d" }, false},
	} {
		c, _ := load(t, want)
		f := finding()
		test.spoil(&f)
		if problems := c.CompareFindings(&format.Report{Findings: []format.Finding{f}}); (len(problems) == 0) != test.ok {
			t.Errorf("%s: problems %q", name, problems)
		}
		if problems := c.CompareFindings(&format.Report{}); len(problems) == 0 {
			t.Errorf("%s: that nothing was found is not found", name)
		}
	}
}
