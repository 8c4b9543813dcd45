// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// TestEngineReached asks an engine in every way that docker has of naming one,
// alone and as docker's plugin.
func TestEngineReached(t *testing.T) {
	t.Parallel()
	needRoot(t)
	engine := engines.StartDockerd(t, engines.DockerdOptions{})
	from := newRepository(t, "app")
	was := speaking(t, from, "1")
	engineHome(t, engine.Host).Docker(t, engine, "pull", "--quiet", from.ref("1"))
	secured := engine.Secure(t)
	file := func(name string) string { return filepath.Join(secured.Certificates, name) }
	verify := []string{"--tlsverify", "--tlscacert", file("ca.pem"), "--tlscert", file("cert.pem"), "--tlskey", file("key.pem")}

	home := engines.NewHome(t, registry.Addr)
	home.InstallPlugin(t, "docker-manifestformat", product)
	docker := engines.Binary(t, engines.DockerCLI(t))
	home.Run(t, engines.DockerCLI(t), "context", "create", "far", "--docker",
		"host="+secured.Host+",ca="+file("ca.pem")+",cert="+file("cert.pem")+",key="+file("key.pem"))
	for name, way := range map[string]struct{ env, flags []string }{
		"--host":             {flags: []string{"--host", engine.Host}},
		"-H":                 {flags: []string{"-H", engine.Host}, env: []string{"DOCKER_HOST=unix:///nowhere"}},
		"--context":          {flags: []string{"--context", "far"}, env: []string{"DOCKER_HOST=unix:///nowhere"}},
		"-c":                 {flags: []string{"-c", "far"}},
		"--tlsverify":        {flags: append([]string{"-H", secured.Host}, verify...)},
		"DOCKER_HOST":        {env: []string{"DOCKER_HOST=" + engine.Host, "DOCKER_CONTEXT=far-off"}},
		"DOCKER_CONTEXT":     {env: []string{"DOCKER_CONTEXT=far"}},
		"DOCKER_TLS_VERIFY":  {env: []string{"DOCKER_HOST=" + secured.Host, "DOCKER_TLS_VERIFY=1", "DOCKER_CERT_PATH=" + secured.Certificates}},
		"DOCKER_CONFIG only": {env: []string{"DOCKER_HOST=" + engine.Host}, flags: []string{"--config", filepath.Join(home.Dir, ".docker")}},
	} {
		to := newRepository(t, "to")
		args := append(way.flags[:len(way.flags):len(way.flags)], "push", "-q", from.ref("1"), to.ref("1"))
		if out := (invocation{home: home, env: way.env, args: args}).run(t); out.code != 0 || !strings.HasSuffix(out.stdout, was.String()+"\n") {
			t.Errorf("%s: exit code %d\n%s%s", name, out.code, out.stdout, out.stderr)
		}
		args = append(way.flags[:len(way.flags):len(way.flags)], "manifestformat", "push", "-q", from.ref("1"), to.ref("1"))
		if out := (invocation{program: docker, home: home, env: way.env, args: args}).run(t); out.code != 0 || !strings.HasSuffix(out.stdout, was.String()+"\n") {
			t.Errorf("docker, %s: exit code %d\n%s%s", name, out.code, out.stdout, out.stderr)
		}
	}
	for name, way := range map[string]struct {
		flags []string
		says  string
	}{
		"without certificates": {[]string{"-H", secured.Host}, "docker engine of the context default"},
		"a context not there":  {[]string{"--context", "near"}, "docker context near: "},
		"nothing there":        {[]string{"-H", "unix:///nowhere"}, "failed to connect to the docker API at unix:///nowhere"},
		"not its authority":    {[]string{"-H", secured.Host, "--tlsverify", "--tlscacert", file("key.pem")}, "docker context default: "},
	} {
		out := invocation{home: home, args: append(way.flags, "inspect", "engine://"+from.ref("1"))}.run(t)
		if out.code != 1 || out.stdout != "" || strings.Count(out.stderr, "\n") != 1 || !strings.Contains(out.stderr, way.says) {
			t.Errorf("%s: exit code %d\n%s%s", name, out.code, out.stdout, out.stderr)
		}
	}
}

// ran is what a container of an image in the engine prints. Podman's service
// gives a container more open files than this machine may, unless told.
func ran(t *testing.T, home *engines.Home, engine *engines.Dockerd, image string) string {
	t.Helper()
	return home.Docker(t, engine, "run", "--rm", "--network", "none", "--ulimit", "nofile=1024:4096", "--ulimit", "nproc=4096:4096", image).Stdout
}

// TestIntoEngines writes images to every engine in both formats, and has them
// run there, by the name given and by what was printed.
func TestIntoEngines(t *testing.T) {
	t.Parallel()
	needRoot(t)
	from := newRepository(t, "from")
	speaking(t, from, "1")
	several := newRepository(t, "several")
	bake(t, several, "1", scratch, nil)
	for name, start := range pushers {
		t.Run(strings.ReplaceAll(name, ", ", "-"), func(t *testing.T) {
			t.Parallel()
			engine := start(t)
			home := engineHome(t, engine.Host)
			for _, format := range []string{"oci", "docker"} {
				out := invocation{home: home, args: []string{"convert", "--for", format, from.ref("1"), "engine://app:" + format}}.must(t)
				made := strings.TrimSuffix(out.stdout, "\n")
				for _, image := range []string{"app:" + format, strings.TrimPrefix(made, "engine://")} {
					if got := ran(t, home, engine, image); got != "this is "+from.name+"\n" {
						t.Errorf("%s: a container of %s printed %q", format, image, got)
					}
				}
				if shown := (invocation{home: home, args: []string{"inspect", made}}).must(t); !strings.Contains(shown.stdout, "linux/amd64") {
					t.Errorf("%s: of %s is shown\n%s", format, made, shown.stdout)
				}
				if keeps := name == containerdStore; keeps == strings.Contains(out.stderr, "keeps no manifests") {
					t.Errorf("%s: of the engine's store is said\n%s", format, out.stderr)
				}
			}
			out := invocation{home: home, args: []string{"convert", "--for", "docker", several.ref("1"), "engine://several"}}.run(t)
			if keeps := name == containerdStore; keeps != (out.code == 0) {
				t.Errorf("several platforms: exit code %d\n%s", out.code, out.stderr)
			}
		})
	}
}
