// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// refusal is a conversion that must end with one line and without a trace.
type refusal struct {
	invocation
	source, destination string
	flags               []string
	// code is the exit code, 1 when it is 0.
	code int
	// says are parts of the line.
	says []string
	// untouched are repositories that must be as they were.
	untouched []repository
}

// expect runs the conversion.
func (r refusal) expect(t *testing.T) {
	t.Helper()
	if r.home == nil {
		r.home = engines.NewHome(t, registry.Addr)
	}
	temporary := filepath.Join(r.home.Dir, "tmp")
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		t.Fatal(err)
	}
	r.env = append([]string{"TMPDIR=" + temporary}, r.env...)
	r.args = append([]string{"convert", "--for", "docker", "--progress", "quiet"}, append(r.flags, r.source, r.destination)...)
	files := r.state(t)
	out := r.run(t)
	if want := max(r.code, 1); out.code != want {
		t.Errorf("exit code %d, want %d", out.code, want)
	}
	if out.stdout != "" {
		t.Errorf("standard output is not empty: %s", out.stdout)
	}
	line, end := strings.CutSuffix(out.stderr, "\n")
	if !end || strings.Contains(line, "\n") || !strings.HasPrefix(line, "manifest-format: ") {
		t.Errorf("standard error is not one line of the product's:\n%s", out.stderr)
	}
	for _, part := range r.says {
		if !strings.Contains(line, part) {
			t.Errorf("standard error does not say %q:\n%s", part, line)
		}
	}
	if diff := cmp.Diff(files, r.state(t)); diff != "" {
		t.Errorf("something was written: %s", diff)
	}
	t.Log(strings.ReplaceAll(line, r.home.Dir, "HOME"))
}

// state lists the files of the home folder and what the tags are.
func (r refusal) state(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{}
	for _, repo := range r.untouched {
		for _, tag := range repo.tags(t) {
			state[repo.ref(tag)] = repo.digestOf(t, tag).String()
		}
	}
	err := filepath.WalkDir(r.home.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			var body []byte
			body, err = os.ReadFile(path)
			state[path] = digest.FromBytes(body).String()
			return err
		}
		state[path] = "a folder"
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// TestRefusals gives the product what cannot be converted.
func TestRefusals(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	bake(t, repo, "oci", scratch, nil)
	out := repository{repo.addr, repo.name + "-out"}
	convert(t, "docker", repo.ref("oci"), out.ref("old"))
	home := engines.NewHome(t, registry.Addr)
	layout := "oci-layout://" + filepath.Join(home.Dir, "layout")
	archive := filepath.Join(home.Dir, "image.tar")
	convert(t, "oci", repo.ref("oci"), layout+":1")
	convert(t, "oci", repo.ref("oci"), "archive://"+archive)
	cutShort(t, archive)
	if err := os.Mkdir(filepath.Join(home.Dir, "none"), 0o700); err != nil {
		t.Fatal(err)
	}
	ambiguous(t, filepath.Join(home.Dir, "layout"))

	for name, r := range map[string]refusal{
		"no such tag":        {source: repo.ref("none"), says: []string{repo.ref("none"), "no such tag"}},
		"no such repository": {source: repo.addr + "/never/seen:1", says: []string{repo.addr + "/never/seen:1"}},
		"no such host":       {source: "registry.invalid/app:1", says: []string{"registry.invalid"}},
		"nobody listens":     {source: "127.0.0.1:1/app:1", says: []string{"127.0.0.1:1", "refused"}},
		"no such platform": {
			source: repo.ref("oci"), flags: []string{"--platform", "linux/s390x"},
			says: []string{"linux/s390x", "linux/amd64", "linux/arm64"},
		},
		"no layout":              {source: "oci-layout://" + filepath.Join(home.Dir, "none"), says: []string{"none", "layout"}},
		"no folder":              {source: "oci-layout://" + filepath.Join(home.Dir, "nowhere"), says: []string{"nowhere"}},
		"no archive":             {source: "archive://" + filepath.Join(home.Dir, "nowhere.tar"), says: []string{"nowhere.tar"}},
		"an archive cut short":   {source: "archive://" + archive, says: []string{archive}},
		"an ambiguous document":  {source: layout + ":ambiguous", says: []string{"ambiguous"}},
		"a place of no kind":     {source: "docker://app:1", says: []string{"docker://"}},
		"an empty archive":       {source: "archive://-", says: []string{"archive"}},
		"a layout without a tag": {source: layout + ":none", says: []string{"none"}},
	} {
		t.Run(name, func(t *testing.T) {
			r.home, r.destination, r.untouched = home, out.ref("old"), []repository{repo, out}
			r.expect(t)
		})
	}
	// What failed on the way to a registry fails on the way to files.
	t.Run("nothing on disk", func(t *testing.T) {
		for _, destination := range []string{"oci-layout://" + filepath.Join(home.Dir, "new"), "archive://" + filepath.Join(home.Dir, "new.tar")} {
			refusal{
				invocation: invocation{home: home}, source: layout + ":ambiguous", destination: destination,
			}.expect(t)
		}
	})
}

// cutShort leaves two thirds of a file.
func cutShort(t *testing.T, file string) {
	t.Helper()
	info, err := os.Stat(file)
	if err == nil {
		err = os.Truncate(file, info.Size()*2/3)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ambiguous tags a document in a layout that is an index for one reader and a
// manifest for another (CVE-2021-41190).
func ambiguous(t *testing.T, layout string) {
	t.Helper()
	file := filepath.Join(layout, "index.json")
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	index := decode(t, body)
	both := encode(t, object{
		"schemaVersion": 2, "mediaType": ociManifest, "manifests": []any{}, "layers": []any{},
		"config": object{"mediaType": ociConfig, "size": 2, "digest": digest.FromString("{}").String()},
	})
	entry := object{"mediaType": ociManifest, "annotations": object{"org.opencontainers.image.ref.name": "ambiguous"}}
	refer(entry, both)
	index["manifests"] = append(index["manifests"].([]any), entry)
	for name, content := range map[string][]byte{
		file: encode(t, index),
		filepath.Join(layout, "blobs", "sha256", digest.FromBytes(both).Encoded()): both,
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCorruptRegistry changes a blob where the registry keeps it.
func TestCorruptRegistry(t *testing.T) {
	t.Parallel()
	reg := engines.StartRegistry(t, engines.RegistryOptions{})
	out := newRepository(t, "out")
	for _, what := range []string{"config", "layer", "manifest"} {
		t.Run(what, func(t *testing.T) {
			repo := repositoryIn(t, reg, "app")
			bake(t, repo, "oci", scratch, nil)
			var index, manifest document
			body, _ := repo.document(t, "oci")
			if err := json.Unmarshal(body, &index); err != nil {
				t.Fatal(err)
			}
			body, _ = repo.document(t, index.Manifests[0].Digest.String())
			if err := json.Unmarshal(body, &manifest); err != nil {
				t.Fatal(err)
			}
			bad := map[string]digest.Digest{
				"config": manifest.Config.Digest, "layer": manifest.Layers[0].Digest, "manifest": index.Manifests[0].Digest,
			}[what]
			file := filepath.Join(reg.Data, "docker/registry/v2/blobs/sha256", bad.Encoded()[:2], bad.Encoded(), "data")
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			content[len(content)/2] ^= 1
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			refusal{
				source: repo.ref("oci"), destination: out.ref(what), untouched: []repository{out},
				says: []string{bad.String()},
			}.expect(t)
		})
	}
}

// TestFullDisk converts onto a file system that is too small, and into files
// that may not grow.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	bakeRandom(t, repo, "oci", 4<<20, "compression=zstd")
	t.Run("tmpfs", func(t *testing.T) {
		if os.Geteuid() != 0 && os.Getenv("CI") == "" {
			t.Skip("to mount needs root")
		}
		home := engines.NewHome(t, registry.Addr)
		small := filepath.Join(home.Dir, "small")
		if err := os.Mkdir(small, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=1m"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(small, 0); err != nil {
				t.Errorf("unmount: %v", err)
			}
		})
		for name, r := range map[string]refusal{
			"layout":  {destination: "oci-layout://" + filepath.Join(small, "layout")},
			"archive": {destination: "archive://" + filepath.Join(small, "image.tar")},
		} {
			t.Run(name, func(t *testing.T) {
				r.home, r.source, r.says = home, repo.ref("oci"), []string{"no space left on device", small}
				r.expect(t)
			})
		}
	})
	t.Run("a limit on files", func(t *testing.T) {
		home := engines.NewHome(t, registry.Addr)
		limited := filepath.Join(home.Dir, "limited")
		// As a shell's ulimit does it: the limit is inherited.
		script := "#!/bin/sh\nulimit -f 1024\nexec " + product + " \"$@\"\n"
		if err := os.WriteFile(limited, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		refusal{
			invocation: invocation{home: home, program: limited},
			source:     repo.ref("oci"), destination: "oci-layout://" + filepath.Join(home.Dir, "layout"),
			says: []string{"file too large"},
		}.expect(t)
	})
	if tags := repo.tags(t); !slices.Equal(tags, []string{"oci"}) {
		t.Errorf("the source has the tags %v", tags)
	}
}
