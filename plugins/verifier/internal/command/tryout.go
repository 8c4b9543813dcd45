// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/manifest-format/manifest-format/plugins/verifier/internal/judge"
	"github.com/manifest-format/manifest-format/plugins/verifier/internal/policy"
)

// tryOut shows a person what containerd would be told of an image, and why.
func (r run) tryOut(ctx context.Context, file string, p *policy.Policy) int {
	var image judge.Image
	v, err := within(ctx, func(ctx context.Context) (judge.Verdict, error) {
		var err error
		if image, err = judge.Resolve(ctx, p, r.test); err != nil {
			return judge.Verdict{}, err
		}
		return judge.Judge(ctx, p, image), nil
	})
	switch {
	case errors.Is(err, errLate), err != nil && ctx.Err() != nil:
		image, v = judge.Image{Name: r.test}, judge.Unanswered(ctx, p, r.test)
	case err != nil:
		fmt.Fprintln(r.stderr, judge.Line(err))
		return refused
	}
	r.explain(file, p, image, v)
	if !v.Allowed {
		return refused
	}
	return allowed
}

// explain writes a verdict for a person.
func (r run) explain(file string, p *policy.Policy, image judge.Image, v judge.Verdict) {
	verdict := "refused"
	switch {
	case v.Allowed && v.Reason != "":
		verdict = "allowed, with a warning"
	case v.Allowed:
		verdict = "allowed"
	}
	fmt.Fprintf(r.stdout, "%s: %s\n", image.Name, verdict)
	table := tabwriter.NewWriter(r.stdout, 0, 0, 2, ' ', 0)
	row := func(name, text string, args ...any) {
		fmt.Fprintf(table, "  %s\t%s\n", name, judge.Line(fmt.Errorf(text, args...)))
	}
	if image.Root.Digest != "" {
		row("root", "%s, %s, %d bytes", image.Root.Digest, image.Root.MediaType, image.Root.Size)
	}
	row("policy", "%s", file)
	describeRule(row, p, v)
	if v.Reason != "" {
		row("reason", "%s", v.Reason)
	}
	row("time", "%s of %s", time.Since(r.start).Round(time.Millisecond), time.Duration(p.Budget))
	_ = table.Flush() // a terminal that is gone takes no message
	r.listFindings(p, v)
}

func describeRule(row func(name, text string, args ...any), p *policy.Policy, v judge.Verdict) {
	if v.Rule < 0 {
		row("rule", "none is for it: the default, %s", p.Default)
		return
	}
	rule := p.Rules[v.Rule]
	row("rule", "rules[%d], for %s: %s", v.Rule, rule.Match, rule.Action)
	if rule.Action == policy.Ignore {
		return
	}
	row("profile", "%s", rule.For)
	looked := "of the root, its media type and size are looked at"
	switch {
	case v.Deep:
		looked = "every document of the image was read"
	case rule.Mode == policy.Deep && v.Report != nil && slices.ContainsFunc(v.Report.Findings, rule.Counts):
		looked = "no document was needed to see that"
	case rule.Mode == policy.Deep:
		looked = "not every document could be read"
	}
	row("mode", "%s: %s", rule.Mode, looked)
}

// listFindings writes everything that was found, and whether it counts.
func (r run) listFindings(p *policy.Policy, v judge.Verdict) {
	if v.Report == nil || len(v.Report.Findings) == 0 {
		return
	}
	fmt.Fprintln(r.stdout)
	table := tabwriter.NewWriter(r.stdout, 0, 0, 2, ' ', 0)
	for _, f := range v.Report.Findings {
		severity := string(f.Severity)
		if !p.Rules[v.Rule].Counts(f) {
			severity += " (does not count)"
		}
		where := f.Path
		if where == "" {
			where = "/"
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\n", severity, f.Rule, judge.Line(errors.New(f.Detail)), judge.Line(errors.New(strings.TrimSpace(where))))
	}
	_ = table.Flush() // as above
}
