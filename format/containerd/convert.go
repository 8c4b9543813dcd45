// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// ConvertOptions change how [Store.Convert] works. The zero value converts all
// of an image, or refuses one that is not all there.
type ConvertOptions struct {
	// Engine is how the engine converts. NoReferrers and Partial are set:
	// containerd holds no referrers of its own, and what was pulled.
	Engine format.Options
	Draft  DraftOptions
	// Labels are put on the image that is written, and under ResultLabel, unless
	// that is empty, the digest of its root.
	Labels      map[string]string
	ResultLabel string
	// Pulled converts the platforms that are all there, where some are, and
	// leaves out the others.
	Pulled bool
}

// Conversion is what [Store.Convert] did.
type Conversion struct {
	*format.Result
	// Name is the image that was written.
	Name string
	// LeftOut are the images of platforms that are not all there.
	LeftOut []format.Holding
}

// Convert makes of the image src one that p accepts, under the name dst, which
// may be the same. Where dst is another image it is moved; where src has moved
// on and dst is src, the error is a [MovedError]. Layers are not copied, nor
// read unless they must be recompressed.
//
// When it fails, dst is what it was, and whatever was written is garbage.
func (s *Store) Convert(ctx context.Context, src, dst string, p format.Profile, o ConvertOptions) (c *Conversion, err error) {
	image, err := s.Image(ctx, src)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", src, err)
	}
	draft, err := s.Begin(ctx, o.Draft)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err = errors.Join(err, draft.Close(ctx)); err != nil {
			c = nil
		}
	}()
	if err := draft.Hold(ctx, image.Target); err != nil {
		return nil, err
	}
	holdings, err := format.Holdings(ctx, draft, image.Target)
	if err != nil {
		return nil, err
	}
	c = &Conversion{Name: dst}
	if o.Pulled {
		c.LeftOut = choosePulled(&o.Engine, holdings)
	}
	if err := format.RequireWhole(holdings, o.Engine.Platforms); err != nil {
		return nil, err
	}
	o.Engine.NoReferrers, o.Engine.Partial = true, true
	from := source{draft, format.PulledPart(draft, holdings)}
	if c.Result, err = format.Convert(ctx, from, image.Target, p, o.Engine); err != nil {
		return nil, err
	}
	put := PutOptions{Labels: maps.Clone(o.Labels)}
	if o.ResultLabel != "" {
		if put.Labels == nil {
			put.Labels = map[string]string{}
		}
		put.Labels[o.ResultLabel] = c.Root.Digest.String()
	}
	if src == dst {
		put.Was = image.Target.Digest
	}
	return c, draft.Put(ctx, dst, c.Root, put)
}

// Accepts reports whether p accepts what there is of the image at root as it
// stands, where a platform at least is all there. Nothing is written or held for
// it. It is the question to ask before Convert rewrites an index only because a
// part of it was pulled.
func (s *Store) Accepts(ctx context.Context, root ocispec.Descriptor, p format.Profile) (bool, error) {
	holdings, err := format.Holdings(ctx, s, root)
	if err != nil {
		return false, err
	}
	var pulled format.Options
	choosePulled(&pulled, holdings)
	if err := format.RequireWhole(holdings, pulled.Platforms); err != nil {
		return false, err
	}
	report, err := format.CheckHeld(ctx, s, root, holdings, p)
	return err == nil && report.OK(), err
}

// choosePulled has the platforms converted that are all there, unless all are
// or the caller chose, and returns the images that are not.
func choosePulled(o *format.Options, holdings []format.Holding) []format.Holding {
	if len(o.Platforms) > 0 {
		return nil
	}
	var left []format.Holding
	var whole []ocispec.Platform
	for _, h := range holdings {
		switch {
		case h.About != "":
		case !h.Whole():
			left = append(left, h)
		case h.Platform != nil:
			whole = append(whole, *h.Platform)
		}
	}
	if len(left) == 0 || len(whole) == 0 {
		return nil
	}
	o.Platforms = whole
	return left
}

// source is a draft, of which the engine reads what is whole.
type source struct {
	*Draft
	whole content.Provider
}

// ReaderAt implements [content.Provider].
func (s source) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	return s.whole.ReaderAt(ctx, desc)
}
