// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkProcess runs the whole program on a small image, start-up included,
// and counts the CPU that it took: under 60 ms, or a script that inspects a
// hundred images is felt.
func BenchmarkProcess(b *testing.B) {
	program, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	image := filepath.Join(b.TempDir(), "app")
	if err := writeSample(image, "1", samples["attested"]()); err != nil {
		b.Fatal(err)
	}
	for _, bench := range []struct {
		name string
		args []string
	}{
		{"version", []string{"version"}},
		{"inspect", []string{"inspect", "oci-layout://" + image}},
		{"dry-run", []string{"convert", "--for", "docker", "--dry-run", "oci-layout://" + image, "oci-layout://" + image + "-out"}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var cpu time.Duration
			for b.Loop() {
				cmd := exec.Command(program, bench.args...)
				cmd.Args[0] = "manifest-format"
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
				cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			}
			b.ReportMetric(float64(cpu.Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}
