// SPDX-License-Identifier: Apache-2.0

package buildx

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/docker/cli/cli-plugins/manager"
	"github.com/docker/cli/cli-plugins/metadata"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/spf13/cobra"
)

// name is what docker calls buildx.
const name = "buildx"

// Plugin is the person's buildx. Make one with [Find].
type Plugin struct {
	path string
	// before are the arguments before those of buildx: docker's own, and the
	// plugin's name where docker runs it.
	before []string
	env    []string
}

// Provider has docker's configuration; docker's command.Cli is one.
type Provider interface{ ConfigFile() *configfile.ConfigFile }

// errMissing is that there is no buildx.
var errMissing = errors.New("docker's plugin buildx is not installed: see https://docs.docker.com/go/buildx/ " +
	"or put its program docker-buildx into ~/.docker/cli-plugins or on PATH")

// Find finds buildx where docker finds its plugins, then on PATH. docker are
// docker's own flags when docker runs this program as its plugin, or when it
// runs alone and was given some; nil for none then.
func Find(provider Provider, docker []string) (*Plugin, error) {
	found, err := manager.GetPlugin(name, provider, &cobra.Command{})
	switch {
	case errdefs.IsNotFound(err):
		return findOnPath(docker)
	case err != nil:
		return nil, fmt.Errorf("docker's plugin buildx: %w", err)
	case found.Err != nil:
		return nil, fmt.Errorf("docker's plugin buildx, %s, does not work: %w", found.Path, found.Err)
	}
	return newPlugin(found.Path, docker)
}

func findOnPath(docker []string) (*Plugin, error) {
	for _, program := range []string{metadata.NamePrefix + name, name} {
		if path, err := exec.LookPath(program); err == nil {
			return newPlugin(path, docker)
		}
	}
	return nil, errMissing
}

func newPlugin(path string, docker []string) (*Plugin, error) {
	if same, err := isSelf(path); err != nil {
		return nil, err
	} else if same {
		return nil, fmt.Errorf("docker's plugin buildx, %s, is this program: put buildx itself there, see https://docs.docker.com/go/buildx/", path)
	}
	p := &Plugin{path: path, env: os.Environ()}
	if docker != nil {
		p.before = append(docker[:len(docker):len(docker)], name)
		if os.Getenv(metadata.ReexecEnvvar) == "" {
			// Without it buildx would not read docker's flags.
			p.env = append(p.env, metadata.ReexecEnvvar+"=docker")
		}
		return p, nil
	}
	// Alone, as this program is: docker's configuration is told by the environment.
	p.env = withoutVariable(p.env, metadata.ReexecEnvvar)
	p.env = append(p.env, "DOCKER_CONFIG="+config.Dir())
	return p, nil
}

// isSelf reports whether a program is the one that is running.
func isSelf(path string) (bool, error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	running, err := os.Stat(self)
	if err != nil {
		return false, err
	}
	other, err := os.Stat(path)
	if err != nil {
		return false, fmt.Errorf("docker's plugin buildx: %w", err)
	}
	return os.SameFile(running, other), nil
}

func withoutVariable(env []string, name string) []string {
	var kept []string
	for _, entry := range env {
		if len(entry) <= len(name) || entry[:len(name)+1] != name+"=" {
			kept = append(kept, entry)
		}
	}
	return kept
}

// SetBuilder makes buildx use a builder unless its arguments name another.
func (p *Plugin) SetBuilder(builder string) {
	p.env = append(withoutVariable(p.env, "BUILDX_BUILDER"), "BUILDX_BUILDER="+builder)
}

// argv is the command line of buildx with arguments.
func (p *Plugin) argv(args []string) []string {
	argv := append([]string{filepath.Base(p.path)}, p.before...)
	return append(argv, args...)
}
