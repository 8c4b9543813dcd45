// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// watcherProgram is the path of a manifest-format-watcher built from the work
// tree as it is.
var watcherProgram = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(product), "manifest-format-watcher")
	return path, buildPackage("..", "./plugins/watcher", path, os.Environ())
})

func watcherPath(t *testing.T) string {
	t.Helper()
	path, err := watcherProgram()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// rule is one of the watcher's.
type rule = map[string]any

// watcherConfig is a configuration for images of the shared registry.
func watcherConfig(namespaces []string, rules ...rule) map[string]any {
	return map[string]any{"namespaces": namespaces, "rules": rules}
}

// startWatcher starts a watcher that is ready.
func startWatcher(t *testing.T, c *engines.Containerd, config map[string]any, flags ...string) *engines.Watcher {
	t.Helper()
	w := engines.StartWatcher(t, engines.WatcherOptions{Program: watcherPath(t), Containerd: c, Config: config, Flags: flags})
	w.WaitReady(t, true)
	return w
}

// dockerShell pushes an image with a shell as Docker V2.2, for two platforms.
func dockerShell(t *testing.T, tag string) repository {
	t.Helper()
	repo := newRepository(t, "shell")
	buildkit.Build(t, engines.Build{
		Context: engines.Shell(t), Platforms: bothPlatforms,
		Output: engines.Push(repo.ref(tag), "oci-mediatypes=false", "compression=gzip", "force-compression=true"),
	})
	check(t, repo, tag, "docker")
	return repo
}

// in runs ctr in a namespace.
func in(t *testing.T, c *engines.Containerd, namespace string, args ...string) string {
	t.Helper()
	return c.Ctr(t, append([]string{"--namespace", namespace}, args...)...).Stdout
}

func pull(t *testing.T, c *engines.Containerd, namespace, ref string) {
	t.Helper()
	in(t, c, namespace, "images", "pull", "--plain-http", "--platform", "linux/amd64", ref)
}

// mediaTypeOf is that of an image's root, empty if there is no image.
func mediaTypeOf(t *testing.T, c *engines.Containerd, namespace, ref string) string {
	t.Helper()
	for line := range strings.Lines(in(t, c, namespace, "images", "ls")) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == ref {
			return fields[1]
		}
	}
	return ""
}

// waitForType waits until an image has a root of that media type.
func waitForType(t *testing.T, c *engines.Containerd, namespace, ref, mediaType string) {
	t.Helper()
	engines.WaitFor(t, ref+" to be "+mediaType, func() bool { return mediaTypeOf(t, c, namespace, ref) == mediaType })
}

// TestWatcher pulls a Docker image. What is made of it stays whole when the
// source and all that nothing leads to are deleted, runs, and is pushed.
func TestWatcher(t *testing.T) {
	t.Parallel()
	needRoot(t)
	repo := dockerShell(t, "1")
	for name, o := range map[string]engines.ContainerdOptions{"containerd": {}, "containerd 1.6": {V1: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			container := "watched-" + strings.ReplaceAll(name, " ", "-") // runc has all of a machine's in one place
			c := engines.StartContainerd(t, o)
			w := startWatcher(t, c, watcherConfig(nil, rule{"match": registry.Addr + "/**", "for": "oci", "to": "{{name}}-oci"}))
			pull(t, c, "default", repo.ref("1"))
			converted := repo.ref("1-oci")
			waitForType(t, c, "default", converted, ociIndex)
			c.Ctr(t, "images", "rm", "--sync", repo.ref("1")) // the collector runs
			if list := c.Ctr(t, "images", "check").Stdout; !strings.Contains(list, " complete (") || strings.Contains(list, "incomplete") {
				t.Errorf("of the image there is\n%s", list)
			}
			if got := c.Ctr(t, "run", "--rm", converted, container, "echo", "it runs").Stdout; got != "it runs\n" {
				t.Errorf("a container printed %q", got)
			}
			back := newRepository(t, "back")
			c.Ctr(t, "images", "push", "--plain-http", back.ref("oci"), converted)
			if got := check(t, back, "oci", "oci"); len(got.images) != 1 {
				t.Errorf("pushed are images for %v", got.images)
			}
			expectNoLease(t, c, "default")
			// The result matches the rule too, and is no source.
			if n := w.Metric(t, "conversions_total"); n != 1 {
				t.Errorf("%v conversions are counted", n)
			}
			w.Stop(t)
			if code := w.ExitCode(); code != 0 {
				t.Errorf("told to end, the watcher ends with %d:\n%s", code, w.Log())
			}
		})
	}
}

// TestWatcherRules asks for the first rule that is for an image, in the
// namespaces it is for, of a containerd that is started again in between.
func TestWatcherRules(t *testing.T) {
	t.Parallel()
	needRoot(t)
	repo := newRepository(t, "app")
	for _, tag := range []string{"skip", "place", "other"} {
		bake(t, repo, tag, scratch, nil)
	}
	c := engines.StartContainerd(t, engines.ContainerdOptions{})
	pull(t, c, "one", repo.ref("other")) // before the watcher comes
	bake(t, repo, "lossy", scratch, nil, annotations...)
	pull(t, c, "lossy", repo.ref("lossy"))
	w := startWatcher(t, c, watcherConfig([]string{"one", "two", "lossy"},
		rule{"match": "**:skip", "skip": true},
		rule{"match": "**:lossy", "for": "docker", "to": "in-place", "onLoss": "fail"},
		rule{"match": "**:place", "for": "docker", "to": "in-place", "namespaces": []string{"one"}},
		rule{"match": registry.Addr + "/**", "for": "docker", "to": "converted.example.com/{{path}}:{{tag}}"},
	))
	made := func(tag string) string { return "converted.example.com/" + repo.name + ":" + tag }
	if got := mediaTypeOf(t, c, "one", made("other")); got != dockerList {
		t.Errorf("what was there already is %q now that the watcher is ready", got)
	}
	c.Restart(t)
	engines.WaitFor(t, "the watcher to have heard of it", func() bool { return strings.Contains(w.Log(), "connected to containerd") })
	w.WaitReady(t, true)
	for _, namespace := range []string{"one", "two", "three"} {
		for _, tag := range []string{"skip", "place", "other"} {
			pull(t, c, namespace, repo.ref(tag))
		}
	}
	waitForType(t, c, "one", repo.ref("place"), dockerList)
	waitForType(t, c, "two", made("place"), dockerList)
	waitForType(t, c, "two", made("other"), dockerList)
	for namespace, want := range map[string][]string{
		"one":   {repo.ref("other"), repo.ref("place"), repo.ref("skip"), made("other")},
		"two":   {repo.ref("other"), repo.ref("place"), repo.ref("skip"), made("other"), made("place")},
		"three": {repo.ref("other"), repo.ref("place"), repo.ref("skip")},
	} {
		if got := strings.Fields(in(t, c, namespace, "images", "ls", "--quiet")); !slices.Equal(got, want) {
			t.Errorf("in %s there are %q, want %q", namespace, got, want)
		}
		if got := mediaTypeOf(t, c, namespace, repo.ref("other")); got != ociIndex {
			t.Errorf("in %s the source is %s", namespace, got)
		}
	}
	if status, _ := w.Get(t, "/healthz"); status != 200 || w.Metric(t, "conversions_total", `namespace="three"`) != 0 {
		t.Errorf("it answers %d, and counts conversions where it does not watch", status)
	}

	// What cannot be converted is said once, also when it is looked at once more.
	if n := w.Metric(t, "conversion_failures_total"); n != 1 || w.Metric(t, "conversion_failures_total", `class="lossy"`) != 1 {
		t.Errorf("%v failures are counted", n)
	}
	if got := mediaTypeOf(t, c, "lossy", repo.ref("lossy")); got != ociIndex {
		t.Errorf("what would have lost something is %q", got)
	}

	t.Run("once", func(t *testing.T) {
		once := func(to string) (int, string) {
			config := engines.WatcherConfig(t, watcherConfig([]string{"three"}, rule{"match": "**:skip", "for": "docker", "to": to}))
			cmd := exec.CommandContext(t.Context(), watcherPath(t), "--address", c.Address, "--config", config, "--once")
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState == nil {
				t.Fatal(err)
			}
			return cmd.ProcessState.ExitCode(), string(out)
		}
		for range 2 { // the second time, nothing is left to do
			if code, out := once("{{name}}-once"); code != 0 {
				t.Errorf("it ends with %d:\n%s", code, out)
			}
		}
		if got := mediaTypeOf(t, c, "three", repo.ref("skip-once")); got != dockerList {
			t.Errorf("converted once it is %q", got)
		}
		in(t, c, "three", "images", "tag", repo.ref("place"), repo.ref("skip-taken"))
		if code, out := once("{{name}}-taken"); code != 1 || !strings.Contains(out, "class=name_taken") {
			t.Errorf("with a result whose name somebody has, it ends with %d:\n%s", code, out)
		}
		if got := mediaTypeOf(t, c, "three", repo.ref("skip-taken")); got != ociIndex {
			t.Errorf("somebody's image is %q now", got)
		}
		expectNoLease(t, c, "three")
	})
}

// TestWatcherKubernetes has a kubelet pull, in place and beside, and looks at
// what it is told then.
func TestWatcherKubernetes(t *testing.T) {
	t.Parallel()
	needRoot(t)
	repo := dockerShell(t, "beside")
	body, mediaType := repo.document(t, "beside")
	repo.put(t, "place", mediaType, body)
	repo.put(t, "fence", mediaType, body)
	c := engines.StartContainerd(t, engines.ContainerdOptions{CRI: true})
	w := startWatcher(t, c, watcherConfig([]string{engines.CRINamespace},
		rule{"match": "**:place", "for": "oci", "to": "in-place"},
		rule{"match": registry.Addr + "/**", "for": "oci", "to": "{{name}}-oci"},
	), "--log-format", "json")
	for _, tag := range []string{"beside", "place"} {
		if err := c.PullCRI(t, repo.ref(tag)); err != nil {
			t.Fatal(err)
		}
	}
	waitForType(t, c, engines.CRINamespace, repo.ref("beside-oci"), ociIndex)
	waitForType(t, c, engines.CRINamespace, repo.ref("place"), ociIndex)
	// Whatever would go round in a circle does so before this one is done.
	if err := c.PullCRI(t, repo.ref("fence")); err != nil {
		t.Fatal(err)
	}
	waitForType(t, c, engines.CRINamespace, repo.ref("fence-oci"), ociIndex)
	if n := w.Metric(t, "conversions_total"); n != 3 {
		t.Errorf("%v conversions are counted:\n%s", n, w.Log())
	}
	// Kubernetes knows the image by its config, which no conversion changes. The
	// digest that it shows is the one that it pulled.
	pulled := repo.name + "@" + repo.digestOf(t, "beside").String()
	id := c.ImageCRI(t, repo.ref("beside")).GetId()
	for _, tag := range []string{"beside", "beside-oci", "place"} {
		image := c.ImageCRI(t, repo.ref(tag))
		engines.WaitFor(t, "Kubernetes to know "+tag, func() bool {
			image = c.ImageCRI(t, repo.ref(tag))
			return image != nil
		})
		if image.GetId() != id || !slices.Contains(image.GetRepoTags(), repo.ref(tag)) {
			t.Errorf("%s is %v, want the tag and the id %s", tag, image, id)
		}
		if digests := image.GetRepoDigests(); len(digests) != 1 || !strings.HasSuffix(digests[0], pulled) {
			t.Errorf("%s has the digests %q, want %s", tag, digests, pulled)
		}
	}
	// A kubelet pulls again what is there already: the name means what is in the
	// registry, and is converted once more.
	if err := c.PullCRI(t, repo.ref("place")); err != nil {
		t.Fatal(err)
	}
	engines.WaitFor(t, "it to be converted once more", func() bool { return w.Metric(t, "conversions_total", `result="converted"`) == 4 })
	waitForType(t, c, engines.CRINamespace, repo.ref("place"), ociIndex)
	expectNoLease(t, c, engines.CRINamespace)
	if !c.CRIReady(t) {
		t.Error("the runtime is not ready any more")
	}
}

// TestWatcherImage makes the image that the Kubernetes manifest asks for, and
// runs it as that does: with containerd's folder, which it may not write to.
func TestWatcherImage(t *testing.T) {
	t.Parallel()
	needRoot(t)
	const deploy = "../plugins/watcher/deploy"
	repo := dockerShell(t, "1")
	own := newRepository(t, "watcher")
	files := fstest.MapFS{}
	for name, path := range map[string]string{"Dockerfile": filepath.Join(deploy, "Dockerfile"), "manifest-format-watcher": watcherPath(t)} {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: body, Mode: 0o755}
	}
	buildkit.Build(t, engines.Build{Context: files, Output: engines.Push(own.ref("1"))})
	c := engines.StartContainerd(t, engines.ContainerdOptions{})
	for _, ref := range []string{own.ref("1"), repo.ref("1")} {
		pull(t, c, "default", ref)
	}
	config := filepath.Dir(engines.WatcherConfig(t, watcherConfig(nil, rule{"match": "**/shell:1", "for": "oci", "to": "{{name}}-oci"})))
	out := c.Ctr(t, "run", "--rm",
		"--mount", "type=bind,src="+filepath.Dir(c.Address)+",dst=/run/containerd,options=rbind:ro",
		"--mount", "type=bind,src="+config+",dst=/etc/manifest-format,options=rbind:ro",
		own.ref("1"), "watcher-image", "/manifest-format-watcher", "--once")
	if got := mediaTypeOf(t, c, "default", repo.ref("1-oci")); got != ociIndex {
		t.Errorf("converted it is %q, and the watcher said\n%s%s", got, out.Stdout, out.Stderr)
	}
}
