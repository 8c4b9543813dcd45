// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/manifest-format/manifest-format/format/emission"
	"github.com/manifest-format/manifest-format/integration/engines"
)

// The buildx builders of a [builds].
const (
	stockBuilder = "stock"
	oursBuilder  = "ours"
)

// builds is a home with a build context and two builders, one of them with our
// exporter.
type builds struct {
	*engines.Home
}

// newBuilds makes a home with builders. The images of the context are the
// test's own.
func newBuilds(t *testing.T) builds {
	t.Helper()
	b := builds{engines.NewHome(t, registry.Addr)}
	b.Env = append(b.Env, "SOURCE_DATE_EPOCH=1700000000")
	b.Run(t, "buildx", "create", "--name", stockBuilder, "--driver", "remote", buildkit.Addr)
	b.Run(t, "buildx", "create", "--name", oursBuilder, "--driver", "remote", exporting.Addr)
	b.InstallPlugin(t, "docker-manifestformat", product)
	b.context(t, "context", scratch)
	return b
}

// context writes a build context.
func (b builds) context(t *testing.T, name, from string) {
	t.Helper()
	if err := os.CopyFS(filepath.Join(b.Dir, name), twoPlatforms(t, from)); err != nil {
		t.Fatal(err)
	}
}

// build is a run of the product's build on a builder.
func (b builds) build(builder string, args ...string) invocation {
	return invocation{home: b.Home, args: append([]string{"build", "--builder", builder}, args...)}
}

// row of the table.
type row struct{ destination, profile, format, mediaType, digest, losses string }

var columns = regexp.MustCompile(` {2,}`)

// table reads what a build printed on standard output: one table.
func table(t *testing.T, text string) []row {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if !strings.HasPrefix(lines[0], "DESTINATION ") {
		t.Fatalf("not a table: %q", text)
	}
	var rows []row
	for _, line := range lines[1:] {
		cells := columns.Split(line, -1)
		if len(cells) != 7 {
			t.Fatalf("a row of %d cells: %q", len(cells), line)
		}
		rows = append(rows, row{cells[0], cells[1], cells[2], cells[3], cells[4], cells[6]})
	}
	return rows
}

// TestBuildOnEveryBuilder emits three images of one build, to two repositories,
// on a builder with our exporter and on one without: what is there is strictly
// what was asked for, the table says so, and both builders made the same.
func TestBuildOnEveryBuilder(t *testing.T) {
	t.Parallel()
	b := newBuilds(t)
	both := strings.Join(bothPlatforms, ",")
	roots := map[string][]string{}
	for _, builder := range []string{stockBuilder, oursBuilder} {
		modern, legacy := newRepository(t, builder+"/modern"), newRepository(t, builder+"/legacy")
		out := b.build(builder, "--platform", both, "--for", "docker", "-t", legacy.ref("1"), "-t", legacy.ref("2"), "--push",
			"--emit", "oci="+modern.ref("1"), "--emit", "docker="+legacy.ref("arm")+",platform=linux/arm64,single=true", "context").must(t)
		docker, oci, single := check(t, legacy, "1", "docker"), check(t, modern, "1", "oci"), check(t, legacy, "arm", "docker")
		for image, statements := range docker.referring {
			if statements != 1 {
				t.Errorf("%s: %d statements refer to %s", builder, statements, image)
			}
		}
		if single.root != docker.images["linux/arm64"] {
			t.Errorf("%s: the single image is %s, the list has %v", builder, single.root, docker.images)
		}
		want := []row{
			{legacy.ref("1"), "docker", "Docker V2.2", dockerList, docker.root.String(), "0"},
			{legacy.ref("2"), "docker", "Docker V2.2", dockerList, docker.root.String(), "0"},
			{modern.ref("1"), "oci", "OCI", ociIndex, oci.root.String(), "0"},
			{legacy.ref("arm"), "docker", "Docker V2.2", dockerManifest, single.root.String(), "0"},
		}
		if diff := cmp.Diff(want, table(t, out.stdout), cmp.AllowUnexported(row{})); diff != "" {
			t.Errorf("%s: the table (-want +got):\n%s", builder, diff)
		}
		// Where there is no referrers API, what refers to an image has a tag.
		tags := slices.DeleteFunc(legacy.tags(t), func(tag string) bool { return strings.HasPrefix(tag, "sha256-") })
		if want := []string{"1", "2", "arm"}; !slices.Equal(slices.Sorted(slices.Values(tags)), want) {
			t.Errorf("%s: the tags are %v", builder, tags)
		}
		// An OCI index has the provenance in it, and that has times in it.
		plain := newRepository(t, builder+"/plain")
		b.build(builder, "--platform", both, "--provenance=false", "--emit", "oci="+plain.ref("1"), "context").must(t)
		roots[builder] = []string{docker.root.String(), single.root.String(), check(t, plain, "1", "oci").root.String()}
	}
	if diff := cmp.Diff(roots[stockBuilder], roots[oursBuilder]); diff != "" {
		t.Errorf("the builders made different images (-stock +ours):\n%s", diff)
	}
}

// TestBuildFiles writes the files that buildx writes, and with -q prints the
// references and nothing else.
func TestBuildFiles(t *testing.T) {
	t.Parallel()
	b := newBuilds(t)
	for _, builder := range []string{stockBuilder, oursBuilder} {
		repo := newRepository(t, builder)
		out := b.build(builder, "--for", "docker", "-qt", repo.ref("1"), "--push", "--provenance=false", "--emit", "oci="+repo.ref("oci"),
			"--iidfile", "iid", "--metadata-file=metadata.json", "context").must(t)
		docker, oci := check(t, repo, "1", "docker"), check(t, repo, "oci", "oci")
		name := strings.TrimSuffix(repo.ref(""), ":")
		if want := name + "@" + docker.root.String() + "\n" + name + "@" + oci.root.String() + "\n"; out.stdout != want || out.stderr != "" {
			t.Errorf("%s: -q printed %q, and %q on standard error, want %q", builder, out.stdout, out.stderr, want)
		}
		iid, err := os.ReadFile(filepath.Join(b.Dir, "iid"))
		if want := docker.configs["linux/amd64"].String(); err != nil || string(iid) != want {
			t.Errorf("%s: --iidfile has %q (%v), want %s", builder, iid, err, want)
		}
		file, err := os.ReadFile(filepath.Join(b.Dir, "metadata.json"))
		if err != nil {
			t.Fatal(err)
		}
		var metadata map[string]any
		if err := json.Unmarshal(file, &metadata); err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]string{
			"containerimage.digest": docker.root.String(), "image.name": repo.ref("1"),
			"containerimage.config.digest": docker.configs["linux/amd64"].String(),
		} {
			if metadata[key] != want {
				t.Errorf("%s: --metadata-file has %v for %s, want %s", builder, metadata[key], key, want)
			}
		}
		if ref, _ := metadata["buildx.build.ref"].(string); !strings.HasPrefix(ref, builder+"/") {
			t.Errorf("%s: --metadata-file has not what buildx says: %v", builder, metadata)
		}
		emissions, err := emission.FromMetadata(file)
		if err != nil || len(emissions) != 2 || emissions[0].Root.Digest != docker.root || emissions[1].Root.Digest != oci.root {
			t.Errorf("%s: --metadata-file tells of %+v (%v)", builder, emissions, err)
		}
	}
}

// TestBuildByDigest pushes as those do who merge later what several machines
// built: no tag is touched.
func TestBuildByDigest(t *testing.T) {
	t.Parallel()
	b := newBuilds(t)
	var roots []string
	for _, builder := range []string{stockBuilder, oursBuilder} {
		repo := newRepository(t, builder)
		name := strings.TrimSuffix(repo.ref(""), ":")
		out := b.build(builder, "--for", "docker", "--provenance=false", "--metadata-file", "metadata.json",
			"-o", "type=image,name="+name+",push-by-digest=true,name-canonical=true,push=true", "context").must(t)
		rows := table(t, out.stdout)
		if rows[0].destination != name {
			t.Errorf("%s: the table is\n%s", builder, out.stdout)
		}
		check(t, repo, rows[0].digest, "docker")
		roots = append(roots, rows[0].digest)
		if tags := repo.tags(t); len(tags) > 0 {
			t.Errorf("%s: there are the tags %v", builder, tags)
		}
		if !strings.Contains(b.read(t, "metadata.json"), rows[0].digest) {
			t.Errorf("%s: --metadata-file has no %s", builder, rows[0].digest)
		}
	}
	if roots[0] != roots[1] {
		t.Errorf("the builders made different images: %v", roots)
	}
}

// TestBuildZstd has a base image with layers that Docker V2.2 has no place for:
// BuildKit recompresses them for the one emission, and keeps them for the other.
func TestBuildZstd(t *testing.T) {
	t.Parallel()
	b := newBuilds(t)
	base := newRepository(t, "base")
	bake(t, base, "1", scratch, nil, "compression=zstd")
	b.context(t, "zstd", "FROM "+base.ref("1"))
	for _, builder := range []string{stockBuilder, oursBuilder} {
		repo := newRepository(t, builder)
		out := b.build(builder, "--platform", strings.Join(bothPlatforms, ","), "--format", "json",
			"--emit", "docker="+repo.ref("docker"), "--emit", "oci="+repo.ref("oci"), "zstd").must(t)
		check(t, repo, "docker", "docker")
		check(t, repo, "oci", "oci")
		if !strings.Contains(repo.documents(t, "oci"), zstdLayer) {
			t.Errorf("%s: the OCI image has no layer of the base image's compression", builder)
		}
		var printed struct {
			Emissions []struct {
				Destination, Profile string
				Losses, Notes        []any
			}
		}
		if err := json.Unmarshal([]byte(out.stdout), &printed); err != nil || len(printed.Emissions) != 2 || printed.Emissions[1].Profile != "oci" {
			t.Errorf("%s: --format json printed %s (%v)", builder, out.stdout, err)
		}
	}
}

// TestBuildToFiles writes archives and layouts, with no registry.
func TestBuildToFiles(t *testing.T) {
	t.Parallel()
	b := newBuilds(t)
	temporary := t.TempDir()
	b.Env = append(b.Env, "TMPDIR="+temporary)
	for _, builder := range []string{stockBuilder, oursBuilder} {
		repo := newRepository(t, builder)
		dir := filepath.Join(b.Dir, builder)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		b.build(builder, "--for", "docker", "-t", "app:1", "-o", "type=docker,dest="+builder+"/docker.tar", "context").must(t)
		b.build(builder, "--for", "docker", "-t", "app:1", "-o", "type=oci,tar=false,dest="+builder+"/layout", "context").must(t)
		b.build(builder, "--emit", "docker=oci-layout://"+builder+"/emitted:1", "--emit", "oci=archive://"+builder+"/emitted.tar", "context").must(t)
		out := b.build(builder, "--for", "oci", "-o", "type=oci,dest=-", "-o", "type=local,dest="+builder+"/files", "context").must(t)
		if err := os.WriteFile(filepath.Join(dir, "stdout.tar"), []byte(out.stdout), 0o600); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.stderr, "\narchive://- ") {
			t.Errorf("%s: the table is not on standard error beside an archive:\n%s", builder, out.stderr)
		}
		if _, err := os.Stat(filepath.Join(dir, "files", "common.txt")); err != nil {
			t.Errorf("%s: an output that is no image: %v", builder, err)
		}
		for source, format := range map[string]string{
			"archive://docker.tar": "docker", "oci-layout://layout": "docker", "oci-layout://emitted:1": "docker",
			"archive://emitted.tar": "oci", "archive://stdout.tar": "oci",
		} {
			scheme, path, _ := strings.Cut(source, "://")
			tag := strings.NewReplacer(":", "-", "/", "-").Replace(path)
			copied := convertIn(t, b.Home, format, scheme+"://"+builder+"/"+path, repo.ref(tag))
			if len(copied.Changes) > 0 {
				t.Errorf("%s: %s is not in the format asked for: %+v", builder, source, copied.Changes)
			}
			check(t, repo, tag, format)
		}
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// TestBuildPassesOn has no profile: buildx gets its own arguments and nothing
// of the product is in its output.
func TestBuildPassesOn(t *testing.T) {
	t.Parallel()
	b := newBuilds(t)
	repo := newRepository(t, "app")
	args := []string{"--provenance=false", "-q", "-t", repo.ref("1"), "--push", "context"}
	direct := b.Run(t, "buildx", append([]string{"build", "--builder", stockBuilder}, args...)...)
	passed := b.build(stockBuilder, args...).must(t)
	if passed.stdout != direct.Stdout || passed.stderr != direct.Stderr {
		t.Errorf("printed %q and %q, buildx %q and %q", passed.stdout, passed.stderr, direct.Stdout, direct.Stderr)
	}
	check(t, repo, "1", "oci")
	for _, verb := range [][]string{{"ls"}, {"du", "--builder", stockBuilder, "--filter", "id=none"}, {"imagetools", "inspect", repo.ref("1")}} {
		direct := b.Run(t, "buildx", verb...)
		if passed := (invocation{home: b.Home, args: verb}).must(t); passed.stdout != direct.Stdout {
			t.Errorf("%v printed %q, buildx %q", verb, passed.stdout, direct.Stdout)
		}
	}
}

// TestBuilderCommands makes builders of running BuildKits.
func TestBuilderCommands(t *testing.T) {
	t.Parallel()
	b := newBuilds(t)
	created := invocation{home: b.Home, args: []string{"builder", "create", "--driver", "remote", "mine", exporting.Addr}}.must(t)
	if created.stdout != "mine\n" || strings.Contains(created.stderr, "warning") {
		t.Errorf("printed %q and %q", created.stdout, created.stderr)
	}
	listed := invocation{home: b.Home, args: []string{"builder", "ls"}}.must(t).stdout
	for name, want := range map[string]string{stockBuilder: "no", oursBuilder: "yes", "mine": "yes"} {
		line := regexp.MustCompile(`(?m)^` + name + ` .*`).FindString(listed)
		if cells := columns.Split(line, -1); !slices.Contains(cells, want) || cells[len(cells)-1] != want {
			t.Errorf("%s: the exporter is not %q in %q", name, want, line)
		}
	}
	invocation{home: b.Home, args: []string{"builder", "rm", "mine"}}.must(t)
	gone := invocation{home: b.Home, args: []string{"builder", "rm", "mine"}}.run(t)
	if gone.code != 1 || !strings.Contains(gone.stderr, `no builder "mine" found`) {
		t.Errorf("removed twice: exit code %d, %q", gone.code, gone.stderr)
	}
}
