// SPDX-License-Identifier: Apache-2.0

package command

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGlobalFlags(t *testing.T) {
	for line, want := range map[string]string{
		"manifestformat build -t x":                               "",
		"--context c -D manifestformat build -t x":                "--context c -D",
		"--context manifestformat -H unix:///x manifestformat ls": "--context manifestformat -H unix:///x",
		"--config=x manifestformat build --config y":              "--config=x",
		"__complete manifestformat build":                         "",
	} {
		got := globalFlags(strings.Fields(line))
		if got == nil {
			t.Errorf("%s: nil", line)
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

func TestCommandPath(t *testing.T) {
	for attributes, want := range map[string]string{
		"":                                     "",
		"docker.cli.cobra.command_path=docker": "docker",
		"docker.cli.cobra.command_path=docker%20manifestformat":                                                   "docker manifestformat",
		"a=b,docker.cli.cobra.command_path=docker%20image":                                                        "docker image",
		"docker.cli.cobra.command_path=docker%20compose,c=d, docker.cli.cobra.command_path=docker%20builder, e=f": "docker builder",
	} {
		if got := commandPath(attributes); got != want {
			t.Errorf("%q: got %q, want %q", attributes, got, want)
		}
	}
}
