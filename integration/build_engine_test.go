// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// engineBuilder is the builder that is in the engine itself.
const engineBuilder = "default"

// TestBuildIntoEngines loads images into an engine, and pushes from one, with
// each kind of builder and each of the engine's stores.
func TestBuildIntoEngines(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]engines.DockerdOptions{
		"containerd store": {}, "graph store": {GraphStore: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			engine := engines.StartDockerd(t, options)
			b := newBuilds(t)
			b.Env = append(b.Env, "DOCKER_HOST="+engine.Host)
			made := map[string]string{}
			for _, builder := range []string{engineBuilder, stockBuilder, oursBuilder} {
				made[b.loads(t, engine, builder, options)] = builder
			}
			if len(made) != 1 {
				t.Errorf("the builders made different images: %v", made)
			}
			b.pushes(t, options)
		})
	}
}

// loads builds without a push: the image is in the engine afterwards. It returns
// what the engine calls it.
func (b builds) loads(t *testing.T, engine *engines.Dockerd, builder string, options engines.DockerdOptions) string {
	t.Helper()
	name := "app-" + builder + ":1"
	out := b.build(builder, "--for", "docker", "-t", name, "--iidfile", "iid", "context").must(t)
	rows := table(t, out.stdout)
	if len(rows) != 1 || rows[0].destination != "engine://"+name {
		t.Errorf("%s: the table is\n%s", builder, out.stdout)
	}
	inspected := b.Docker(t, engine, "image", "inspect", "--format", "{{.Id}} {{.Architecture}}", name).Stdout
	quiet := b.build(builder, "--for", "docker", "-q", "-t", name, "context").must(t)
	if id := strings.TrimSuffix(quiet.stdout, "\n"); inspected != id+" amd64\n" {
		t.Errorf("%s: -q printed %q, the engine has %q", builder, quiet.stdout, inspected)
	}
	if file := b.read(t, "iid"); !strings.HasPrefix(inspected, file+" ") {
		t.Errorf("%s: --iidfile has %q, the engine has %q", builder, file, inspected)
	}
	if !options.GraphStore {
		got := b.Docker(t, engine, "image", "inspect", "--format", "{{.Descriptor.MediaType}} {{.Descriptor.Digest}}", name).Stdout
		if want := rows[0].mediaType + " " + rows[0].digest + "\n"; got != want || rows[0].format != "Docker V2.2" {
			t.Errorf("%s: the engine has %q, the table %q", builder, got, want)
		}
	} else if !strings.Contains(out.stderr, "keeps no manifests") {
		t.Errorf("%s: nothing is said of the engine's store:\n%s", builder, out.stderr)
	}
	if !options.GraphStore {
		attested := b.build(builder, "--provenance=mode=max", "--for", "docker", "-t", "attested:1", "context").must(t)
		if rows := table(t, attested.stdout); rows[0].losses != "1" || !strings.Contains(attested.stderr, "attestation manifest") {
			t.Errorf("%s: an attestation that the engine does not hold is no loss:\n%s%s", builder, attested.stdout, attested.stderr)
		}
	}
	several := b.build(builder, "--platform", strings.Join(bothPlatforms, ","), "--for", "docker", "-t", "several:1", "context").run(t)
	if options.GraphStore == (several.code == 0) {
		t.Errorf("%s: several platforms into this store: exit code %d\n%s", builder, several.code, several.stderr)
	}
	// Without a name, as docker builds too.
	b.build(builder, "--for", "docker", "-q", "context").must(t)
	return inspected
}

// pushes builds in the engine, and pushes in both formats.
func (b builds) pushes(t *testing.T, options engines.DockerdOptions) {
	t.Helper()
	repo := newRepository(t, "pushed")
	b.build(engineBuilder, "--for", "docker", "-t", repo.ref("docker"), "--push", "--emit", "oci="+repo.ref("oci"), "context").must(t)
	image := check(t, repo, "docker", "docker")
	check(t, repo, "oci", "oci")
	if documents := repo.documents(t, "oci"); strings.Contains(documents, `layer.v1.tar"`) {
		t.Errorf("a layer was pushed that is not compressed:\n%s", documents)
	}
	statements := 1
	if options.GraphStore {
		statements = 0 // it can make no provenance
	}
	if got := image.referring[image.images["linux/amd64"]]; got != statements {
		t.Errorf("%d statements refer to the image, want %d", got, statements)
	}
}

// TestBuildInContainers has builders in containers of an engine: one of an image
// of the stock BuildKit, and one of ours.
func TestBuildInContainers(t *testing.T) {
	t.Parallel()
	engine := engines.StartDockerd(t, engines.DockerdOptions{})
	for builder, program := range map[string]string{"stock-container": "buildkitd-stock", "our-container": "buildkitd"} {
		b := newBuilds(t)
		b.Env = append(b.Env, "DOCKER_HOST="+engine.Host)
		image := engine.ImportBuildkit(t, engines.Binary(t, program))
		created := invocation{home: b.Home, args: []string{"builder", "create", "--image", image, "--driver-opt", "network=host", "--bootstrap", builder}}.must(t)
		if warned := strings.Contains(created.stderr, "has no exporter"); created.stdout != builder+"\n" || warned != (builder == "stock-container") {
			t.Errorf("%s: printed %q and\n%s", builder, created.stdout, created.stderr)
		}
		repo := newRepository(t, builder)
		b.build(builder, "--for", "docker", "-t", repo.ref("1"), "--push", "--emit", "oci="+repo.ref("2"), "context").must(t)
		check(t, repo, "1", "docker")
		check(t, repo, "2", "oci")
		b.loads(t, engine, builder, engines.DockerdOptions{})
		invocation{home: b.Home, args: []string{"builder", "rm", builder}}.must(t)
	}
}

// TestDockerBuild has plain `docker build` go through the program, and back.
func TestDockerBuild(t *testing.T) {
	t.Parallel()
	engine := engines.StartDockerd(t, engines.DockerdOptions{})
	b := newBuilds(t)
	b.Env = append(b.Env, "DOCKER_HOST="+engine.Host)
	before := b.read(t, ".docker/config.json")
	b.Docker(t, engine, "manifestformat", "install", "--for", "docker")
	// A builder that is chosen for buildx is not docker build's.
	b.Run(t, "buildx", "use", "--default", stockBuilder)

	built := b.Docker(t, engine, "build", "-t", "app:1", "context")
	if rows := table(t, built.Stdout); rows[0].destination != "engine://app:1" || rows[0].format != "Docker V2.2" {
		t.Errorf("docker build printed\n%s", built.Stdout)
	}
	if got := b.Docker(t, engine, "image", "inspect", "--format", "{{.Descriptor.MediaType}}", "app:1").Stdout; got != dockerManifest+"\n" {
		t.Errorf("docker build made %q", got)
	}
	for verb, want := range map[string]string{"build": `"default" instance using docker driver`, "manifestformat build": `"stock" instance using remote driver`} {
		args := append(strings.Fields(verb), "-t", "app:1", "context")
		if out := b.Docker(t, engine, args...); !strings.Contains(out.Stderr, want) {
			t.Errorf("docker %s was not built with %s:\n%s", verb, want, out.Stderr)
		}
	}
	id := strings.TrimSpace(b.Docker(t, engine, "image", "build", "-q", "context").Stdout)
	b.Docker(t, engine, "image", "inspect", id)

	repo := newRepository(t, "app")
	b.Docker(t, engine, "build", "--builder", oursBuilder, "-t", repo.ref("1"), "--push", "context")
	check(t, repo, "1", "docker")
	b.Docker(t, engine, "build", "--for", "oci", "-t", repo.ref("2"), "--push", "context")
	check(t, repo, "2", "oci")

	// What is not the program's own is buildx's.
	b.Docker(t, engine, "builder", "prune", "--force")
	if shown := b.Docker(t, engine, "builder", "inspect").Stdout; !strings.Contains(shown, "Driver:") {
		t.Errorf("docker builder inspect printed %q", shown)
	}
	b.Docker(t, engine, "builder", "--builder", stockBuilder, "du")
	if _, err := b.Try(t, engines.DockerCLI(t), "--host", engine.Host, "build", "--check", "context"); err != nil {
		t.Errorf("docker build --check: %v", err)
	}
	if out := b.Docker(t, engine, "buildx", "build", "-t", "plain:1", "--load", "--builder", engineBuilder, "context"); strings.Contains(out.Stdout, "DESTINATION") {
		t.Errorf("docker buildx build went through the program:\n%s", out.Stdout)
	}

	b.Docker(t, engine, "manifestformat", "uninstall")
	if after := b.read(t, ".docker/config.json"); after != before {
		t.Errorf("config.json was %q, and is %q", before, after)
	}
	if out := b.Docker(t, engine, "build", "-t", "app:2", "context"); strings.Contains(out.Stdout+out.Stderr, "DESTINATION") {
		t.Errorf("docker build goes through the program still:\n%s", fmt.Sprint(out))
	}
}
