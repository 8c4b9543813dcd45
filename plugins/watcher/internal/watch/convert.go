// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/containerd"
	"github.com/manifest-format/manifest-format/plugins/watcher/internal/metrics"
)

// handle does what there is to do for an image that is due.
func (s *session) handle(ctx context.Context, i image) {
	ctx = namespaces.WithNamespace(ctx, i.namespace)
	started := time.Now()
	j, err := s.find(ctx, i, s.client.ImageService().Get)
	if err == nil && j != nil {
		err = s.do(ctx, j)
	}
	switch {
	case err == nil:
		s.queue.done(i, settled)
	case ctx.Err() != nil:
		s.queue.done(i, failed) // called off: the next session looks at it
	default:
		s.fail(ctx, i, j, err, time.Since(started))
	}
}

// do converts an image unless the profile accepts it as it is.
func (s *session) do(ctx context.Context, j *job) error {
	profile := j.rule.Profile()
	if j.inPlace() && j.rule.Plain() {
		right, err := s.store.Accepts(ctx, j.root, profile)
		if err != nil {
			return err
		}
		if right {
			s.settle(j.image, j.root.Digest)
			s.Metrics.Done(j.namespace, profile.Name, metrics.Unchanged, 0)
			s.Log.Debug("nothing to convert", "namespace", j.namespace, "image", j.name, "for", profile.Name, "mediaType", j.root.MediaType)
			return nil
		}
	}
	started := time.Now()
	c, err := s.store.Convert(ctx, j.name, j.to, profile, containerd.ConvertOptions{
		Engine: j.rule.Options(), Pulled: j.rule.Platforms.Pulled(),
		Draft:  containerd.DraftOptions{Owner: s.owner},
		Labels: j.labels(), ResultLabel: labelResult,
	})
	took := time.Since(started)
	s.Metrics.Took(profile.Name, took)
	if err != nil {
		return err
	}
	s.report(j, c, took)
	return nil
}

// report says what was done: one line, and one for each loss.
func (s *session) report(j *job, c *containerd.Conversion, took time.Duration) {
	profile := j.rule.Profile().Name
	for _, loss := range c.Losses {
		s.Log.Warn("lost", "namespace", j.namespace, "image", j.to, "path", loss.Path, "what", loss.What, "why", loss.Why)
	}
	for _, left := range c.LeftOut {
		platform := ""
		if left.Platform != nil {
			platform = platforms.FormatAll(*left.Platform)
		}
		s.Log.Debug("left out, as it is not all there", "namespace", j.namespace, "image", j.to, "platform", platform, "digest", left.Desc.Digest)
	}
	result, message := metrics.Converted, "converted"
	if c.Root.Digest == c.Source.Digest {
		result, message = metrics.Unchanged, "named, as it is right already"
	}
	s.Metrics.Done(j.namespace, profile, result, len(c.Losses))
	s.Log.Info(message, "namespace", j.namespace, "image", j.name, "to", j.to, "for", profile, "from", c.Source.MediaType, "mediaType", c.Root.MediaType,
		"digest", c.Root.Digest, "losses", len(c.Losses), "leftOut", len(c.LeftOut), "duration", took.Round(time.Millisecond))
}

// fail says what went wrong, once where it stays so.
func (s *session) fail(ctx context.Context, i image, j *job, err error, took time.Duration) {
	class, permanent := classify(err)
	if class == "missing" && s.isGone(ctx, i, j) {
		s.queue.done(i, moved)
		return
	}
	attrs, profile := about(i, j)
	attrs = append(attrs, "error", err, "class", class, "duration", took.Round(time.Millisecond))
	if class == "moved" {
		s.Log.Debug("moved meanwhile: looked at again", attrs...)
		s.queue.done(i, moved)
		return
	}
	if class == "unavailable" && endsSoon(ctx) {
		s.queue.done(i, failed) // it is the connection: the next session looks at it
		return
	}
	s.failures.Add(1)
	s.Metrics.Fail(i.namespace, profile, class)
	if permanent && j != nil {
		s.settle(i, j.root.Digest)
		if class == "name_taken" {
			s.block(i, j.to)
		}
		s.queue.done(i, settled)
		s.Log.Error("not converted, until the image changes", attrs...)
		return
	}
	again := s.queue.done(i, failed)
	s.Log.Error("not converted", append(attrs, "again", again.Round(time.Millisecond))...)
}

// about are the attributes of a line about an image.
func about(i image, j *job) (attrs []any, profile string) {
	attrs = []any{"namespace", i.namespace, "image", i.name}
	if j == nil {
		return attrs, ""
	}
	profile = j.rule.Profile().Name
	if j.to != "" {
		attrs = append(attrs, "to", j.to)
	}
	return append(attrs, "for", profile), profile
}

// endsSoon reports whether the session ends within a second: what fails with
// the connection fails before the connection is known to have ended.
func endsSoon(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-time.After(time.Second):
		return false
	}
}

// isGone reports whether the image was deleted or moved meanwhile: then its
// content may well be missing.
func (s *session) isGone(ctx context.Context, i image, j *job) bool {
	record, err := s.client.ImageService().Get(ctx, i.name)
	return errdefs.IsNotFound(err) || err == nil && j != nil && record.Target.Digest != j.root.Digest
}

// classes are the errors that metrics tell apart, the first that fits.
var classes = []struct {
	name string
	err  error
	// permanent says that the same image fails again.
	permanent bool
}{
	{"lossy", format.ErrLossy, true},
	{"not_fixable", format.ErrNotFixable, true},
	{"no_equivalent", format.ErrNoEquivalent, true},
	{"signed", format.ErrSigned, true},
	{"ambiguous", format.ErrAmbiguous, true},
	{"corrupt", format.ErrCorrupt, true},
	{"too_large", format.ErrTooLarge, true},
	{"name", errName, true},
	{"name_taken", errTaken, true},
	{"missing", errdefs.ErrNotFound, true},
	{"unavailable", errdefs.ErrUnavailable, false},
}

// classify names an error's class, and says whether it is there to stay.
func classify(err error) (class string, permanent bool) {
	if _, ok := errors.AsType[*containerd.MovedError](err); ok {
		return "moved", false
	}
	for _, c := range classes {
		if errors.Is(err, c.err) {
			return c.name, c.permanent
		}
	}
	return "other", false
}
