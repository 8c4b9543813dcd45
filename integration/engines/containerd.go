// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// ContainerdOptions say which containerd to start. The zero value is
// containerd 2.
type ContainerdOptions struct {
	// V1 starts Debian's containerd 1.6.
	V1 bool
	// Path is another containerd 2, of the test's own.
	Path string
	// CRI has it serve Kubernetes' interface too, as containerd does unless told
	// not to. Only containerd 2 does here.
	CRI bool
	// Config is TOML that is added to its configuration.
	Config string
	// Env is added to its environment, which what it runs has too.
	Env []string
}

// Containerd is a running containerd. It needs root.
type Containerd struct {
	*process
	// Address is the path of its socket.
	Address string
	// Root is where it keeps content and snapshots.
	Root string

	ctr    string
	daemon daemon
}

var containerdReady = regexp.MustCompile(`containerd successfully booted`)

// StartContainerd starts a containerd that ends with the test.
func StartContainerd(tb TB, o ContainerdOptions) *Containerd {
	tb.Helper()
	requireRoot(tb, "containerd")
	bin, config := ".", 3
	if o.V1 {
		bin, config = "debian/usr/bin", 2
	}
	sockets := shortDir(tb)
	c := &Containerd{
		Address: filepath.Join(sockets, "containerd.sock"),
		Root:    filepath.Join(tb.TempDir(), "root"),
		ctr:     filepath.Join(bin, "ctr"),
	}
	file := filepath.Join(sockets, "config.toml")
	document := fmt.Sprintf(`version = %d
root = %q
state = %q
disabled_plugins = [%s]
[grpc]
  address = %q
[ttrpc]
  address = %q
%s%s`, config, c.Root, filepath.Join(sockets, "state"), o.disabled(), c.Address, c.Address+".ttrpc", o.cri(tb), o.Config)
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		tb.Fatalf("containerd: %v", err)
	}
	path := o.Path
	if path == "" {
		path = Binary(tb, filepath.Join(bin, "containerd"))
	}
	c.daemon = daemon{
		path:  path,
		args:  []string{"--config", file},
		env:   append([]string{"PATH=" + searchPath(tb, bin, "."), "HOME=" + sockets}, o.Env...),
		ready: containerdReady,
	}
	c.process, _ = start(tb, c.daemon)
	return c
}

// disabled lists the plugins that a test has no use for.
func (o ContainerdOptions) disabled() string {
	off := []string{"io.containerd.nri.v1.nri"}
	if !o.CRI {
		off = append(off, "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime")
	}
	return `"` + strings.Join(off, `", "`) + `"`
}

// cri has Kubernetes' interface leave the machine alone: no network is set up,
// and nothing is asked for that needs more than root of a container.
func (o ContainerdOptions) cri(tb TB) string {
	tb.Helper()
	if !o.CRI {
		return ""
	}
	dir := tb.TempDir()
	return fmt.Sprintf(`
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = [%q]
    conf_dir = %q
[plugins.'io.containerd.grpc.v1.cri']
  disable_tcp_service = true
`, filepath.Join(dir, "cni"), filepath.Join(dir, "cni-conf"))
}

// Restart starts a daemon again that was stopped or killed, with all that it
// has on disk.
func (c *Containerd) Restart(tb TB) {
	tb.Helper()
	c.Stop(tb)
	c.process, _ = start(tb, c.daemon)
}

// Ctr runs the ctr of this containerd's version. A `pull` of an image that is
// there already unpacks nothing: `images rm --sync` it first.
func (c *Containerd) Ctr(tb TB, args ...string) Output {
	tb.Helper()
	return NewHome(tb).Run(tb, c.ctr, append([]string{"--address", c.Address}, args...)...)
}

// TryCtr is Ctr for a command that may fail.
func (c *Containerd) TryCtr(tb TB, args ...string) (Output, error) {
	tb.Helper()
	return NewHome(tb).Try(tb, c.ctr, append([]string{"--address", c.Address}, args...)...)
}
