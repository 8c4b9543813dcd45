// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Home is the home folder of a user who exists for one test: with credentials,
// settings and storage of its own, so that no command reads or writes those of
// whoever runs the test. Every client in it knows the given registries as
// registries without TLS.
type Home struct {
	// Dir is the folder.
	Dir string
	// Env is the environment of the commands; a test may add to it.
	Env []string

	logins map[string]login
}

type login struct {
	Auth string `json:"auth"`
}

// Output is what a command wrote.
type Output struct {
	Stdout, Stderr string
}

// NewHome makes a home folder. plainHTTP are the addresses of registries that
// are reached without TLS.
func NewHome(tb TB, plainHTTP ...string) *Home {
	tb.Helper()
	dir := tb.TempDir()
	h := &Home{Dir: dir, logins: map[string]login{}}
	var registries strings.Builder
	hosts := map[string]map[string]string{}
	for _, addr := range plainHTTP {
		fmt.Fprintf(&registries, "[[registry]]\nlocation = %q\ninsecure = true\n", addr)
		hosts[addr] = map[string]string{"tls": "disabled"}
	}
	regctl, err := json.Marshal(map[string]any{"hosts": hosts})
	if err != nil {
		tb.Fatalf("home: %v", err)
	}
	h.write(tb, ".docker/config.json", "{}")
	h.write(tb, ".regctl/config.json", string(regctl))
	h.write(tb, ".config/containers/registries.conf", registries.String())
	h.write(tb, ".config/containers/policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`)
	h.write(tb, "storage.conf", fmt.Sprintf("[storage]\ndriver = \"overlay\"\nrunroot = %q\ngraphroot = %q\n",
		filepath.Join(dir, "run"), filepath.Join(dir, "storage")))
	h.write(tb, "containers.conf", h.containersConf(tb))
	h.Env = []string{
		"HOME=" + dir, "PATH=" + searchPath(tb, "."), "TMPDIR=" + os.Getenv("TMPDIR"),
		"DOCKER_CONFIG=" + filepath.Join(dir, ".docker"),
		"REGISTRY_AUTH_FILE=" + filepath.Join(dir, ".docker", "config.json"),
		"REGCTL_CONFIG=" + filepath.Join(dir, ".regctl", "config.json"),
		"CONTAINERS_REGISTRIES_CONF=" + filepath.Join(dir, ".config", "containers", "registries.conf"),
		"CONTAINERS_CONF=" + filepath.Join(dir, "containers.conf"),
		"CONTAINERS_STORAGE_CONF=" + filepath.Join(dir, "storage.conf"),
	}
	h.InstallPlugin(tb, "docker-buildx", filepath.Join(Bin(tb), "buildx"))
	return h
}

// containersConf makes podman find its helpers in bin, and touch neither the
// machine's network nor its limits: the default of a million open files is
// more than a container's root may set. What watches a container starts podman
// when it ends, and forgets where podman's libraries are.
func (h *Home) containersConf(tb TB) string {
	tb.Helper()
	debian := filepath.Join(Bin(tb), "debian")
	return fmt.Sprintf(`[containers]
netns = "none"
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
conmon_path = [%q]
conmon_env_vars = [%q, %q]
[engine.runtimes]
runc = [%q]
[network]
cni_plugin_dirs = [%q]
`, filepath.Join(debian, "usr/bin/conmon"),
		"PATH="+os.Getenv("PATH"), "LD_LIBRARY_PATH="+libraryPath(tb, true),
		filepath.Join(debian, "usr/sbin/runc"), filepath.Join(debian, "usr/lib/cni"))
}

func (h *Home) write(tb TB, name, content string) {
	tb.Helper()
	path := filepath.Join(h.Dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(content), 0o600)
	}
	if err != nil {
		tb.Fatalf("home: %v", err)
	}
}

// Login stores the credentials of a registry, where `docker login` stores them.
func (h *Home) Login(tb TB, addr, user, password string) {
	tb.Helper()
	h.logins[addr] = login{Auth: base64.StdEncoding.EncodeToString([]byte(user + ":" + password))}
	config, err := json.Marshal(map[string]any{"auths": h.logins})
	if err != nil {
		tb.Fatalf("login: %v", err)
	}
	h.write(tb, ".docker/config.json", string(config))
}

// InstallPlugin makes the program at path a plugin of the docker CLI: name is
// its file name, `docker-manifestformat`.
func (h *Home) InstallPlugin(tb TB, name, path string) {
	tb.Helper()
	dir := filepath.Join(h.Dir, ".docker", "cli-plugins")
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = os.Symlink(path, filepath.Join(dir, name))
	}
	if err != nil {
		tb.Fatalf("install plugin: %v", err)
	}
}

// Run runs a command in the home folder and fails the test when it fails. The
// name is one that [Binary] takes.
func (h *Home) Run(tb TB, name string, args ...string) Output {
	tb.Helper()
	out, err := h.Try(tb, name, args...)
	if err != nil {
		tb.Fatalf("%v\n%s%s", err, out.Stdout, out.Stderr)
	}
	return out
}

// Try is Run for a command that may fail. The error wraps an [exec.ExitError].
func (h *Home) Try(tb TB, name string, args ...string) (Output, error) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), Binary(tb, name), args...)
	cmd.Dir, cmd.Env = h.Dir, h.Env
	// Ended in order when the test ends first, so that a client can clean up.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s %s: %w", filepath.Base(name), strings.Join(args, " "), err)
	}
	return Output{Stdout: stdout.String(), Stderr: stderr.String()}, err
}

// Docker runs the docker CLI against an engine and fails the test when it
// fails. It is the machine's own docker, or where there is none Debian's.
func (h *Home) Docker(tb TB, d *Dockerd, args ...string) Output {
	tb.Helper()
	return h.Run(tb, DockerCLI(tb), append([]string{"--host", d.Host}, args...)...)
}

// DockerCLI names the docker CLI: the one on PATH, or where there is none Debian's.
func DockerCLI(tb TB) string {
	tb.Helper()
	if _, err := exec.LookPath("docker"); err == nil {
		return "docker"
	}
	return "debian/usr/bin/docker"
}
