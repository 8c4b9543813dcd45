// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"os"
	"path/filepath"
	"regexp"
)

// BuildkitdOptions say which BuildKit to start. The zero value is the stock
// buildkitd of bin.
type BuildkitdOptions struct {
	// Path is another buildkitd to run.
	Path string
	// CA is a file with a certificate authority that it trusts besides the system's.
	CA string
}

// Buildkitd is a running BuildKit daemon with an OCI worker. For anyone but
// root it runs in a user namespace with one user: it builds images that copy,
// as no runc can run there.
type Buildkitd struct {
	*process
	// Addr is its socket, as buildctl and buildx take it: unix:///…
	Addr string
}

var buildkitdReady = regexp.MustCompile(`running server on `)

// StartBuildkitd starts a BuildKit daemon that ends with the test.
func StartBuildkitd(tb TB, o BuildkitdOptions) *Buildkitd {
	tb.Helper()
	path := o.Path
	if path == "" {
		path = Binary(tb, "buildkitd")
	}
	sockets := shortDir(tb)
	root := tb.TempDir()
	bk := &Buildkitd{Addr: "unix://" + filepath.Join(sockets, "buildkitd.sock")}
	d := daemon{
		path: path,
		args: []string{
			"--root", filepath.Join(root, "root"), "--addr", bk.Addr,
			"--config", filepath.Join(root, "no-config.toml"), // not the machine's own
			"--otel-socket-path", filepath.Join(sockets, "otel.sock"),
			"--containerd-worker=false", "--oci-worker=true", "--oci-worker-binary", Binary(tb, "runc"),
		},
		env: []string{
			"PATH=" + searchPath(tb, "."), "HOME=" + root, "XDG_RUNTIME_DIR=" + sockets,
			"TMPDIR=" + os.Getenv("TMPDIR"),
		},
		ready: buildkitdReady,
	}
	if o.CA != "" {
		d.env = append(d.env, "SSL_CERT_FILE="+o.CA)
	}
	if os.Geteuid() != 0 {
		d.userNamespace = true
		d.args = append(d.args, "--rootless", "--oci-worker-no-process-sandbox", "--oci-worker-snapshotter=native")
	}
	bk.process, _ = start(tb, d)
	return bk
}
