// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"os"
	"path/filepath"
	"regexp"
)

// BuildkitdOptions say which BuildKit to start. The zero value is the stock
// BuildKit, with an OCI worker.
type BuildkitdOptions struct {
	// Exporter starts the buildkitd that `make buildkitd` makes, which has our
	// exporter.
	Exporter bool
	// Path is another buildkitd to run.
	Path string
	// CA is a file with a certificate authority that it trusts besides the system's.
	CA string
	// Config is the content of its buildkitd.toml.
	Config string
	// Containerd is the containerd that its worker works with, in the namespace
	// [BuildkitNamespace]. With nil it has an OCI worker.
	Containerd *Containerd
	// Emulate makes it run programs for linux/amd64 and linux/arm64, whichever
	// the machine is. It needs root; the machine's own emulators stay as they are.
	Emulate bool
}

// BuildkitNamespace is the namespace of containerd in which a BuildKit with a
// containerd worker keeps its images.
const BuildkitNamespace = "buildkit"

// Buildkitd is a running BuildKit daemon. For anyone but root it runs in a
// user namespace with one user: it builds images that copy, as no runc can run
// there.
type Buildkitd struct {
	*process
	// Addr is its socket, as buildctl and buildx take it: unix:///…
	Addr string

	daemon daemon
}

var buildkitdReady = regexp.MustCompile(`running server on `)

// StartBuildkitd starts a BuildKit daemon that ends with the test.
func StartBuildkitd(tb TB, o BuildkitdOptions) *Buildkitd {
	tb.Helper()
	sockets, root := shortDir(tb), tb.TempDir()
	bk := &Buildkitd{Addr: "unix://" + filepath.Join(sockets, "buildkitd.sock")}
	// Without a file of its own it reads the machine's.
	config := filepath.Join(root, "buildkitd.toml")
	if err := os.WriteFile(config, []byte(o.Config), 0o600); err != nil {
		tb.Fatalf("buildkitd: %v", err)
	}
	bk.daemon = daemon{
		path: o.program(tb),
		args: append([]string{
			"--root", filepath.Join(root, "root"), "--addr", bk.Addr, "--config", config,
			"--otel-socket-path", filepath.Join(sockets, "otel.sock"),
		}, o.worker(tb)...),
		env: []string{
			"PATH=" + searchPath(tb, "."), "HOME=" + root, "XDG_RUNTIME_DIR=" + sockets,
			"TMPDIR=" + os.Getenv("TMPDIR"),
		},
		ready: buildkitdReady,
		// What was mounted for a step that was running when it was killed.
		mounts: []string{root},
	}
	if o.CA != "" {
		bk.daemon.env = append(bk.daemon.env, "SSL_CERT_FILE="+o.CA)
	}
	if o.Emulate {
		requireRoot(tb, "emulation")
		bk.daemon = emulating(tb, bk.daemon)
	}
	if o.Emulate || os.Geteuid() != 0 {
		bk.daemon.userNamespace = true
	}
	bk.process, _ = start(tb, bk.daemon)
	return bk
}

// Restart starts a daemon again that was stopped or killed, with all that it
// has on disk.
func (bk *Buildkitd) Restart(tb TB) {
	tb.Helper()
	bk.Stop(tb)
	bk.process, _ = start(tb, bk.daemon)
}

// program is the path of the daemon.
func (o BuildkitdOptions) program(tb TB) string {
	tb.Helper()
	switch {
	case o.Path != "":
		return o.Path
	case o.Exporter:
		return Binary(tb, "buildkitd")
	default:
		return Binary(tb, "buildkitd-stock")
	}
}

// worker are the flags that choose the daemon's worker.
func (o BuildkitdOptions) worker(tb TB) []string {
	tb.Helper()
	if o.Containerd != nil {
		return []string{
			"--oci-worker=false", "--containerd-worker=true",
			"--containerd-worker-addr", o.Containerd.Address, "--containerd-worker-namespace", BuildkitNamespace,
		}
	}
	flags := []string{"--containerd-worker=false", "--oci-worker=true", "--oci-worker-binary", Binary(tb, "runc")}
	switch {
	case os.Geteuid() != 0:
		flags = append(flags, "--rootless", "--oci-worker-no-process-sandbox", "--oci-worker-snapshotter=native")
	case o.Emulate:
		flags = append(flags, "--rootless", "--oci-worker-no-process-sandbox", "--oci-worker-snapshotter=overlayfs")
	}
	return flags
}
