// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
)

// DockerdOptions say which Docker Engine to start. The zero value is Docker
// Engine 29 with containerd's image store.
type DockerdOptions struct {
	// GraphStore keeps images in Docker's own store, as before version 29.
	GraphStore bool
	// V20 starts Debian's Docker Engine 20.10, which has no other store.
	V20 bool
}

// Dockerd is a running Docker Engine, with a containerd of its own. It leaves
// the machine's network alone: containers get `--network none` or `host`. It
// needs root.
type Dockerd struct {
	*process
	// Host is its socket, as DOCKER_HOST takes it: unix:///…
	Host string
}

var dockerdReady = regexp.MustCompile(`API listen on `)

// StartDockerd starts a Docker Engine that ends with the test.
func StartDockerd(tb TB, o DockerdOptions) *Dockerd {
	tb.Helper()
	requireRoot(tb, "dockerd")
	program, path := "dockerd", searchPath(tb, ".")
	if o.V20 {
		// Its own generation of containerd and runc.
		program, path = "debian/usr/sbin/dockerd", searchPath(tb, "debian/usr/bin", "debian/usr/sbin")
	}
	sockets := shortDir(tb)
	type object map[string]any
	data := filepath.Join(tb.TempDir(), "data")
	config := object{
		"data-root": data, "exec-root": filepath.Join(sockets, "x"),
		"pidfile": filepath.Join(sockets, "pid"), "hosts": []string{"unix://" + filepath.Join(sockets, "docker.sock")},
		"init-path": Binary(tb, "debian/usr/bin/tini-static"), "bridge": "none", "iptables": false, "ip6tables": false, "ip-forward": false, "userland-proxy": false,
	}
	if o.V20 {
		// Elsewhere it writes to /etc/docker.
		config["deprecated-key-path"] = filepath.Join(sockets, "key.json")
	} else {
		config["features"] = object{"containerd-snapshotter": !o.GraphStore}
	}
	document, err := json.Marshal(config)
	if err != nil {
		tb.Fatalf("dockerd: %v", err)
	}
	file := filepath.Join(sockets, "daemon.json")
	if err := os.WriteFile(file, document, 0o600); err != nil {
		tb.Fatalf("dockerd: %v", err)
	}
	d := &Dockerd{Host: "unix://" + filepath.Join(sockets, "docker.sock")}
	d.process, _ = start(tb, daemon{
		path: Binary(tb, program),
		args: []string{"--config-file", file},
		env: []string{
			"PATH=" + path, "HOME=" + sockets, "TMPDIR=" + os.Getenv("TMPDIR"),
			"LD_LIBRARY_PATH=" + libraryPath(tb, o.V20),
			// So that the older docker of Debian can talk to it, where there is no other.
			"DOCKER_MIN_API_VERSION=1.24",
		},
		ready: dockerdReady,
		// Its network namespaces, and after a failed start its data, stay mounted.
		mounts: []string{sockets, data},
	})
	return d
}

// libraryPath finds the libraries that Debian's programs need and a small installation lacks.
func libraryPath(tb TB, debian bool) string {
	tb.Helper()
	if !debian {
		return ""
	}
	var path string
	for _, pattern := range []string{"usr/lib/*-linux-gnu", "lib/*-linux-gnu"} {
		matches, err := filepath.Glob(filepath.Join(Bin(tb), "debian", pattern))
		if err != nil {
			tb.Fatalf("dockerd: %v", err)
		}
		for _, dir := range matches {
			path += dir + string(filepath.ListSeparator)
		}
	}
	return path
}
