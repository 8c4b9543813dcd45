// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// putEmptyIndex names an index without entries, the smallest image there is.
func putEmptyIndex(t *testing.T, d *Dir, ref string) {
	t.Helper()
	body := []byte(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`)
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(body), Size: int64(len(body))}
	if err := d.PutRoot(t.Context(), desc, body, ref); err != nil {
		t.Fatal(err)
	}
}

func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func draft(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Draft(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDraftLeavesNoTrace(t *testing.T) {
	above := t.TempDir()
	d := draft(t, filepath.Join(above, "new", "layout"))
	putEmptyIndex(t, d, "v1")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := filesIn(t, above); len(got) > 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestDraftAppearsWhole(t *testing.T) {
	above := t.TempDir()
	path := filepath.Join(above, "new", "layout")
	d := draft(t, path)
	putEmptyIndex(t, d, "v1")
	if _, err := os.Stat(path); err == nil {
		t.Error("the layout is there before it is published")
	}
	if err := d.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Resolve(t.Context(), "v1"); err != nil {
		t.Errorf("after Publish: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	expectTags(t, path, "v1")
	if got := filesIn(t, above); !slices.Equal(got, []string{"new"}) {
		t.Errorf("left behind: %v", got)
	}
}

// Two processes that make the same new layout at once lose nothing.
func TestDraftsOfOneLayout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "layout")
	drafts := []*Dir{draft(t, path), draft(t, path)}
	for i, tag := range []string{"v1", "v2"} {
		putEmptyIndex(t, drafts[i], tag)
	}
	for _, d := range drafts {
		if err := d.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	expectTags(t, path, "v1", "v2")
	if got := filesIn(t, filepath.Dir(path)); !slices.Equal(got, []string{"layout"}) {
		t.Errorf("left behind: %v", got)
	}
}

func expectTags(t *testing.T, path string, tags ...string) {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, tag := range tags {
		if _, err := d.Resolve(t.Context(), tag); err != nil {
			t.Error(err)
		}
	}
}
