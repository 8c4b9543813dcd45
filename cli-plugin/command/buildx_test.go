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

func TestFlagsBefore(t *testing.T) {
	for line, want := range map[string]string{
		"build -H x":                           "",
		"-H unix:///x build --context c":       "-H unix:///x",
		"--context=c --builder b --tls bake":   "--context=c --tls",
		"--builder=b --tlscacert ca.pem build": "--tlscacert ca.pem",
		"--host":                               "--host",
	} {
		if diff := cmp.Diff(want, strings.Join(flagsBefore(strings.Fields(line)), " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
	if got := flagsBefore([]string{"build"}); got != nil {
		t.Errorf("without flags: %q", got)
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

func TestBuilderCreateArgs(t *testing.T) {
	for _, tc := range []struct {
		o    createOptions
		args []string
		want string
	}{
		{createOptions{driver: driverContainer}, nil, "create --driver=docker-container --driver-opt=image=" + defaultBuilderImage()},
		{
			createOptions{driver: driverContainer, image: "mine:1", use: true, platforms: []string{"linux/arm64"}},
			[]string{"name", "context"},
			"create --driver=docker-container --name=name --driver-opt=image=mine:1 --platform=linux/arm64 --use context",
		},
		{
			createOptions{driver: driverKubernetes, driverOptions: []string{"image=theirs", "namespace=x"}},
			[]string{"name"},
			"create --driver=kubernetes --name=name --driver-opt=image=theirs --driver-opt=namespace=x",
		},
		{createOptions{driver: driverRemote}, []string{"tcp://x:1"}, "create --driver=remote tcp://x:1"},
		{createOptions{driver: driverRemote}, []string{"name", "tcp://x:1"}, "create --driver=remote --name=name tcp://x:1"},
	} {
		if err := tc.o.setArgs(tc.args); err != nil {
			t.Errorf("%v: %v", tc.args, err)
			continue
		}
		if diff := cmp.Diff(tc.want, strings.Join(tc.o.args(), " ")); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tc.args, diff)
		}
	}
}
