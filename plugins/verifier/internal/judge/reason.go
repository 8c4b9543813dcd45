// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/registry"
	"github.com/manifest-format/manifest-format/plugins/verifier/internal/policy"
)

const (
	// maxLine is how long a reason may be. containerd puts it behind the image's
	// name, in an event of Kubernetes', say, which has at most 1024 bytes.
	maxLine = 800
	// maxDetail is how much of it is text out of the image.
	maxDetail = 200
)

// reason says why an image is not what a rule wants: what was found, what the
// profile wants instead, and what to do. Empty if nothing counts.
func reason(r *policy.Rule, image Image, report *format.Report) string {
	found := slices.DeleteFunc(slices.Clone(report.Findings), func(f format.Finding) bool { return !r.Counts(f) })
	if len(found) == 0 {
		return ""
	}
	first := found[0]
	for _, f := range found {
		if f.Severity != first.Severity && f.Severity.Worse(first.Severity) == f.Severity {
			first = f
		}
	}
	text := fmt.Sprintf("not what %s takes: %s", report.Profile, clip(first.Detail, maxDetail))
	if first.Path != "" {
		text += " at " + clip(first.Path, maxDetail)
	}
	text += fmt.Sprintf(", and it wants that %s (%s)", clip(first.Wants, maxDetail), first.Rule)
	if n := len(found) - 1; n > 0 {
		text += fmt.Sprintf("; and %d more", n)
	}
	return line("%s; %s", text, remedy(r, image, first))
}

// remedy says what to do about a finding.
func remedy(r *policy.Rule, image Image, f format.Finding) string {
	if !f.Fixable {
		return "no conversion mends that: the image has to be built anew"
	}
	named, err := reference.ParseNormalizedNamed(image.Name)
	if err != nil {
		return "convert it with `manifest-format convert`"
	}
	from, to := image.Name, image.Name
	if _, digested := named.(reference.Digested); digested {
		to = reference.FamiliarName(named) + ":" + tagOf(r.Profile())
	}
	command := "manifest-format convert --for " + quoted(r.For)
	root, _ := format.ParseMediaType(image.Root.MediaType)
	if p := r.Profile(); p.Index == format.IndexForbidden && root.Kind == format.KindIndex {
		command += " --platform " + platformFor(p)
	}
	return fmt.Sprintf("convert it with `%s %s %s`", command, from, to)
}

// cause is an error without the image's name and digest, which containerd has
// said before.
func cause(err error) string {
	text, where := err.Error(), ""
	var at *format.Error
	if errors.As(err, &at) {
		text = at.Err.Error()
		if at.Path != "" {
			where = " at " + clip(at.Path, maxDetail)
		}
	}
	var refusal *registry.Error
	if errors.As(err, &refusal) {
		text = refusal.Text
	} else if errdefs.IsNotFound(err) {
		text = "the registry does not have it" // containerd's client says so at length
	}
	return text + where
}

// obstacle says why an image could not be read, and what to do in the policy.
func obstacle(p *policy.Policy, err error) string {
	var authority x509.UnknownAuthorityError
	const remedy = ": write a hosts.toml for it, and name the folder as hostsDir in the verifier's policy"
	switch {
	case p.HostsDir == "" && errors.As(err, &authority):
		return "its registry has a certificate of an unknown authority" + remedy
	case p.HostsDir == "" && errors.Is(err, http.ErrSchemeMismatch):
		return "its registry speaks plain HTTP, not HTTPS" + remedy
	case !errors.Is(err, errdefs.ErrUnauthenticated) && !errors.Is(err, docker.ErrInvalidAuthorization):
		return cause(err)
	case p.DockerConfig == "":
		return "its registry wants a login, and the verifier's policy has none: name a config.json of docker's there, as dockerConfig"
	}
	return fmt.Sprintf("its registry does not take the verifier's login from %s, or there is none for it", p.DockerConfig)
}

// quoted is a word as a shell reads it. Names of images need none.
func quoted(word string) string {
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./,") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// tagOf is a tag for what was converted, as `check` proposes one.
func tagOf(p format.Profile) string {
	name, _, _ := strings.Cut(p.Name, ",")
	return name
}

// platformFor is the platform to choose for a target that takes one image: one
// that it runs, or else this machine's, which the image was to be pulled to.
func platformFor(p format.Profile) string {
	if len(p.Platforms) > 0 {
		first, _, _ := strings.Cut(p.Platforms[0], "|")
		return first
	}
	return platforms.DefaultString()
}

// Line is an error as one line of bounded length, for a person.
func Line(err error) string { return line("%v", err) }

// Summary says in a line what an image was allowed by.
func (v *Verdict) Summary(p *policy.Policy) string {
	if v.Rule < 0 {
		return "allowed: the policy has no rule for an image of this name"
	}
	r := &p.Rules[v.Rule]
	switch {
	case r.Action == policy.Ignore:
		return line("allowed: rules[%d] (%s) ignores it", v.Rule, r.Match)
	case v.Reason != "":
		return line("allowed, with a warning, by rules[%d] (%s): %s", v.Rule, r.Match, v.Reason)
	}
	return line("allowed by rules[%d] (%s): nothing stands against it for %s, %s", v.Rule, r.Match, r.For, r.Mode)
}

// line makes one line of bounded length, without what moves a terminal's cursor.
func line(text string, args ...any) string {
	return clip(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(fmt.Sprintf(text, args...), "?")), maxLine)
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
