// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/cli/cli-plugins/manager"
	dockercommand "github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/config"
	"github.com/spf13/cobra"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/dockerconfig"
	"github.com/manifest-format/manifest-format/format"
)

func newInstallCommand(dockerCLI dockercommand.Cli) *cobra.Command {
	var profile format.Profile
	cmd := &cobra.Command{
		Use:   "install [OPTIONS]",
		Short: "Make \"docker build\" go through this program",
		Long: `Make "docker build", "docker builder" and "docker bake" go through this program,
which is docker's alias for builders. With --for, images are for that profile
unless the command line says otherwise; without, "docker build" is what it was
until --for or --emit is given to it. "docker buildx build" stays as it is.

It also asks docker for hints after builds and pushes, if docker's hints are
not turned off.

Docker's config.json is edited in place, and nothing else is touched. "uninstall"
undoes it.`,
		Example: `  # docker build makes Docker V2.2 images from now on
  manifest-format install --for docker

  # and what it was before
  manifest-format uninstall`,
		Args: exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			return runInstall(dockerCLI, profile.Name)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	addProfileFlag(cmd, profileFlag{&profile}, `What images are for unless a build or a push says otherwise: a profile (see "manifest-format profiles")`)
	return cmd
}

func newUninstallCommand(dockerCLI dockercommand.Cli) *cobra.Command {
	return &cobra.Command{
		Use:   "uninstall",
		Short: `Undo "install"`,
		Long: `Undo what "install" did to docker's config.json, and leave alone what was
changed there since.`,
		Args: exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			return runUninstall(dockerCLI)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func runInstall(dockerCLI dockercommand.Cli, profile string) error {
	if err := checkPlugin(dockerCLI); err != nil {
		return err
	}
	path := dockerCLI.ConfigFile().GetFilename()
	file, err := dockerconfig.Open(path)
	if err != nil {
		return fmt.Errorf("docker's configuration: %w", err)
	}
	err = file.Install(dockerconfig.Installation{Plugin: pluginName, Profile: profile, Hooks: hookedCommands})
	if err != nil {
		return fmt.Errorf("docker's configuration, %s: %w", path, err)
	}
	if err := file.Save(); err != nil {
		return fmt.Errorf("docker's configuration: %w", err)
	}
	what := ", for whatever --for and --emit say"
	if now, ok := file.Get("plugins", pluginName, dockerconfig.KeyProfile); ok {
		what = ", for " + now + " unless --for says otherwise"
	}
	_, err = fmt.Fprintf(dockerCLI.Out(), "docker build goes through %s%s: see %s\n", standaloneName, what, path)
	return err
}

func runUninstall(dockerCLI dockercommand.Cli) error {
	path := dockerCLI.ConfigFile().GetFilename()
	file, err := dockerconfig.Open(path)
	if err != nil {
		return fmt.Errorf("docker's configuration: %w", err)
	}
	changed, err := file.Uninstall(pluginName)
	if err != nil {
		return fmt.Errorf("docker's configuration, %s: %w", path, err)
	}
	if !changed {
		_, err := fmt.Fprintln(dockerCLI.Out(), "docker build does not go through "+standaloneName+": nothing to undo")
		return err
	}
	if err := file.SaveOrRemove(); err != nil {
		return fmt.Errorf("docker's configuration: %w", err)
	}
	_, err = fmt.Fprintln(dockerCLI.Out(), "docker build is docker's own again: see "+path)
	return err
}

// checkPlugin refuses an alias that would break every build: docker looks for
// the plugin that it names, and builds nothing without.
func checkPlugin(dockerCLI dockercommand.Cli) error {
	found, err := manager.GetPlugin(pluginName, dockerCLI, &cobra.Command{})
	const file = "docker-" + pluginName
	there := fmt.Sprintf("put this program there as %s/cli-plugins/%s, as make install does", config.Dir(), file)
	switch {
	case errdefs.IsNotFound(err):
		return fmt.Errorf("docker does not find its plugin %s: %s", file, there)
	case err != nil:
		return err
	case found.Err != nil:
		return errors.Join(fmt.Errorf("docker's plugin %s does not work: %s", found.Path, there), found.Err)
	case found.Vendor != pluginMetadata().Vendor:
		return fmt.Errorf("docker's plugin %s is of %s, and not this program: %s", found.Path, found.Vendor, there)
	case found.Version != version():
		return fmt.Errorf("docker's plugin %s is version %s, and this is %s: %s", found.Path, found.Version, version(), there)
	}
	return nil
}
