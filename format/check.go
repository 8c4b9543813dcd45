// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Check says what p does not accept in the image at root. It reads documents,
// and configs where a rule needs them, and changes nothing. The error is for
// what cannot be read at all, or must not be; what merely does not conform is
// in the report. Of Docker V2 Schema 1 it says no more than that it is that.
func Check(ctx context.Context, src content.Provider, root ocispec.Descriptor, p Profile) (*Report, error) {
	c := newConversion(src, p, Options{})
	return c.check(ctx, root)
}

// CheckDocument is [Check] of one index or manifest alone, as `docker buildx
// imagetools inspect --raw` prints it: what it names is not read, and rules on
// that are not held to. The media type is the one that the document is served with.
func CheckDocument(ctx context.Context, body []byte, mediaType string, p Profile) (*Report, error) {
	root := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	c := newConversion(oneDocument(body), p, Options{})
	c.shallow = true
	return c.check(ctx, root)
}

// CheckHeld is [Check] of what a place holds of an image. What holdings, those
// of root, say is not there is not looked at, and a note says so.
func CheckHeld(ctx context.Context, src content.Provider, root ocispec.Descriptor, holdings []Holding, p Profile) (*Report, error) {
	c := newConversion(src, p, Options{})
	c.unheld = map[digest.Digest]bool{}
	for _, h := range holdings {
		if h.Desc.Digest == root.Digest || !h.lacksDocument() {
			continue
		}
		c.unheld[h.Desc.Digest] = true
		c.note(ruleHeld, h.Path, "%s is not all there, and was not looked at", h.name())
	}
	return c.check(ctx, root)
}

// CheckDescriptor is [Check] of what a descriptor says of a root by its media
// type and its size, which nothing is read for. Rules on what is in the
// document are not held to; nor is it known whether the media type is true.
func CheckDescriptor(root ocispec.Descriptor, p Profile) (*Report, error) {
	c := newConversion(nil, p, Options{})
	c.shallow, c.checking = true, true
	return c.report(root, func() error { return c.planDescriptor(root) })
}

// planDescriptor plans as far as a root is known by its descriptor.
func (c *conversion) planDescriptor(root ocispec.Descriptor) error {
	typ, _ := ParseMediaType(root.MediaType)
	if typ.Kind != KindIndex && typ.Kind != KindManifest {
		return notDocument(root)
	}
	if err := checkDescriptor(root); err != nil {
		return &Error{Op: "read", Desc: root, Err: err}
	}
	d := &document{desc: root, typ: typ}
	c.graph, c.target = &graph{root: d, unique: []*document{d}}, c.profile.Target(typ.Format)
	if typ.Kind == KindManifest && c.profile.Index == IndexRequired {
		c.breaksIndexRequired(d)
	}
	if typ.Kind == KindIndex {
		if err := c.selectSingle(); err != nil {
			return err
		}
	}
	if typ.Format != c.target {
		c.breaksFormat(d)
	}
	return c.holdSize(d)
}

// check plans, and reports what the plan would have to mend.
func (c *conversion) check(ctx context.Context, root ocispec.Descriptor) (*Report, error) {
	c.checking = true
	return c.report(root, func() error { return c.plan(ctx, root) })
}

// report reports what a plan for root would have to mend.
func (c *conversion) report(root ocispec.Descriptor, plan func() error) (*Report, error) {
	switch root.MediaType {
	case MediaTypeDockerSchema1, MediaTypeDockerSchema1Signed:
		c.findings = append(c.findings, Finding{Rule: ruleSchema1.ID, Desc: root, Detail: "a Docker V2 Schema 1 manifest"})
	default:
		if err := plan(); err != nil {
			return nil, withOp("check", err)
		}
	}
	return &Report{Profile: c.profile.Name, Root: root, Findings: orEmpty(c.profile.judge(c.findings)), Notes: orEmpty(c.notes)}, nil
}

// oneDocument is a store that holds one document and nothing else.
type oneDocument []byte

// ReaderAt returns the document, and errdefs.ErrNotFound for anything else.
func (d oneDocument) ReaderAt(_ context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if desc.Digest.Validate() != nil || desc.Digest.Algorithm().FromBytes(d) != desc.Digest {
		return nil, fmt.Errorf("%s is not read: one document is looked at alone%.0w", desc.Digest, errdefs.ErrNotFound)
	}
	return NewReaderAt(d), nil
}
