// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// pushers are the engines that images are pushed from, by what runs the images
// that they pushed.
var pushers = map[string]func(t *testing.T) *engines.Dockerd{
	"docker": func(t *testing.T) *engines.Dockerd {
		t.Helper()
		return engines.StartDockerd(t, engines.DockerdOptions{})
	},
	"docker, graph": func(t *testing.T) *engines.Dockerd {
		t.Helper()
		return engines.StartDockerd(t, engines.DockerdOptions{GraphStore: true})
	},
	"docker 20.10": func(t *testing.T) *engines.Dockerd {
		t.Helper()
		return engines.StartDockerd(t, engines.DockerdOptions{V20: true})
	},
	"podman": func(t *testing.T) *engines.Dockerd {
		t.Helper()
		return engines.StartPodman(t, registry.Addr)
	},
}

// containerdStore is the one of them that keeps manifests.
const containerdStore = "docker"

// speaking pushes an image of linux/amd64 that says what it is, and returns its
// digest.
func speaking(t *testing.T, r repository, tag string, attributes ...string) digest.Digest {
	t.Helper()
	buildkit.Build(t, engines.Build{
		Context: fstest.MapFS{
			"Dockerfile": {Data: []byte("FROM " + shell(t, "gzip") + "\nCOPY said /said\nCMD [\"cat\", \"/said\"]\n")},
			"said":       {Data: []byte("this is " + r.name + "\n")},
		},
		Platforms: []string{"linux/amd64"},
		Output:    engines.Push(r.ref(tag), append([]string{"oci-mediatypes=true"}, attributes...)...),
	})
	return r.digestOf(t, tag)
}

// engineHome is a home whose engine is the one given.
func engineHome(t *testing.T, host string) *engines.Home {
	t.Helper()
	home := engines.NewHome(t, registry.Addr)
	home.Env = append(home.Env, "DOCKER_HOST="+host)
	return home
}

// push pushes, and returns the digest of the result.
func push(t *testing.T, home *engines.Home, args ...string) (digest.Digest, outcome) {
	t.Helper()
	out := invocation{home: home, args: append([]string{"push"}, args...)}.must(t)
	_, text, _ := strings.Cut(strings.TrimSuffix(out.stdout, "\n"), "@")
	d := digest.Digest(text)
	if err := d.Validate(); err != nil {
		t.Fatalf("push printed %q: %v", out.stdout, err)
	}
	return d, out
}

// TestPush pushes an image in both formats from every engine, twice, and has it
// run where there is nothing of it yet.
func TestPush(t *testing.T) {
	t.Parallel()
	needRoot(t)
	from := newRepository(t, "from")
	was := speaking(t, from, "1")
	var mu sync.Mutex
	made := map[string]map[digest.Digest]string{"oci": {}, "docker": {}}
	t.Run("engines", func(t *testing.T) {
		for name, start := range pushers {
			t.Run(strings.ReplaceAll(name, ", ", "-"), func(t *testing.T) {
				t.Parallel()
				engine := start(t)
				home := engineHome(t, engine.Host)
				home.Docker(t, engine, "pull", "--quiet", from.ref("1"))
				for _, format := range []string{"oci", "docker"} {
					to := newRepository(t, format)
					d, out := push(t, home, "--for", format, from.ref("1"), to.ref(format))
					again, _ := push(t, home, "--for", format, from.ref("1"), to.ref(format+"-again"))
					if got := check(t, to, format, format).root; got != d || again != d {
						t.Errorf("%s: pushed %s, then %s, and said %s", format, got, again, d)
					}
					expectDisplay(t, to, format, d, out.stderr)
					if got, want := engines.Runtimes[name](t, to.ref(format)), "this is "+from.name+"\n"; got != want {
						t.Errorf("%s: a container printed %q, want %q", format, got, want)
					}
					if name == containerdStore {
						continue
					}
					mu.Lock()
					made[format][d] = name
					mu.Unlock()
				}
				if name == containerdStore {
					expectKept(t, home, engine, from, newRepository(t, "oci"), was)
				}
			})
		}
	})
	// Layers are compressed anew on each machine, and are the same.
	for format, by := range made {
		if len(by) != 1 {
			t.Errorf("the engines' stores made different %s images: %v", format, by)
		}
	}
}

// expectDisplay looks at what is shown of a push.
func expectDisplay(t *testing.T, to repository, tag string, d digest.Digest, shown string) {
	t.Helper()
	body, _ := to.document(t, tag)
	lines := strings.Split(strings.TrimSuffix(shown, "\n"), "\n")
	first := "The push refers to repository [" + strings.TrimSuffix(to.ref(""), ":") + "]"
	last := tag + ": digest: " + d.String() + " size: " + strconv.Itoa(len(body))
	if lines[0] != first || lines[len(lines)-1] != last {
		t.Errorf("shown is\n%swant %q first, and last %q", shown, first, last)
	}
	layers := objects(decode(t, body)["layers"])
	for _, layer := range layers {
		// Docker's own store has none that is.
		if mediaType := layer["mediaType"].(string); !strings.HasSuffix(mediaType, "gzip") {
			t.Errorf("%s: a layer is not compressed: %s", tag, mediaType)
		}
	}
	if len(lines) != len(layers)+2 || strings.Count(shown, ": Pushed\n") != len(layers) {
		t.Errorf("of %d layers is shown\n%s", len(layers), shown)
	}
}

// expectKept pushes an image as the engine has it: so it was in the registry,
// and so docker pushes it.
func expectKept(t *testing.T, home *engines.Home, engine *engines.Dockerd, from, to repository, was digest.Digest) {
	t.Helper()
	if oci := to.digestOf(t, "oci"); oci != was {
		t.Errorf("pulled is %s, pushed %s", was, oci)
	}
	asIs, _ := push(t, home, from.ref("1"), to.ref("as-is"))
	home.Docker(t, engine, "tag", from.ref("1"), to.ref("by-docker"))
	home.Docker(t, engine, "push", "--quiet", to.ref("by-docker"))
	if by := to.digestOf(t, "by-docker"); asIs != was || by != was {
		t.Errorf("pulled is %s, pushed as it is %s, by docker %s", was, asIs, by)
	}
}
