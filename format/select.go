// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// selectPlatforms leaves out the images of platforms that were not asked for,
// and what speaks of them.
func (c *conversion) selectPlatforms(ctx context.Context) error {
	if len(c.opts.Platforms) == 0 && !c.needsPlatforms() {
		return nil
	}
	if err := c.top.each(func(e *entry) error { return c.findPlatform(ctx, e) }); err != nil {
		return err
	}
	if len(c.opts.Platforms) == 0 {
		return nil
	}
	matched := make([]bool, len(c.opts.Platforms))
	gone := map[digest.Digest]bool{}
	var there []string
	_ = c.top.each(func(e *entry) error {
		if e.class != classImage {
			return nil
		}
		e.out = true
		if e.platform != nil {
			there = append(there, platforms.FormatAll(*e.platform))
			for i, p := range c.opts.Platforms {
				if platforms.NewMatcher(p).Match(*e.platform) {
					matched[i], e.out = true, false
				}
			}
		}
		if e.out {
			gone[e.Digest] = true
		}
		return nil
	})
	_ = c.top.each(func(e *entry) error {
		if e.class == classImage && !e.out {
			delete(gone, e.Digest) // it is there for another platform, too
		}
		return nil
	})
	for i, ok := range matched {
		if !ok {
			return noPlatform(c.graph.root, c.opts.Platforms[i], there)
		}
	}
	return c.top.each(func(e *entry) error {
		if e.class == classAttestation && gone[e.about()] {
			e.out = true
		}
		if e.class == classOther && e.child != nil && e.child.subject != nil && gone[e.child.subject.Digest] {
			e.out = true
		}
		return nil
	})
}

func noPlatform(d *document, p ocispec.Platform, there []string) error {
	err := fmt.Errorf("platform %s is not there; the image has %s%.0w", platforms.FormatAll(p), strings.Join(there, ", "), errdefs.ErrNotFound)
	return &Error{Op: "convert", Path: d.path, Desc: d.desc, Err: err}
}

// needsPlatforms reports whether every entry of a list has to have a platform.
func (c *conversion) needsPlatforms() bool {
	return c.target == Docker || c.profile.holds(rulePlatform)
}

// findPlatform reads an image's platform from its config where the index does
// not name it.
func (c *conversion) findPlatform(ctx context.Context, e *entry) error {
	if e.class != classImage || e.unread || e.platform != nil && e.platform.OS != "" && e.platform.Architecture != "" {
		return nil
	}
	platform, ok, err := c.platformOf(ctx, e.child)
	if err != nil {
		return err
	}
	if e.platform = nil; ok {
		e.platform = &platform
	}
	if e.platform == nil && c.needsPlatforms() && len(c.opts.Platforms) == 0 && !slices.Contains(c.profile.Tolerates, rulePlatform.ID) {
		return c.refuse(rulePlatform, e.path, e.Descriptor, fmt.Errorf("%w: neither the index nor the config names its platform, and the list needs one", ErrNotFixable))
	}
	return nil
}

// selectRoot checks the platform of an image that is no index.
func (c *conversion) selectRoot(ctx context.Context, d *document) error {
	if len(c.opts.Platforms) == 0 {
		return nil
	}
	have, ok, err := c.platformOf(ctx, d)
	if err != nil {
		return err
	}
	there := []string{"none"}
	if ok {
		if platforms.Any(c.opts.Platforms...).Match(have) {
			return nil
		}
		there = []string{platforms.FormatAll(have)}
	}
	return noPlatform(d, c.opts.Platforms[0], there)
}

// selectSingle finds the one manifest that is to be the root, if one is.
func (c *conversion) selectSingle() error {
	if !c.opts.Single && c.profile.Index != IndexForbidden {
		return nil
	}
	c.broken(ruleSingle, "", c.graph.root.desc, "an index, where a single manifest is needed")
	if c.checking {
		return nil
	}
	var left []string
	_ = c.top.each(func(e *entry) error {
		if e.class == classImage && !e.out && c.only != e.child {
			c.only = e.child
			name := e.Digest.String()
			if e.platform != nil {
				name = platforms.FormatAll(*e.platform)
			}
			left = append(left, name)
		}
		return nil
	})
	if len(left) == 1 {
		return nil
	}
	err := fmt.Errorf("%w: a single manifest is needed, and the index has %d images: %s; choose one with a platform", ErrNotFixable, len(left), strings.Join(left, ", "))
	if len(left) == 0 {
		err = fmt.Errorf("%w: a single manifest is needed, and the index has no image", ErrNotFixable)
	}
	return &Error{Op: "convert", Desc: c.graph.root.desc, Err: err}
}

// noteSamePlatform notes that clients take the first of several.
func (c *conversion) noteSamePlatform() {
	if c.target != Docker {
		return
	}
	first := map[string]*entry{}
	_ = c.top.each(func(e *entry) error {
		if e.class != classImage || e.out || e.platform == nil {
			return nil
		}
		name := platforms.FormatAll(*e.platform)
		switch other := first[name]; {
		case other == nil:
			first[name] = e
		case other.Digest != e.Digest:
			c.note(ruleSamePlatform, e.path, "%s is the platform of %s too: clients take the first", name, other.path)
		}
		return nil
	})
}
