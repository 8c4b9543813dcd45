// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// TestBuildkitdIsUpstreams compares our daemon with the stock one: the same
// flags, to the letter, and the version of each in the four words that buildx
// reads.
func TestBuildkitdIsUpstreams(t *testing.T) {
	t.Parallel()
	run := func(program string, args ...string) string {
		out, err := exec.CommandContext(t.Context(), engines.Binary(t, program), args...).Output()
		if err != nil {
			t.Fatalf("%s %s: %v", program, strings.Join(args, " "), err)
		}
		return string(out)
	}
	if diff := cmp.Diff(run("buildkitd-stock", "--help"), run("buildkitd", "--help")); diff != "" {
		t.Errorf("--help (-stock +ours):\n%s", diff)
	}
	stock, ours := strings.Fields(run("buildkitd-stock", "--version")), strings.Fields(run("buildkitd", "--version"))
	if len(ours) != 4 || !strings.HasPrefix(ours[3], "manifest-format/") || len(ours[3]) == len("manifest-format/") {
		t.Fatalf("--version prints %q, want four words, the last of them ours", ours)
	}
	if diff := cmp.Diff(stock[:3], ours[:3]); diff != "" {
		t.Errorf("--version (-stock +ours):\n%s", diff)
	}
}
