// SPDX-License-Identifier: Apache-2.0

package command

import (
	"encoding/json"
	"fmt"

	"github.com/docker/cli/cli-plugins/hooks"
	"github.com/docker/cli/cli-plugins/metadata"
	dockercommand "github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

// hookedCommands are docker's commands after which there is a hint. Docker
// knows `docker build` by the plugin that its alias names.
var hookedCommands = []string{"push", "image push", "buildx build", pluginName + " build"}

// hints are what to say after them. They are plain text: docker fills in a
// template differently in each of its versions, and before 29 drops one that
// it does not know.
var hints = map[string]string{
	"push":                pushHint,
	"image push":          pushHint,
	"buildx build":        "Emit it in the format that its target takes: docker " + pluginName + " build --for PROFILE",
	pluginName + " build": "Emit it to several targets, each in its format: docker build --emit PROFILE=REF",
}

const pushHint = "See which format it was pushed in: docker " + pluginName + " inspect IMAGE\n" +
	"Push it in the format that its target takes: docker " + pluginName + " push --for PROFILE IMAGE"

// newHooksCommand answers docker after one of the commands.
func newHooksCommand(dockerCLI dockercommand.Cli) *cobra.Command {
	return &cobra.Command{
		Use:    metadata.HookSubcommandName,
		Short:  "Answer docker after one of its commands",
		Hidden: true,
		Args:   exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var request hooks.Request
			if err := json.Unmarshal([]byte(args[0]), &request); err != nil {
				return fmt.Errorf("docker's request for a hint: %w", err)
			}
			var response hooks.Response
			_, emitted := request.Flags["emit"]
			if request.CommandError == "" && !emitted {
				response.Template = hints[request.RootCmd]
			}
			return json.NewEncoder(dockerCLI.Out()).Encode(response)
		},
	}
}
