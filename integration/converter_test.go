// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// startConverting starts a containerd that is built with our converter, with
// Kubernetes' interface.
func startConverting(t *testing.T) *engines.Containerd {
	t.Helper()
	return engines.StartContainerd(t, engines.ContainerdOptions{Path: engines.Binary(t, "containerd-manifestformat"), CRI: true})
}

// via runs convert by a containerd itself.
func via(c *engines.Containerd, profile, source, destination string, flags ...string) invocation {
	return inContainerd(c, append([]string{"convert", "--for", profile, "--via", "containerd", source, destination}, flags...)...)
}

// TestConverter converts there and back inside a containerd, with whatever it
// was made of taken away on the way.
func TestConverter(t *testing.T) {
	t.Parallel()
	needRoot(t)
	ref := shell(t, "zstd")
	c := startConverting(t)
	if list := c.Ctr(t, "plugins", "ls").Stdout; !hasPlugin(list, "io.containerd.grpc.v1", "manifest-format") || !hasPlugin(list, "io.containerd.grpc.v1", "cri") {
		t.Errorf("of its plugins not all are ok:\n%s", list)
	}
	if err := c.PullCRI(t, ref); err != nil {
		t.Errorf("Kubernetes cannot pull: %v", err)
	}
	place := func(name string) string { return "containerd://other/" + name }
	inContainerd(c, "convert", "--for", "oci", ref, place(ref)).must(t)

	there := via(c, "docker", place(ref), place(ref+"-docker"), "--progress", "plain").must(t)
	for _, want := range []string{"recompress /manifests/0/layers/0\n", "Changed:\n", " done\n"} {
		if !strings.Contains(there.stderr, want) {
			t.Errorf("%q is not in what was printed:\n%s", want, there.stderr)
		}
	}
	inContainerd(c, "convert", "--for", "docker", place(ref), place(ref+"-here")).must(t)
	docker := rootIn(t, c, "other", ref+"-docker")
	if here := rootIn(t, c, "other", ref+"-here"); here != docker || !strings.Contains(there.stdout, docker.String()) {
		t.Errorf("converted from here it is %s, by containerd %s, which printed\n%s", here, docker, there.stdout)
	}
	c.Ctr(t, "--namespace", "other", "images", "rm", "--sync", ref, ref+"-here") // the collector runs
	if got := c.Ctr(t, "--namespace", "other", "run", "--rm", ref+"-docker", "one", "echo", "it runs").Stdout; got != "it runs\n" {
		t.Errorf("a container printed %q", got)
	}
	// In place, and back: the name is moved.
	for _, profile := range []string{"oci", "docker"} {
		via(c, profile, place(ref+"-docker"), place(ref+"-docker")).must(t)
	}
	if back := rootIn(t, c, "other", ref+"-docker"); back != docker {
		t.Errorf("there and back it is %s, and was %s", back, docker)
	}
	// By a digest that is no name.
	via(c, "oci", place(ref+"@"+docker.String()), place(ref+"-oci")).must(t)
	expectNoLease(t, c, "other")
	if !c.CRIReady(t) {
		t.Error("Kubernetes' interface is not ready")
	}
}

// hasPlugin looks for a plugin in what `ctr plugins ls` prints, and that it is ok.
func hasPlugin(list, typ, id string) bool {
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) > 3 && f[0] == typ && f[1] == id && f[len(f)-1] == "ok" {
			return true
		}
	}
	return false
}

// TestConverterPrints compares what is printed of the work of a containerd with
// what is printed of one's own.
func TestConverterPrints(t *testing.T) {
	t.Parallel()
	needRoot(t)
	rich, small := newRepository(t, "rich"), newRepository(t, "app")
	makeRich(t, rich)
	bake(t, small, "oci", scratch, []string{"attest:provenance=mode=max"}, annotations...)
	c := startConverting(t)
	for _, r := range []repository{rich, small} {
		inContainerd(c, "convert", "--for", "oci", r.ref("oci"), "containerd://"+r.ref("oci")).must(t)
	}
	// One platform of an image, as Kubernetes pulls it.
	if err := c.PullCRI(t, small.ref("oci")); err != nil {
		t.Fatal(err)
	}
	source := "containerd://" + small.ref("oci")
	for name, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"losses":          {args: []string{"--for=docker", source}, says: "Lost:"},
		"rich":            {args: []string{"--for=docker", "containerd://" + rich.ref("oci")}, says: "recompressed zstd to gzip"},
		"json":            {args: []string{"--for=docker", "--format=json", source}, says: `"losses":`},
		"template":        {args: []string{"--for=docker", "--format={{.Root.Digest}} {{len .Changes}}", source}, says: "sha256:"},
		"quiet":           {args: []string{"--for=docker", "-q", source}, says: "Lost:"},
		"labels":          {args: []string{"--for=docker", "--annotations=labels", source}, says: "Changed:"},
		"one platform":    {args: []string{"--for=aws-lambda", "--platform=linux/arm64", "--attestations=drop", source}, says: "the result has no index"},
		"zstd":            {args: []string{"--for=oci", "--compression=zstd", "--verify", source}, says: "recompressed gzip to zstd"},
		"unchanged":       {args: []string{"--for=oci", source}, says: "Unchanged:"},
		"lossless":        {args: []string{"--for=docker", "--on-loss=fail", source}, code: 1, says: "something would be lost"},
		"lossless, json":  {args: []string{"--for=docker", "--on-loss=fail", "--format=json", source}, code: 1, says: `"losses":`},
		"no such image":   {args: []string{"--for=docker", "containerd://ghcr.io/me/none:1"}, code: 1, says: "no such image"},
		"no platform":     {args: []string{"--for=docker", "--platform=linux/s390x", source}, code: 1, says: "linux/s390x"},
		"no index":        {args: []string{"--for=aws-lambda", source}, code: 1, says: "linux/amd64"},
		"a part":          {args: []string{"--for=docker", "containerd://k8s.io/" + small.ref("oci")}, code: 1, says: "only linux/amd64 is all there"},
		"the part":        {args: []string{"--for=docker", "--platform=linux/amd64", "containerd://k8s.io/" + small.ref("oci")}, says: "Lost:"},
		"referrers":       {args: []string{"--for=docker", "--attestations=referrers", source}, code: 1, says: "holds no referrers"},
		"an own profile":  {args: []string{"--for=own.json", source}, says: "Changed:"},
		"nothing to read": {args: []string{"--for=docker", "--containerd=/none.sock", source}, code: 1, says: "cannot reach containerd"},
	} {
		t.Run(name, func(t *testing.T) {
			home := engines.NewHome(t, registry.Addr)
			if err := os.WriteFile(home.Dir+"/own.json", []byte(`{"name":"own","formats":["docker"],"index":"allowed","details":["layer-urls"]}`), 0o600); err != nil {
				t.Fatal(err)
			}
			destination := test.args[len(test.args)-1] + "-" + strings.NewReplacer(" ", "-", ",", "").Replace(name)
			args := append([]string{"convert", "--progress=quiet"}, test.args...)
			if slices.Contains(args, "-q") {
				args = slices.Delete(args, 1, 2)
			}
			args = append(args, destination)
			own, theirs := inContainerd(c, args...), inContainerd(c, append(args, "--via=containerd")...)
			own.home, theirs.home = home, home
			want, got := own.run(t), theirs.run(t)
			if got != want {
				t.Errorf("by containerd it ends with %d\n%s%s\nfrom here with %d\n%s%s", got.code, got.stdout, got.stderr, want.code, want.stdout, want.stderr)
			}
			if got.code != test.code || !strings.Contains(got.stdout+got.stderr, test.says) {
				t.Errorf("it ends with %d, and says no %q\n%s%s", got.code, test.says, got.stdout, got.stderr)
			}
		})
	}
	expectNoLease(t, c, "default")
	expectNoLease(t, c, engines.CRINamespace)
}

// TestConverterStops has a containerd called off in the middle of a layer, and
// then killed there.
func TestConverterStops(t *testing.T) {
	t.Parallel()
	needRoot(t)
	repo := newRepository(t, "app")
	bakeRandom(t, repo, "zstd", 8*bigLayer, "compression=zstd", "force-compression=true")
	c := startConverting(t)
	place := "containerd://" + repo.ref("zstd")
	inContainerd(c, "convert", "--for", "oci", repo.ref("zstd"), place).must(t)
	signal := func(pid int, sig syscall.Signal) {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Error(err)
		}
	}
	// stopped is a conversion of which the daemon stands still in the middle.
	stopped := func(then func(client int)) outcome {
		run := via(c, "docker", place, place+"-docker")
		run.started = func(p *os.Process) {
			engines.WaitFor(t, "a lease", func() bool { return leasesOf(t, c, "default") != "" })
			signal(c.Pid(), syscall.SIGSTOP)
			then(p.Pid)
		}
		return run.run(t)
	}
	expectNothing := func() {
		t.Helper()
		engines.WaitFor(t, "no lease", func() bool { return leasesOf(t, c, "default") == "" })
		if got := c.Ctr(t, "images", "ls", "--quiet").Stdout; got != repo.ref("zstd")+"\n" {
			t.Errorf("there are the images\n%s", got)
		}
	}
	out := stopped(func(client int) { signal(client, syscall.SIGINT) })
	if out.code != 130 || out.stderr != "manifest-format: interrupted\n" {
		t.Errorf("it ended with %d\n%s", out.code, out.stderr)
	}
	signal(c.Pid(), syscall.SIGCONT)
	expectNothing()

	out = stopped(func(int) { signal(c.Pid(), syscall.SIGKILL) })
	if out.code != 1 || strings.Count(out.stderr, "\n") != 1 || !strings.Contains(out.stderr, place+": containerd ended in the middle: ") {
		t.Errorf("it ended with %d\n%s", out.code, out.stderr)
	}
	c.Restart(t)
	expectNothing()
	via(c, "docker", place, place+"-docker").must(t)
}

// TestConverterAtOnce has one containerd asked for the same twice at once, and
// for something else beside it.
func TestConverterAtOnce(t *testing.T) {
	t.Parallel()
	needRoot(t)
	ref := shell(t, "zstd")
	c := startConverting(t)
	place := "containerd://" + ref
	inContainerd(c, "convert", "--for", "oci", ref, place).must(t)
	outs := make([]outcome, 4)
	var runs sync.WaitGroup
	for i, destination := range []string{"-docker", "-docker", "-other", "-another"} {
		runs.Go(func() { outs[i] = via(c, "docker", place, place+destination, "--format", "{{.Root.Digest}}").run(t) })
	}
	runs.Wait()
	for _, out := range outs {
		if out.code != 0 || out.stdout != outs[0].stdout || out.stdout == "" {
			t.Errorf("it ended with %d\n%s%s", out.code, out.stdout, out.stderr)
		}
	}
	expectNoLease(t, c, "default")
}

// TestNoConverter asks a containerd that is nobody's own.
func TestNoConverter(t *testing.T) {
	t.Parallel()
	needRoot(t)
	repo := newRepository(t, "app")
	bake(t, repo, "oci", scratch, nil)
	c := engines.StartContainerd(t, engines.ContainerdOptions{})
	place := "containerd://" + repo.ref("oci")
	inContainerd(c, "convert", "--for", "oci", repo.ref("oci"), place).must(t)
	out := via(c, "docker", place, place+"-docker").run(t)
	want := "manifest-format: " + place + ": this containerd is built without manifest-format's converter: leave out --via to have it converted from here\n"
	if out.code != 1 || out.stderr != want {
		t.Errorf("it ended with %d\n%s", out.code, out.stderr)
	}
	for destination, want := range map[string]string{
		"containerd://k8s.io/" + repo.ref("docker"): "--via containerd works in one namespace, and these are default and k8s.io: leave it out\n",
		repo.ref("docker"):                          "--via containerd is for an image of a containerd that stays there: name both as containerd://NAME\n",
	} {
		if out := via(c, "docker", place, destination).run(t); out.code != 1 || out.stderr != "manifest-format: "+want {
			t.Errorf("to %s it ended with %d\n%s", destination, out.code, out.stderr)
		}
	}
}
