// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"

	dockercommand "github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/printer"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/profiles"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/report"
)

func newProfilesCommand(dockerCLI dockercommand.Cli) *cobra.Command {
	var page bool
	var template string
	cmd := &cobra.Command{
		Use:   "profiles [OPTIONS] [PROFILE...]",
		Short: "List what targets accept, and how that is known",
		Long: `List the targets whose profiles are known, or show all that one says: what it
accepts, and each fact with its source, its date and how sure it is.

Beside the built-in profiles there are those in the files *.json of
~/.docker/manifest-format/profiles, and of .manifest-format in this folder or
the nearest one above that has it.`,
		Example: `  # every target
  manifest-format profiles

  # what is known of one, and from where
  manifest-format profiles aws-lambda

  # the table, to be put on a web server
  manifest-format profiles --html > profiles.html`,
		ValidArgsFunction: completeProfile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if page && template != "" {
				return usageError(cmd, errors.New("--html and --format exclude each other"))
			}
			if err := printer.ValidTemplate(template); err != nil {
				return usageError(cmd, err)
			}
			known, err := profiles.Load(".")
			if err != nil {
				return err
			}
			list := known.All()
			if len(args) > 0 {
				list = nil
				for _, name := range args {
					p, err := known.Find(name)
					if err != nil {
						return err
					}
					list = append(list, p)
				}
			}
			switch {
			case page:
				return report.WriteProfiles(dockerCLI.Out(), list)
			case len(args) > 0:
				return printer.Profiles(dockerCLI, list, template)
			}
			return printer.ProfileList(dockerCLI, list, template)
		},
	}
	cmd.Flags().BoolVar(&page, "html", false, "Write the table as one HTML page that needs nothing else")
	cmd.Flags().StringVar(&template, "format", "", `Format each profile: "json", or a Go template`)
	return cmd
}
