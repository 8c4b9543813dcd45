// SPDX-License-Identifier: Apache-2.0

package buildx

// flagBuilder names the builder, for every command of buildx.
const flagBuilder = "builder"

// valued are the flags of `buildx build` that take a value, by their long
// name. Those of them that its help hides are for compatibility with the
// builder before BuildKit. A test compares the others with that help.
var valued = map[string]bool{
	"add-host": true, "allow": true, "annotation": true, "attest": true, "build-arg": true, "build-context": true,
	"cache-from": true, "cache-to": true, "call": true, "cgroup-parent": true, "file": true, "iidfile": true,
	"label": true, "metadata-file": true, "network": true, "no-cache-filter": true, "output": true, "platform": true,
	"policy": true, "progress": true, "provenance": true, "resource": true, "sbom": true, "secret": true,
	"shm-size": true, "ssh": true, "tag": true, "target": true, "ulimit": true, flagBuilder: true,
	// Hidden.
	"cpu-period": true, "cpu-quota": true, "cpu-shares": true, "cpuset-cpus": true, "cpuset-mems": true,
	"isolation": true, "memory": true, "memory-swap": true, "print": true, "security-opt": true,
}

// switches are the flags that take none, unless it is behind a "=".
var switches = map[string]bool{
	"check": true, "debug": true, "help": true, "load": true, "no-cache": true, "pull": true, "push": true, "quiet": true,
	// Hidden.
	"compress": true, "force-rm": true, "rm": true, "squash": true,
}

// shorthands are the flags of one letter, and what they are in full.
var shorthands = map[byte]string{
	'c': "cpu-shares", 'D': "debug", 'f': "file", 'h': "help", 'm': "memory", 'o': "output", 'q': "quiet", 't': "tag",
}

// Verbs are buildx's commands that mean nothing else to this program.
var Verbs = []string{
	"bake", "create", "dap", "debug", "dial-stdio", "du", "f", "history", "imagetools", "ls", "policy", "prune", "replay",
	"rm", "stop", "use",
}

// Shared are buildx's commands whose words mean something else to this
// program.
var Shared = []string{"inspect", "install", "uninstall", "version"}
