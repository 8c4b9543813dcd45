// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"fmt"
	"strings"
)

// Runtimes run containers. Each function pulls ref over plain HTTP and runs
// command in a container without a network, whose output it returns. It starts
// an engine with nothing in its store: one that has a layer already does not
// unpack it once more, whatever its media type says.
var Runtimes = map[string]func(tb TB, ref string, command ...string) string{
	"containerd":     runInContainerd,
	"docker":         runInDocker(DockerdOptions{}),
	"docker, graph":  runInDocker(DockerdOptions{GraphStore: true}),
	"docker 20.10":   runInDocker(DockerdOptions{V20: true}),
	"podman":         runInPodman,
	"containerd 1.6": runInContainerd16,
}

func runInContainerd(tb TB, ref string, command ...string) string {
	tb.Helper()
	return StartContainerd(tb, ContainerdOptions{}).run(tb, ref, command)
}

func runInContainerd16(tb TB, ref string, command ...string) string {
	tb.Helper()
	return StartContainerd(tb, ContainerdOptions{V1: true}).run(tb, ref, command)
}

func (c *Containerd) run(tb TB, ref string, command []string) string {
	tb.Helper()
	c.Ctr(tb, "images", "pull", "--plain-http", ref)
	// runc keeps the containers of all of a machine's containerds in one place.
	return c.Ctr(tb, append([]string{"run", "--rm", ref, fmt.Sprintf("container-%d", c.Pid())}, command...)...).Stdout
}

func runInDocker(o DockerdOptions) func(tb TB, ref string, command ...string) string {
	return func(tb TB, ref string, command ...string) string {
		tb.Helper()
		d := StartDockerd(tb, o)
		home := NewHome(tb)
		home.Docker(tb, d, "pull", "--quiet", ref)
		return home.Docker(tb, d, append([]string{"run", "--rm", "--network", "none", ref}, command...)...).Stdout
	}
}

func runInPodman(tb TB, ref string, command ...string) string {
	tb.Helper()
	requireRoot(tb, "podman")
	registry, _, _ := strings.Cut(ref, "/")
	home := NewHome(tb, registry)
	home.Run(tb, "podman", "pull", "--quiet", ref)
	return home.Run(tb, "podman", append([]string{"run", "--rm", "--network", "none", ref}, command...)...).Stdout
}
