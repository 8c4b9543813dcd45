// SPDX-License-Identifier: Apache-2.0

// Package judge decides whether an image may be pulled, by a policy.
package judge

import (
	"context"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/plugins/verifier/internal/policy"
)

// Image is what containerd says of an image before it pulls it. The root's
// media type is what the registry said to a HEAD request: nobody has looked at
// the bytes.
type Image struct {
	Name string
	Root ocispec.Descriptor
}

// Verdict is whether an image may be pulled, and why.
type Verdict struct {
	Allowed bool
	// Reason is a line for whoever sees a pull fail. Empty where nothing stands
	// against the image.
	Reason string
	// Rule is which rule is for the image, -1 if none is.
	Rule int
	// Report is what the rule's profile says, as far as the image was looked at.
	// Nil where it was not.
	Report *format.Report
	// Deep says that all documents of the image were read.
	Deep bool
}

// Judge decides about an image. It is done when ctx is, whatever a registry
// does: what it says then is the policy's onTimeout.
func Judge(ctx context.Context, p *policy.Policy, image Image) Verdict {
	v := Verdict{Rule: p.For(image.Name)}
	if v.Rule < 0 {
		return byDefault(p, v)
	}
	r := &p.Rules[v.Rule]
	if r.Action == policy.Ignore {
		v.Allowed = true
		return v
	}
	err := v.look(ctx, p, r, image)
	answer := policy.Deny
	switch {
	case err == nil:
		v.Reason = reason(r, image, v.Report)
		v.Allowed = v.Reason == "" || r.Action == policy.Warn
		return v
	case ctx.Err() != nil:
		return Unanswered(ctx, p, image.Name)
	case isFault(err):
		v.Reason = line("no image for %s: %s", r.For, cause(err))
	default:
		answer = p.OnError
		v.Reason = line("whether %s takes it is not known, as it cannot be read: %s", r.For, obstacle(p, err))
	}
	v.Allowed = answer == policy.Allow || r.Action == policy.Warn
	return v
}

// look holds the image to the rule's profile. The root is looked at first: what
// that breaks needs no registry.
func (v *Verdict) look(ctx context.Context, p *policy.Policy, r *policy.Rule, image Image) error {
	var err error
	if v.Report, err = format.CheckDescriptor(image.Root, r.Profile()); err != nil {
		return err
	}
	if r.Mode != policy.Deep || reason(r, image, v.Report) != "" {
		return nil
	}
	src, err := open(ctx, p, image.Name)
	if err != nil {
		return err
	}
	report, err := format.Check(ctx, src, image.Root, r.Profile())
	if err != nil {
		return err
	}
	v.Report, v.Deep = report, true
	return nil
}

// byDefault is the verdict on an image that no rule is for.
func byDefault(p *policy.Policy, v Verdict) Verdict {
	if v.Allowed = p.Default == policy.Allow; !v.Allowed {
		v.Reason = "the policy has no rule for an image of this name, and denies those"
	}
	return v
}

// Unanswered is the verdict on an image of that name when ctx was done before
// there was one.
func Unanswered(ctx context.Context, p *policy.Policy, name string) Verdict {
	v := Verdict{Rule: p.For(name)}
	if v.Rule < 0 {
		return byDefault(p, v)
	}
	r := &p.Rules[v.Rule]
	late := errors.Is(context.Cause(ctx), context.DeadlineExceeded)
	if r.Action == policy.Ignore {
		v.Allowed = true
		return v
	}
	v.Reason = line("whether %s takes it is not known: the verifier was ended before it had looked", r.For)
	if late {
		v.Reason = line("whether %s takes it was not found out within %s, the policy's budget; pull it again", r.For, time.Duration(p.Budget))
	}
	v.Allowed = late && (p.OnTimeout == policy.Allow || r.Action == policy.Warn)
	return v
}

// isFault tells what is wrong with an image itself from a registry that cannot
// be asked about it.
func isFault(err error) bool {
	for _, fault := range []error{
		format.ErrNoEquivalent, format.ErrNotFixable, format.ErrAmbiguous, format.ErrCorrupt, format.ErrTooLarge,
		digest.ErrDigestUnsupported, digest.ErrDigestInvalidFormat, digest.ErrDigestInvalidLength,
	} {
		if errors.Is(err, fault) {
			return true
		}
	}
	return false
}
