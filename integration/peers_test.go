// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// daemons are engines that pull images. They need root: nil is none of them,
// which CI does not accept.
type daemons struct {
	containerd *engines.Containerd
	docker     map[string]*engines.Dockerd
}

func startDaemons(t *testing.T) *daemons {
	t.Helper()
	if os.Geteuid() != 0 && os.Getenv("CI") == "" {
		t.Log("no root, so no containerd, no podman and no Docker Engine reads the results")
		return nil
	}
	return &daemons{
		engines.StartContainerd(t, engines.ContainerdOptions{}),
		map[string]*engines.Dockerd{
			"29":       engines.StartDockerd(t, engines.DockerdOptions{}),
			"29 graph": engines.StartDockerd(t, engines.DockerdOptions{GraphStore: true}),
			"20.10":    engines.StartDockerd(t, engines.DockerdOptions{V20: true}),
		},
	}
}

// refuse expects that Docker Engine 20.10 cannot pull an image.
func (d *daemons) refuse(t *testing.T, r repository, tag string) {
	t.Helper()
	if d == nil {
		return
	}
	home := engines.NewHome(t, registry.Addr)
	out, err := home.Try(t, engines.DockerCLI(t), "--host", d.docker["20.10"].Host, "pull", r.ref(tag))
	if err == nil {
		t.Errorf("Docker Engine 20.10 pulls %s, which shows nothing about its conversion:\n%s", tag, out.Stdout)
	}
}

// expectPeersRead has every client and engine read an image whole.
func expectPeersRead(t *testing.T, d *daemons, f fixture, r repository, tag string) {
	t.Helper()
	home := engines.NewHome(t, registry.Addr)
	ref := r.ref(tag)
	body, _ := r.document(t, tag)
	want := r.digestOf(t, tag).String()

	for _, raw := range [][]string{
		{"skopeo", "inspect", "--raw", "docker://" + ref},
		{"regctl", "manifest", "get", "--format", "raw-body", ref},
		{"oras", "manifest", "fetch", "--plain-http", ref},
	} {
		if got := home.Run(t, raw[0], raw[1:]...).Stdout; got != string(body) {
			t.Errorf("%s reads\n%s\nwhere there is\n%s", raw[0], got, body)
		}
	}
	for _, resolve := range [][]string{
		{"crane", "digest", ref},
		{"regctl", "image", "digest", ref},
		{"oras", "resolve", "--plain-http", ref},
	} {
		if got := strings.TrimSpace(home.Run(t, resolve[0], resolve[1:]...).Stdout); got != want {
			t.Errorf("%s says %s is %s, not %s", resolve[0], ref, got, want)
		}
	}
	home.Run(t, "skopeo", "copy", "--quiet", "--all", "docker://"+ref, "dir:"+filepath.Join(home.Dir, "skopeo"))
	home.Run(t, "oras", "copy", "--recursive", "--from-plain-http", "--to-oci-layout", ref, filepath.Join(home.Dir, "oras")+":"+tag)
	// crane fetches foreign layers too, but from no private address.
	if !f.foreign {
		home.Run(t, "crane", "validate", "--remote", ref)
	}
	if d != nil {
		d.pull(t, home, f, ref)
	}
}

// pull pulls an image into every engine, and leaves it in none.
func (d *daemons) pull(t *testing.T, home *engines.Home, f fixture, ref string) {
	t.Helper()
	d.containerd.Ctr(t, "images", "pull", "--plain-http", "--all-platforms", ref)
	if got := d.containerd.Ctr(t, "images", "check", "name=="+ref).Stdout; !strings.Contains(got, " complete (") {
		t.Errorf("containerd holds less than all of %s:\n%s", ref, got)
	}
	d.containerd.Ctr(t, "images", "rm", "--sync", ref)

	home.Run(t, "podman", "pull", "--quiet", ref)
	expectEnv(t, home.Run(t, "podman", "image", "inspect", ref).Stdout)
	home.Run(t, "podman", "rmi", ref)

	for name, engine := range d.docker {
		// Docker's own store fetches foreign layers on Windows alone.
		if f.foreign && name != "29" {
			continue
		}
		home.Docker(t, engine, "pull", "--quiet", ref)
		expectEnv(t, home.Docker(t, engine, "image", "inspect", ref).Stdout)
		home.Docker(t, engine, "rmi", ref)
	}
}

// expectEnv finds the environment that every fixture sets.
func expectEnv(t *testing.T, inspected string) {
	t.Helper()
	if !strings.Contains(inspected, `"A=b"`) {
		t.Errorf("the image's config lacks its environment:\n%s", inspected)
	}
}
