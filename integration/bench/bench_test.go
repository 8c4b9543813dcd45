// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMain lets the test binary be what the bench runs itself as.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{modeMeasure, modeLimit}, os.Args[1]) {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestWireGoals holds the product to what does not depend on the machine: how
// many requests it makes, and that no layer passes where none has to. The limit
// beside it shows that it could not do with fewer.
func TestWireGoals(t *testing.T) {
	product := filepath.Join(t.TempDir(), "manifest-format")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", product, "./cli-plugin")
	build.Dir, build.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build manifest-format: %v\n%s", err, output)
	}
	// A layer is 200 kB, more than all the documents.
	// What a builder sends depends on BuildKit: there is no limit to compare with.
	// Inside a containerd nothing is sent.
	shapes := slices.DeleteFunc(slices.Clone(shapes), func(s shape) bool { return s.name == building || s.name == converting })
	b := newBench(t, product, 0.01, shapes)
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			all := results{}
			for _, tool := range s.tools {
				if !strings.HasPrefix(tool.name, ours) && tool.name != floor {
					continue
				}
				_, sent, output, err := b.once(t.Context(), s, tool, true)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%s: %+v", tool.name, sent)
				all[tool.name] = &result{traffic: sent, output: output}
			}
			checkWire(t, s, all)
		})
	}
}

// checkWire compares the product with the goals and with the limit.
func checkWire(t *testing.T, s shape, all results) {
	t.Helper()
	limits := map[string]int64{"in-place": 12, "mounts": 60, "registries": 200, "zstd": 12, "start-up": 0}
	most, ok := limits[s.name]
	if !ok {
		t.Fatalf("no goal for %s", s.name)
	}
	if most == 0 {
		for name, one := range all {
			if one.traffic.Up > 0 {
				t.Errorf("%s wrote %d bytes", name, one.traffic.Up)
			}
		}
		return
	}
	mine, least := all[ours].traffic, all[floor].traffic
	if mine.Requests > most {
		t.Errorf("%d requests, more than %d; the limit needs %d", mine.Requests, most, least.Requests)
	}
	if least.Requests > mine.Requests {
		t.Errorf("the limit makes %d requests, more than the product's %d: it is none", least.Requests, mine.Requests)
	}
	for _, way := range []struct {
		name        string
		mine, least int64
	}{{"up", mine.Up, least.Up}, {"down", mine.Down, least.Down}} {
		if way.mine > way.least+layerBytes {
			t.Errorf("%d bytes %s, where %d are enough", way.mine, way.name, way.least)
		}
	}
	if all[ours].output > all[floor].output {
		t.Errorf("the layers are %d bytes, the limit's %d", all[ours].output, all[floor].output)
	}
}
