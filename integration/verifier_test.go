// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
	"github.com/manifest-format/manifest-format/integration/engines"
)

// verifierPlugin is the configuration of containerd's plugin, which runs what
// is in a folder.
const verifierPlugin = `
[plugins.'io.containerd.image-verifier.v1.bindir']
  bin_dir = %q
[debug]
  level = "debug"
`

// guarded is a containerd that asks our verifier. Its policy is a file that is
// read for each pull.
type guarded struct {
	*engines.Containerd
	bin, policy string
}

// startGuarded starts a containerd with Kubernetes' interface and the verifier.
func startGuarded(t *testing.T, config string) guarded {
	t.Helper()
	dir := t.TempDir()
	g := guarded{bin: filepath.Join(dir, "bin"), policy: filepath.Join(dir, "verifier.json")}
	if err := buildPackage("..", "./plugins/verifier", filepath.Join(g.bin, "manifest-format-verifier"), os.Environ()); err != nil {
		t.Fatal(err)
	}
	g.Containerd = engines.StartContainerd(t, engines.ContainerdOptions{
		CRI: true, Config: fmt.Sprintf(verifierPlugin, g.bin) + config, Env: []string{"MANIFEST_FORMAT_VERIFIER=" + g.policy},
	})
	return g
}

// obey makes text the policy: rules, and what else there is.
func (g guarded) obey(t *testing.T, rules string, more ...string) {
	t.Helper()
	members := append([]string{`"rules": [` + rules + `]`, `"default": "deny"`}, more...)
	if err := os.WriteFile(g.policy, []byte("{\n"+strings.Join(members, ",\n")+"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// plainHTTP are the flags of a pull from a registry that is open to all.
var plainHTTP = []string{"--plain-http"}

// pull pulls an image with ctr, and reports how that failed.
func (g guarded) pull(t *testing.T, ref string, flags ...string) string {
	t.Helper()
	args := append([]string{"images", "pull", "--platform", "linux/amd64"}, flags...)
	out, err := g.TryCtr(t, append(args, ref)...)
	there := strings.Contains(g.Ctr(t, "images", "ls", "-q").Stdout, ref+"\n")
	if there != (err == nil) {
		t.Errorf("pull of %s: %v, but that it is there is %t", ref, err, there)
	}
	if there {
		g.Ctr(t, "images", "rm", "--sync", ref)
	}
	if err == nil {
		return ""
	}
	return out.Stderr
}

// refuses has a pull by ctr refused, with a line that says each of the words.
func (g guarded) refuses(t *testing.T, ref string, flags []string, words ...string) {
	t.Helper()
	says(t, g.pull(t, ref, flags...), append([]string{"blocked pull of " + ref, "verifier manifest-format-verifier rejected image"}, words...)...)
}

func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q does not say %q", text, word)
		}
	}
}

// allows has a pull by ctr allowed; without flags it is of a registry that is
// open to all.
func (g guarded) allows(t *testing.T, ref string, flags ...string) {
	t.Helper()
	if len(flags) == 0 {
		flags = plainHTTP
	}
	if text := g.pull(t, ref, flags...); text != "" {
		t.Errorf("pull of %s: %s", ref, text)
	}
}

// putSamples pushes images that are right and wrong, with layers that no other
// test has.
func putSamples(t *testing.T, repo repository) {
	t.Helper()
	o, d := formattest.Builder{Format: format.OCI}, formattest.Builder{Format: format.Docker}
	image := func(b formattest.Builder, tag string) formattest.Blob {
		return b.Manifest("linux/amd64", b.Layer(format.Gzip, tag+"="+repo.name))
	}
	repo.putImage(t, "oci", o.Index(image(o, "oci")))
	repo.putImage(t, "docker", d.Index(image(d, "docker")))
	repo.putImage(t, "mixed", o.Index(image(d, "mixed")))
}

// TestVerifier has containerd 2 ask our verifier before each pull.
func TestVerifier(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	putSamples(t, repo)
	g := startGuarded(t, "")

	t.Run("refused and allowed", func(t *testing.T) {
		g.obey(t, `{"match": "**", "for": "docker"}`)
		want := []string{
			"not what docker takes: oci index, and it wants that the image is in format docker",
			"`manifest-format convert --for docker " + repo.ref("oci") + " " + repo.ref("oci") + "`",
		}
		g.refuses(t, repo.ref("oci"), plainHTTP, want...)
		g.allows(t, repo.ref("docker"))
		if err := g.PullCRI(t, repo.ref("oci")); err == nil {
			t.Error("Kubernetes' pull of what was refused has worked")
		} else {
			says(t, err.Error(), want...)
		}
		if err := g.PullCRI(t, repo.ref("docker")); err != nil {
			t.Errorf("Kubernetes' pull: %v", err)
		}
		if !g.CRIReady(t) {
			t.Error("the runtime is not ready any more")
		}
	})
	t.Run("what it proposes mends the image", func(t *testing.T) {
		g.obey(t, `{"match": "**", "for": "docker", "mode": "deep"}`)
		convert(t, "docker", repo.ref("oci"), repo.ref("converted"))
		g.allows(t, repo.ref("converted"))
	})
	t.Run("warned", func(t *testing.T) {
		g.obey(t, `{"match": "**", "for": "docker", "action": "warn"}`)
		g.allows(t, repo.ref("oci"))
		// The log is looked at before a pull has filled it.
		next := filepath.Join(g.bin, "next")
		if err := os.WriteFile(next, []byte("#!/bin/sh\necho another says no\nexit 1\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		says(t, g.pull(t, repo.ref("oci"), plainHTTP...), "verifier next rejected image", "another says no")
		says(t, g.Log(), "warning: "+repo.ref("oci")+": not what docker takes: oci index")
		if err := os.Remove(next); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("shallow and deep", func(t *testing.T) {
		g.obey(t, `{"match": "**", "for": "oci", "mode": "shallow"}`)
		g.allows(t, repo.ref("mixed"))
		g.obey(t, `{"match": "**", "for": "oci", "mode": "deep"}`)
		g.refuses(t, repo.ref("mixed"), plainHTTP, "docker manifest at /manifests/0", "and 2 more")
		g.allows(t, repo.ref("oci"))
	})
	t.Run("by name", func(t *testing.T) {
		name, _, _ := strings.Cut(repo.ref("oci"), ":oci")
		g.obey(t, `{"match": "`+name+`:mixed", "action": "ignore"}, {"match": "`+name+`:o*", "for": "oci"}`)
		g.allows(t, repo.ref("mixed"))
		g.allows(t, repo.ref("oci"))
		g.refuses(t, repo.ref("docker"), plainHTTP, "the policy has no rule for an image of this name, and denies those")
	})
	t.Run("broken policy", func(t *testing.T) {
		g.obey(t, `{"match": "**", "for": "oci"}, {"match": "**", "fro": "oci"}`)
		g.refuses(t, repo.ref("oci"), plainHTTP, g.policy+":2: rules[1].fro: no such field: there is match, for")
		if err := os.Remove(g.policy); err != nil {
			t.Fatal(err)
		}
		g.refuses(t, repo.ref("oci"), plainHTTP, g.policy+": no such file or directory: write the verifier's policy there")
	})
	t.Run("another file in bin_dir", func(t *testing.T) {
		g.obey(t, `{"match": "**", "for": "oci"}`)
		readme := filepath.Join(g.bin, "README")
		if err := os.WriteFile(readme, []byte("the verifier\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		says(t, g.pull(t, repo.ref("oci"), plainHTTP...), "blocking pull of", "README", "permission denied")
		if err := os.Remove(readme); err != nil {
			t.Fatal(err)
		}
		g.allows(t, repo.ref("oci"))
	})
}

// TestVerifierIsNotAsked holds docs/containerd.md to its word on which pulls
// containerd shows to no verifier.
func TestVerifierIsNotAsked(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	putSamples(t, repo)
	t.Run("ctr", func(t *testing.T) {
		g := startGuarded(t, "")
		g.obey(t, `{"match": "**", "for": "docker"}`)
		g.refuses(t, repo.ref("oci"), plainHTTP, "oci index")
		g.allows(t, repo.ref("oci"), "--plain-http", "--local")
		// What ctr does with --local alone.
		for _, flag := range []string{"--print-chainid", "--skip-verify", "--max-concurrent-downloads=2"} {
			says(t, g.pull(t, repo.ref("oci"), "--plain-http", flag), "requires \"--local\" flag")
		}
		g.Ctr(t, "content", "fetch", "--plain-http", repo.ref("oci"))
		archive := filepath.Join(t.TempDir(), "image.tar")
		convert(t, "oci", repo.ref("oci"), "archive://"+archive)
		g.Ctr(t, "images", "import", "--index-name", repo.ref("oci"), archive)
	})
	t.Run("BuildKit", func(t *testing.T) {
		g := startGuarded(t, "")
		g.obey(t, `{"match": "**", "for": "docker"}`)
		engines.StartBuildkitd(t, engines.BuildkitdOptions{Containerd: g.Containerd}).Build(t, engines.Build{
			Context:   fstest.MapFS{"Dockerfile": {Data: []byte("FROM " + repo.ref("oci") + "\nCOPY Dockerfile /\n")}},
			Platforms: []string{"linux/amd64"}, Output: "type=image,name=built",
		})
	})
	for name, config := range map[string]string{
		"use_local_image_pull":          "use_local_image_pull = true",
		"max_concurrent_downloads":      "max_concurrent_downloads = 4",
		"disable_snapshot_annotations":  "disable_snapshot_annotations = false",
		"discard_unpacked_layers":       "discard_unpacked_layers = true",
		"image_pull_with_sync_fs":       "image_pull_with_sync_fs = true",
		"registry.mirrors (deprecated)": "[plugins.'io.containerd.cri.v1.images'.registry.mirrors.'example.com']\nendpoint = ['https://example.com']",
	} {
		t.Run(name, func(t *testing.T) {
			g := startGuarded(t, "[plugins.'io.containerd.cri.v1.images']\n"+config+"\n")
			g.obey(t, `{"match": "**", "for": "docker"}`)
			if err := g.PullCRI(t, repo.ref("oci")); err != nil {
				t.Errorf("it was asked after all: %v", err)
			}
			g.Ctr(t, "--namespace", engines.CRINamespace, "images", "rm", "--sync", repo.ref("oci"))
			g.refuses(t, repo.ref("oci"), plainHTTP, "oci index") // ctr's pull is still shown
		})
	}
}

// TestVerifierLogsIn has the verifier read registries that are not open to all.
func TestVerifierLogsIn(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, "")
	for name, options := range map[string]engines.RegistryOptions{
		"password": {}, "token": {Token: true}, "password over TLS": {TLS: true},
	} {
		t.Run(name, func(t *testing.T) {
			options.Users = map[string]string{"alice": "wonder"}
			closed := engines.StartRegistry(t, options)
			home := engines.NewHome(t)
			home.Login(t, closed.Addr, "alice", "wonder")
			pull := []string{"--user", "alice:wonder"}
			hosts := writeHosts(t, closed)
			if options.TLS {
				pull = append(pull, "--hosts-dir", hosts)
			} else {
				pull = append(pull, "--plain-http")
			}
			copySamples(t, home, closed)
			ways := map[string][]string{
				"docker's credentials": {`"dockerConfig": "` + filepath.Join(home.Dir, ".docker", "config.json") + `"`},
				"hosts.toml":           {`"dockerConfig": "` + filepath.Join(home.Dir, ".docker", "config.json") + `"`, `"hostsDir": "` + hosts + `"`},
				"nobody":               {`"hostsDir": "` + hosts + `"`},
			}
			if options.TLS {
				delete(ways, "docker's credentials") // its authority is in no place that docker looks in
			}
			for way, more := range ways {
				t.Run(way, func(t *testing.T) {
					g.obey(t, `{"match": "**", "for": "oci", "mode": "deep"}`, more...)
					if way == "nobody" {
						g.refuses(t, closed.Ref("app:oci"), pull, "its registry wants a login, and the verifier's policy has none")
						return
					}
					g.allows(t, closed.Ref("app:oci"), pull...)
					g.refuses(t, closed.Ref("app:mixed"), pull, "docker manifest at /manifests/0")
				})
			}
		})
	}
}

// writeHosts writes a hosts.toml for a registry as containerd has them, and
// returns the folder to name in a configuration.
func writeHosts(t *testing.T, to *engines.Registry) string {
	t.Helper()
	text := fmt.Sprintf("server = %q\n[host.%q]\n", to.URL(), to.URL())
	if to.CA != "" {
		text += fmt.Sprintf("ca = %q\n", to.CA)
	}
	dir := t.TempDir()
	folder := filepath.Join(dir, strings.Replace(to.Addr, ":", "_", 1)+"_")
	err := os.Mkdir(folder, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "hosts.toml"), []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// copySamples copies images into a registry that is not open to all.
func copySamples(t *testing.T, home *engines.Home, to *engines.Registry) {
	t.Helper()
	repo := newRepository(t, "app")
	putSamples(t, repo)
	flags := []string{"cp", "--from-plain-http"}
	if to.CA == "" {
		flags = append(flags, "--to-plain-http")
	} else {
		flags = append(flags, "--to-ca-file", to.CA)
	}
	for _, tag := range []string{"oci", "mixed"} {
		home.Run(t, "oras", append(flags, repo.ref(tag), to.Ref("app:"+tag))...)
	}
}

// TestVerifierIsPunctual has the verifier ask a registry that does not answer.
func TestVerifierIsPunctual(t *testing.T) {
	t.Parallel()
	repo := newRepository(t, "app")
	putSamples(t, repo)
	asked := make(chan struct{}, 100)
	slow := repository{proxy(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.UserAgent(), "containerd/") {
			forward(w, r)
			return
		}
		asked <- struct{}{}
		<-r.Context().Done()
	}), repo.name}
	g := startGuarded(t, "")
	deep := `{"match": "**", "for": "oci", "mode": "deep"}`
	const budget = `"budget": "1s"`
	within := func(t *testing.T, most time.Duration) {
		t.Helper()
		start := time.Now()
		t.Cleanup(func() {
			if took := time.Since(start); took > most {
				t.Errorf("it took %s", took)
			}
		})
	}
	t.Run("deny", func(t *testing.T) {
		within(t, 8*time.Second)
		g.obey(t, deep, budget)
		g.refuses(t, slow.ref("oci"), plainHTTP, "whether oci takes it was not found out within 1s, the policy's budget")
	})
	t.Run("allow", func(t *testing.T) {
		within(t, 8*time.Second)
		g.obey(t, deep, budget, `"onTimeout": "allow"`)
		g.allows(t, slow.ref("oci"))
		// What the root breaks is known all the same.
		g.refuses(t, slow.ref("docker"), plainHTTP, "not what oci takes: docker index")
	})
	t.Run("terminated", func(t *testing.T) {
		within(t, 8*time.Second)
		for len(asked) > 0 {
			<-asked
		}
		g.obey(t, deep, `"onTimeout": "allow"`)
		body, mediaType := repo.document(t, "oci")
		root := string(repo.digestOf(t, "oci"))
		out := invocation{
			program: filepath.Join(g.bin, "manifest-format-verifier"),
			args:    []string{"-name", slow.ref("oci"), "-digest", root, "-policy", g.policy},
			stdin:   strings.NewReader(fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, root, len(body))),
			started: func(p *os.Process) {
				<-asked
				if err := p.Signal(syscall.SIGTERM); err != nil {
					t.Error(err)
				}
			},
		}.run(t)
		if out.code != 1 {
			t.Errorf("it ended with %d", out.code)
		}
		says(t, out.stdout, "whether oci takes it is not known: the verifier was ended before it had looked")
	})
}
