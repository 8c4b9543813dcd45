// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// ContainerdOptions say which containerd to start. The zero value is
// containerd 2.
type ContainerdOptions struct {
	// V1 starts Debian's containerd 1.6.
	V1 bool
	// Config is TOML that is added to its configuration.
	Config string
}

// Containerd is a running containerd, without its Kubernetes plugins. It needs root.
type Containerd struct {
	*process
	// Address is the path of its socket.
	Address string
	// Root is where it keeps content and snapshots.
	Root string

	ctr string
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
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri"]
[grpc]
  address = %q
[ttrpc]
  address = %q
%s`, config, c.Root, filepath.Join(sockets, "state"), c.Address, c.Address+".ttrpc", o.Config)
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		tb.Fatalf("containerd: %v", err)
	}
	c.process, _ = start(tb, daemon{
		path:  Binary(tb, filepath.Join(bin, "containerd")),
		args:  []string{"--config", file},
		env:   []string{"PATH=" + searchPath(tb, bin, "."), "HOME=" + sockets},
		ready: containerdReady,
	})
	return c
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
