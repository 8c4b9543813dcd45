// SPDX-License-Identifier: Apache-2.0

//go:build manifestformat_buildkitd

// Command buildkitd is BuildKit's own daemon, with the exporter in every
// worker. This is the only file of it here: `make buildkitd` lays it over
// upstream's main package (go build -overlay), every flag and setting of which
// it has. The build tag keeps it from being built without.
package main

import (
	"fmt"
	"runtime/debug"

	"github.com/moby/buildkit/version"
	"github.com/moby/buildkit/worker"
	"github.com/urfave/cli/v3"

	"github.com/manifest-format/manifest-format/exporter"
)

// ourVersion is set by the linker; the build's own if empty.
var ourVersion string

// init runs before main, and after upstream's own inits that register the
// workers: Go initialises the files of a package by name.
func init() {
	if ourVersion == "" {
		ourVersion = "devel"
		if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
			ourVersion = info.Main.Version
		}
	}
	// `buildkitd --version` prints four words, and buildx counts them: the
	// last, upstream's commit, is ours to say what else is in here.
	version.Revision = "manifest-format/" + ourVersion
	for n := range workerInitializers {
		initialize := workerInitializers[n].fn
		workerInitializers[n].fn = func(c *cli.Command, common workerInitializerOpt) ([]worker.Worker, error) {
			workers, err := initialize(c, common)
			if err != nil {
				return nil, err
			}
			for n, w := range workers {
				if workers[n], err = exporter.Wrap(w); err != nil {
					return nil, fmt.Errorf("teach worker %s the exporter: %w", w.ID(), err)
				}
			}
			return workers, nil
		}
	}
}
