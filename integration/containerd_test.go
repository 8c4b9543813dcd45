// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// inContainerd runs the product with a containerd at hand.
func inContainerd(c *engines.Containerd, args ...string) invocation {
	return invocation{args: args, env: []string{"CONTAINERD_ADDRESS=" + c.Address}}
}

// expectNoLease fails the test if a namespace of a containerd has a lease left.
func expectNoLease(t *testing.T, c *engines.Containerd, namespace string) {
	t.Helper()
	if left := leasesOf(t, c, namespace); left != "" {
		t.Errorf("leases are left: %s", left)
	}
}

func leasesOf(t *testing.T, c *engines.Containerd, namespace string) string {
	t.Helper()
	return strings.TrimSpace(c.Ctr(t, "--namespace", namespace, "leases", "ls", "--quiet").Stdout)
}

// TestContainerdPlace converts from a registry to a containerd, inside it, and
// from it, and takes away whatever it was made of on the way.
func TestContainerdPlace(t *testing.T) {
	t.Parallel()
	needRoot(t)
	ref := shell(t, "gzip")
	c := engines.StartContainerd(t, engines.ContainerdOptions{})
	docker := ref + "-docker"
	place := func(name string) string { return "containerd://other/" + name }

	inContainerd(c, "convert", "--for", "oci", ref, place(ref)).must(t)
	inContainerd(c, "convert", "--for", "docker", place(ref), place(docker)).must(t)
	expectNoLease(t, c, "other")
	c.Ctr(t, "--namespace", "other", "images", "rm", "--sync", ref) // the collector runs
	if got := c.Ctr(t, "--namespace", "other", "run", "--rm", docker, "placed", "echo", "it runs").Stdout; got != "it runs\n" {
		t.Errorf("a container printed %q", got)
	}
	back := newRepository(t, "back")
	pushed := inContainerd(c, "convert", "--for", "docker", "--progress", "plain", place(docker), back.ref("docker")).must(t)
	got := check(t, back, "docker", "docker")
	if len(got.images) != 2 {
		t.Errorf("pushed are images for %v", got.images)
	}
	if !strings.Contains(pushed.stdout, got.root.String()) {
		t.Errorf("the image is %s, and what was printed\n%s", got.root, pushed.stdout)
	}
	c.Ctr(t, "--namespace", "other", "images", "push", "--plain-http", back.ref("ctr"), docker)
	if ctr := check(t, back, "ctr", "docker"); ctr.root != got.root {
		t.Errorf("ctr pushes %s, and we %s", ctr.root, got.root)
	}
	// In place: the name is moved.
	inContainerd(c, "convert", "--for", "oci", place(docker), place(docker)).must(t)
	if list := c.Ctr(t, "--namespace", "other", "images", "ls").Stdout; !strings.Contains(list, "application/vnd.oci.image.index.v1+json") {
		t.Errorf("it holds\n%s", list)
	}
	none := inContainerd(c, "inspect", "containerd://app").run(t)
	if none.code != 1 || !strings.Contains(none.stderr, "containerd://docker.io/library/app:latest: no such image in containerd, in the namespace default") {
		t.Errorf("of an image that is not there: %d\n%s", none.code, none.stderr)
	}
}

// TestContainerdPart works with images of which one platform was pulled: by
// ctr, which leaves the manifests of the others, and by Kubernetes, which does
// not.
func TestContainerdPart(t *testing.T) {
	t.Parallel()
	needRoot(t)
	repo := newRepository(t, "app")
	bake(t, repo, "oci", scratch, []string{"attest:provenance=mode=max"})
	c := engines.StartContainerd(t, engines.ContainerdOptions{CRI: true})
	c.Ctr(t, "images", "pull", "--plain-http", "--platform", "linux/amd64", repo.ref("oci"))
	if err := c.PullCRI(t, repo.ref("oci")); err != nil {
		t.Fatal(err)
	}
	for namespace, lack := range map[string]string{"default": "linux/arm64 lacks 1 blob", engines.CRINamespace: "linux/arm64 lacks its manifest"} {
		t.Run(namespace, func(t *testing.T) {
			place := "containerd://" + namespace + "/" + repo.ref("oci")
			line := "of the image, only linux/amd64 is all there, as no more was pulled: " + lack
			for _, destination := range []string{place + "-docker", newRepository(t, "pushed").ref("docker")} {
				out := inContainerd(c, "convert", "--for", "docker", place, destination).run(t)
				if out.code != 1 || strings.Count(out.stderr, "\n") != 1 || !strings.Contains(out.stderr, line) {
					t.Errorf("of all of it: %d\n%s", out.code, out.stderr)
				}
			}
			pushed := newRepository(t, "pushed-one")
			out := inContainerd(c, "convert", "--for", "docker", "--platform", "linux/amd64", place, pushed.ref("docker")).must(t)
			if !strings.Contains(out.stderr, "attestation") {
				t.Errorf("nothing is said of the provenance that was not pulled:\n%s", out.stderr)
			}
			if got := check(t, pushed, "docker", "docker"); len(got.images) != 1 {
				t.Errorf("pushed are images for %v", got.images)
			}
			seen := inContainerd(c, "inspect", place).must(t)
			if !strings.Contains(seen.stdout, "(not here)") || !strings.Contains(seen.stderr, line) {
				t.Errorf("inspect shows\n%s%s", seen.stdout, seen.stderr)
			}
			if out := inContainerd(c, "check", "--for", "docker", place).run(t); out.code != 2 {
				t.Errorf("check ends with %d\n%s%s", out.code, out.stdout, out.stderr)
			}
			expectNoLease(t, c, namespace)
		})
	}
}

// TestContainerdInterrupt presses Ctrl-C in the middle of a layer that goes
// into a containerd, and kills the next one there.
func TestContainerdInterrupt(t *testing.T) {
	t.Parallel()
	needRoot(t)
	repo := newRepository(t, "app")
	bakeRandom(t, repo, "oci", bigLayer)
	c := engines.StartContainerd(t, engines.ContainerdOptions{})
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		slow := newStall(t)
		run := inContainerd(c, "convert", "--for", "docker", repository{slow.addr, repo.name}.ref("oci"), "containerd://ghcr.io/me/app:1")
		run.started = func(p *os.Process) {
			slow.wait(t)
			if leasesOf(t, c, "default") == "" {
				t.Error("nothing holds what is written")
			}
			if err := p.Signal(signal); err != nil {
				t.Error(err)
			}
		}
		out := run.run(t)
		if killed := signal == syscall.SIGKILL; out.code != 130 && !killed || out.code != -1 && killed {
			t.Errorf("it ended with %d\n%s", out.code, out.stderr)
		}
		if list := c.Ctr(t, "images", "ls", "--quiet").Stdout; list != "" {
			t.Errorf("there are images: %s", list)
		}
		if signal == syscall.SIGINT {
			expectNoLease(t, c, "default")
		}
	}
	// What the one that was killed left is in nobody's way.
	inContainerd(c, "convert", "--for", "docker", repo.ref("oci"), "containerd://ghcr.io/me/app:1").must(t)
	inContainerd(c, "inspect", "containerd://ghcr.io/me/app:1").must(t)
}
