// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// read is a file of the home.
func (b builds) read(t *testing.T, name string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(b.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestBuildFails ends as buildx ends, and leaves no tag.
func TestBuildFails(t *testing.T) {
	t.Parallel()
	b := newBuilds(t)
	b.context(t, "broken", "FROM scratch\nCOPY nothing /")
	b.context(t, "annotated", scratch)
	for _, builder := range []string{stockBuilder, oursBuilder} {
		repo := newRepository(t, builder)
		for name, tc := range map[string]struct {
			args []string
			code int
			says string
		}{
			"a step that fails": {[]string{"--for", "docker", "-t", repo.ref("1"), "--push", "broken"}, 1, `"/nothing": not found`},
			"no context":        {[]string{"--for", "docker", "-t", repo.ref("1"), "--push", "nowhere"}, 1, `path "nowhere" not found`},
			"a flag of nobody":  {[]string{"--for", "docker", "-t", repo.ref("1"), "--push", "--nothing", "context"}, -1, "unknown flag: --nothing"},
			"something is lost": {
				[]string{
					"--for", "docker", "-t", repo.ref("1"), "--push", "--on-loss", "fail", "--annotation", "org.opencontainers.image.title=x",
					"--emit", "oci=" + repo.ref("2"), "annotated",
				}, 1, "org.opencontainers.image.title",
			},
			"several platforms, and one root": {
				[]string{"--platform", strings.Join(bothPlatforms, ","), "--emit", "oci=" + repo.ref("1"), "--emit", "docker=" + repo.ref("2") + ",single=true", "context"},
				1, "linux/arm64",
			},
		} {
			out := b.build(builder, tc.args...).run(t)
			if out.code != tc.code && (tc.code >= 0 || out.code == 0) {
				t.Errorf("%s, %s: exit code %d, want %d", builder, name, out.code, tc.code)
			}
			if out.stdout != "" || !strings.Contains(out.stderr, tc.says) {
				t.Errorf("%s, %s: printed %q, and on standard error\n%s", builder, name, out.stdout, out.stderr)
			}
			if strings.Count(out.stderr, "manifest-format: ") > 1 {
				t.Errorf("%s, %s: more than one line of the program's own:\n%s", builder, name, out.stderr)
			}
		}
		if tags := repo.tags(t); len(tags) > 0 {
			t.Errorf("%s: left the tags %v", builder, tags)
		}
	}
}

// TestBuildPassword builds to a registry that asks for a password: buildx's
// session has it, and so has the conversion.
func TestBuildPassword(t *testing.T) {
	t.Parallel()
	closed := engines.StartRegistry(t, engines.RegistryOptions{Users: map[string]string{"alice": "wonder"}})
	b := newBuilds(t)
	for _, builder := range []string{stockBuilder, oursBuilder} {
		out := b.build(builder, "--for", "docker", "-t", closed.Ref("without:"+builder), "--push", "context").run(t)
		if out.code != 1 || out.stdout != "" {
			t.Errorf("%s: without a password: exit code %d, %q", builder, out.code, out.stdout)
		}
	}
	b.Login(t, closed.Addr, "alice", "wonder")
	for _, builder := range []string{stockBuilder, oursBuilder} {
		out := b.build(builder, "--for", "docker", "-t", closed.Ref("with:"+builder), "--push", "context").must(t)
		if rows := table(t, out.stdout); rows[0].format != "Docker V2.2" {
			t.Errorf("%s: the table is\n%s", builder, out.stdout)
		}
		if strings.Contains(out.stdout+out.stderr, "wonder") {
			t.Errorf("%s: the password was printed", builder)
		}
	}
}

// TestBuildInterrupt presses Ctrl-C while the base image's registry does not
// answer.
func TestBuildInterrupt(t *testing.T) {
	t.Parallel()
	b := newBuilds(t)
	asked := make(chan struct{}, 100)
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(silent.Close)
	b.context(t, "waiting", "FROM "+strings.TrimPrefix(silent.URL, "http://")+"/app:1")
	for _, builder := range []string{stockBuilder, oursBuilder} {
		run := b.build(builder, "--for", "docker", "-t", newRepository(t, builder).ref("1"), "--push", "waiting")
		var pressed time.Time
		run.started = func(p *os.Process) {
			select {
			case <-asked:
			case <-time.After(30 * time.Second):
				t.Error("nobody asked for the base image")
			}
			pressed = time.Now()
			if err := p.Signal(syscall.SIGINT); err != nil {
				t.Error(err)
			}
		}
		out := run.run(t)
		if out.code != 130 || out.stdout != "" || !strings.Contains(out.stderr, "manifest-format: interrupted") {
			t.Errorf("%s: exit code %d, printed %q and\n%s", builder, out.code, out.stdout, out.stderr)
		}
		if took := time.Since(pressed); took > 8*time.Second {
			t.Errorf("%s: it took %s to end", builder, took)
		}
	}
}

// TestBuildFromStdin reads the Dockerfile from standard input, for more than one
// build.
func TestBuildFromStdin(t *testing.T) {
	t.Parallel()
	b := newBuilds(t)
	base := newRepository(t, "base")
	bake(t, base, "1", scratch, nil, "compression=zstd")
	for _, builder := range []string{stockBuilder, oursBuilder} {
		repo := newRepository(t, builder)
		run := b.build(builder, "--platform", strings.Join(bothPlatforms, ","), "--for", "docker", "-t", repo.ref("1"), "--push",
			"-f", "-", "context")
		run.stdin = strings.NewReader("FROM " + base.ref("1") + "\nCOPY common.txt /from-stdin\n")
		run.must(t)
		check(t, repo, "1", "docker")
	}
}

// TestBuildSeveralNodes merges what two daemons build.
func TestBuildSeveralNodes(t *testing.T) {
	t.Parallel()
	b := newBuilds(t)
	one := newRepository(t, "one")
	both := strings.Join(bothPlatforms, ",")
	b.build(stockBuilder, "--platform", both, "--for", "docker", "-t", one.ref("1"), "--push", "context").must(t)
	for builder, first := range map[string]*engines.Buildkitd{"two-stock": buildkit, "two-ours": exporting} {
		second := engines.StartBuildkitd(t, engines.BuildkitdOptions{Exporter: first == exporting})
		for n, node := range []*engines.Buildkitd{first, second} {
			platform := bothPlatforms[n]
			args := []string{"create", "--name", builder, "--driver", "remote", "--platform", platform}
			if n > 0 {
				args = append(args, "--append")
			}
			b.Run(t, "buildx", append(args, node.Addr)...)
		}
		repo := newRepository(t, builder)
		out := b.build(builder, "--platform", both, "--for", "docker", "-t", repo.ref("1"), "--push", "--emit", "oci="+repo.ref("2"), "context").must(t)
		docker, oci := check(t, repo, "1", "docker"), check(t, repo, "2", "oci")
		if len(docker.images) != 2 || len(oci.images) != 2 {
			t.Errorf("%s: the images are %v and %v", builder, docker.images, oci.images)
		}
		if want := one.digestOf(t, "1"); docker.root != want {
			t.Errorf("%s: the image is %s, that of one node %s", builder, docker.root, want)
		}
		rows := table(t, out.stdout)
		if rows[0].digest != docker.root.String() || rows[1].digest != oci.root.String() {
			t.Errorf("%s: the table is\n%s", builder, out.stdout)
		}
		if builder == "two-stock" && !strings.Contains(out.stderr, "warning: the builder has several nodes") {
			t.Errorf("nothing is said of the tag that stays:\n%s", out.stderr)
		}
	}
}
