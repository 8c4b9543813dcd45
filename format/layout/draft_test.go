// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
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

// An empty directory stays empty until the layout is whole, and stays the same
// directory: it may be a mount point, or one that others may read.
func TestDraftInAnEmptyDirectory(t *testing.T) {
	above := t.TempDir()
	path := filepath.Join(above, "layout")
	if err := os.Mkdir(path, 0o750); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	d := draft(t, path)
	putEmptyIndex(t, d, "v1")
	if _, err := Open(path); err == nil {
		t.Error("the layout is there before it is published")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := filesIn(t, path); len(got) > 0 {
		t.Errorf("left behind: %v", got)
	}

	d = draft(t, path)
	putEmptyIndex(t, d, "v1")
	if err := d.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Resolve(t.Context(), "v1"); err != nil {
		t.Errorf("after Publish: %v", err)
	}
	putEmptyIndex(t, d, "v2")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	expectTags(t, path, "v1", "v2")
	if got := filesIn(t, path); !slices.Equal(got, []string{"blobs", "index.json", "oci-layout"}) {
		t.Errorf("the layout has %v", got)
	}
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) || before.Mode() != after.Mode() {
		t.Error("it is another directory")
	}
	if got := filesIn(t, above); !slices.Equal(got, []string{"layout"}) {
		t.Errorf("left behind: %v", got)
	}
}

// What came into the directory meanwhile is somebody's: it is left alone.
func TestDraftInADirectoryThatFills(t *testing.T) {
	path := t.TempDir()
	d := draft(t, path)
	putEmptyIndex(t, d, "v1")
	if err := os.WriteFile(filepath.Join(path, "diary"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Publish(t.Context()); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("Publish: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := filesIn(t, path); !slices.Equal(got, []string{"diary"}) {
		t.Errorf("left behind: %v", got)
	}
}

// Two processes that make the same new layout at once lose nothing.
func TestDraftsOfOneLayout(t *testing.T) {
	for name, path := range map[string]string{"new": filepath.Join(t.TempDir(), "layout"), "empty": t.TempDir()} {
		t.Run(name, func(t *testing.T) { publishTwo(t, path) })
	}
}

func publishTwo(t *testing.T, path string) {
	t.Helper()
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
	if got := filesIn(t, path); !slices.Equal(got, []string{"blobs", "index.json", "oci-layout"}) {
		t.Errorf("the layout has %v", got)
	}
	if got := filesIn(t, filepath.Dir(path)); len(got) != 1 && filepath.Base(path) == "layout" {
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
