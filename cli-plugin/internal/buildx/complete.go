// SPDX-License-Identifier: Apache-2.0

package buildx

import (
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// Complete asks buildx to complete a command line, the last word of which may
// be empty.
func (p *Plugin) Complete(ctx context.Context, words ...string) ([]string, cobra.ShellCompDirective) {
	args := append([]string{cobra.ShellCompRequestCmd}, words...)
	if len(p.before) > 0 {
		// Docker asks its plugins in this order too.
		q := *p
		q.before = nil
		args = append([]string{cobra.ShellCompRequestCmd}, append(p.before[:len(p.before):len(p.before)], words...)...)
		p = &q
	}
	out, err := p.Ask(ctx, io.Discard, args...)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	last := len(lines) - 1
	directive, err := strconv.Atoi(strings.TrimPrefix(lines[last], ":"))
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return lines[:last], cobra.ShellCompDirective(directive)
}
