// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Convert makes the image at root acceptable to p, in s: it reads the
// documents, decides, and only then recompresses layers and writes documents,
// children before parents. What needs no change is not written, and root comes
// back as it is when nothing does.
//
// Configs and layers keep their bytes except where [Options] or the profile
// say otherwise. When Convert fails, what it wrote until then is whole and
// named by nothing: s has no new root, and nothing half-written.
//
// A store that collects garbage needs a lease in ctx until the caller has
// labelled the new documents: those that Walk finds below Root and Referrers.
//
// Convert is safe for concurrent use, and stops soon after ctx is done. Errors
// are of type [*Error].
func Convert(ctx context.Context, s Store, root ocispec.Descriptor, p Profile, o Options) (*Result, error) {
	c := newConversion(s, p, o)
	c.store = s
	if err := c.run(ctx, root); err != nil {
		return nil, withOp("convert", err)
	}
	if c.result.Digest == root.Digest && c.result.MediaType == root.MediaType {
		c.result = root // with its platform and annotations
	}
	return &Result{
		Source:    root,
		Root:      c.result,
		Referrers: orEmpty(c.referrers),
		Changes:   orEmpty(c.changes),
		Losses:    orEmpty(c.losses),
		Notes:     orEmpty(c.notes),
	}, nil
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// conversion is the state of one Check or Convert. Planning works on the
// parsed documents and writes nothing; building fills in what depends on
// results (digests of children) and writes.
type conversion struct {
	record
	src      content.Provider
	store    content.Ingester // nil when checking
	profile  Profile
	opts     Options
	checking bool
	// shallow says that there is one document, and nothing of what it names.
	shallow bool
	// unheld are documents that are not there, and not to be read.
	unheld map[digest.Digest]bool

	graph   *graph
	target  Format
	attests Attestations
	configs map[docKey]*imageConfig
	// configSize is what the configs read have in all, in bytes.
	configSize int64
	plans      map[*document]*plan
	indexes    map[*document]*indexPlan
	classes    map[*document]class
	jobs       []*layerJob
	top        *indexPlan // of the root, nil when that is a manifest
	only       *document  // the manifest that becomes the root in place of top
	leaving    []*entry   // attestations that become referrers
	// images is what the images of an index have become, by what they were.
	images map[digest.Digest]ocispec.Descriptor

	result    ocispec.Descriptor
	referrers []ocispec.Descriptor
}

// plan is what becomes of one document.
type plan struct {
	doc    *document
	typ    MediaType
	edited bool
	what   []string // done to it, in words
	layers []layerPatch
	config *newConfig
	blobs  []embedded
	built  bool
	result ocispec.Descriptor
}

// did records that the document is edited, and how.
func (p *plan) did(what string) {
	p.edited = true
	if !slices.Contains(p.what, what) {
		p.what = append(p.what, what)
	}
}

func newConversion(src content.Provider, p Profile, o Options) *conversion {
	return &conversion{
		src: src, profile: p, opts: o,
		configs: map[docKey]*imageConfig{},
		plans:   map[*document]*plan{},
		indexes: map[*document]*indexPlan{},
		classes: map[*document]class{},
		images:  map[digest.Digest]ocispec.Descriptor{},
	}
}

// refuse is for what no conversion mends. A check reports it and goes on.
func (c *conversion) refuse(rule Rule, path string, desc ocispec.Descriptor, err error) error {
	if c.checking {
		c.findings = append(c.findings, Finding{Rule: rule.ID, Path: path, Desc: desc, Detail: printable(err.Error())})
		return nil
	}
	return at("convert", path, desc, err)
}

func (c *conversion) run(ctx context.Context, root ocispec.Descriptor) error {
	if err := c.validate(); err != nil {
		return &Error{Op: "convert", Desc: root, Err: err}
	}
	if err := c.plan(ctx, root); err != nil {
		return err
	}
	if len(c.losses) > 0 && c.opts.OnLoss == OnLossFail {
		return c.lossy(root)
	}
	if err := c.runJobs(ctx); err != nil {
		return err
	}
	return c.build(ctx)
}

// lossy is the error that carries what would be lost.
func (c *conversion) lossy(root ocispec.Descriptor) error {
	return &Error{Op: "convert", Path: c.losses[0].Path, Desc: root, Err: &LossError{Losses: c.losses}}
}

// LossError is [ErrLossy] with what would have been lost.
type LossError struct {
	Losses []Loss // at least one
}

// Error names the first loss and counts the others.
func (e *LossError) Error() string {
	text := ErrLossy.Error() + ": " + e.Losses[0].What
	if n := len(e.Losses) - 1; n > 0 {
		text += fmt.Sprintf(", and %d more", n)
	}
	return text
}

// Unwrap returns [ErrLossy].
func (e *LossError) Unwrap() error { return ErrLossy }

// validate refuses options that are none, or that contradict one another or
// the profile.
func (c *conversion) validate() error {
	o := c.opts
	for _, err := range []error{
		oneOf("on-loss", o.OnLoss, OnLossWarn, OnLossFail),
		oneOf("annotations", o.Annotations, AnnotationsDrop, AnnotationsLabels),
		oneOf("attestations", o.Attestations, AttestationsKeep, AttestationsReferrers, AttestationsDrop),
		oneOf("compression", o.Compression, Uncompressed, Gzip, Zstd),
	} {
		if err != nil {
			return err
		}
	}
	if o.Single && o.Index {
		return fmt.Errorf("%w: a single manifest and an index are asked for at once", ErrNotFixable)
	}
	if o.Single && c.profile.Index == IndexRequired {
		return fmt.Errorf("%w: %s accepts nothing but an index", ErrNotFixable, c.profile.Name)
	}
	if o.Index && c.profile.Index == IndexForbidden {
		return fmt.Errorf("%w: %s accepts no index", ErrNotFixable, c.profile.Name)
	}
	if a := o.Attestations; a != "" && !slices.Contains(c.profile.attestations(), a) {
		return fmt.Errorf("%w: %s cannot %s attestations; choose one of %s", ErrNotFixable, c.profile.Name, a, joinWords(c.profile.attestations()))
	}
	if o.Attestations == AttestationsReferrers && o.NoReferrers {
		return fmt.Errorf("%w: the destination holds no referrers; drop the attestations, or write to a registry or an OCI layout", ErrNotFixable)
	}
	return nil
}

// oneOf refuses an option's value that is neither empty nor one of known.
func oneOf[T ~string](option string, value T, known ...T) error {
	if value == "" || slices.Contains(known, value) {
		return nil
	}
	return fmt.Errorf("%s %q is none of %s%.0w", option, clip(string(value)), joinWords(known), errdefs.ErrInvalidArgument)
}

// plan reads the image and decides what to do.
func (c *conversion) plan(ctx context.Context, root ocispec.Descriptor) error {
	var only platforms.Matcher
	if len(c.opts.Platforms) > 0 {
		only = platforms.Any(c.opts.Platforms...)
	}
	g, err := load(ctx, c.src, root, loadOptions{concurrency: c.opts.Concurrency, only: only, partial: c.opts.Partial, unheld: c.unheld, shallow: c.shallow})
	if err != nil {
		return err
	}
	c.graph = g
	c.target = c.profile.Target(g.root.typ.Format)
	if o := c.opts.Compression; o != "" && !c.profile.Accepts(c.target, o) {
		return &Error{Op: "convert", Desc: root, Err: fmt.Errorf("%w: %s has no layers with compression %s", ErrNoEquivalent, c.profile.Name, o)}
	}
	if err := c.prefetch(ctx); err != nil {
		return err
	}
	if g.root.typ.Kind == KindIndex {
		return c.planRootIndex(ctx)
	}
	if c.target == Docker && g.root.isArtifact() {
		return c.refuse(ruleArtifact, "", root, fmt.Errorf("%w: %s is no image, and a Docker manifest holds nothing else", ErrNotFixable, g.root.artifactName()))
	}
	if err := c.selectRoot(ctx, g.root); err != nil {
		return err
	}
	if err := c.requireIndex(); err != nil {
		return err
	}
	if c.profile.holds(ruleImageRoot) && !g.root.isImageConfig() {
		if err := c.unmet(ruleImageRoot, "", root, "%s", g.root.artifactName()); err != nil {
			return err
		}
	}
	if err := c.holdRootManifest(ctx, g.root); err != nil {
		return err
	}
	if c.opts.Index {
		if _, _, err := c.wrapPlatform(ctx); err != nil {
			return err
		}
	}
	return c.planManifest(ctx, g.root)
}

// requireIndex has a single manifest wrapped where the target takes nothing
// but an index.
func (c *conversion) requireIndex() error {
	d := c.graph.root
	switch {
	case c.profile.Index != IndexRequired:
	case d.isArtifact():
		return c.unmet(ruleIndexRequired, d.path, d.desc, "%s", d.artifactName())
	default:
		c.breaksIndexRequired(d)
		c.opts.Index = !c.checking
	}
	return nil
}

// breaksIndexRequired records that the root is no index.
func (c *conversion) breaksIndexRequired(d *document) {
	c.broken(ruleIndexRequired, d.path, d.desc, "a single manifest, where an index is needed")
}

// build writes what was planned: images, then what points at images, then
// indexes.
func (c *conversion) build(ctx context.Context) error {
	var err error
	switch {
	case c.top == nil:
		c.result, err = c.buildManifest(ctx, c.graph.root)
	case c.only != nil:
		if err = c.buildImages(ctx, c.top); err == nil {
			c.result = c.plans[c.only].result
		}
	default:
		c.result, err = c.buildIndex(ctx, c.top)
	}
	if err == nil && c.opts.Index && c.top == nil {
		c.result, err = c.wrap(ctx)
	}
	return err
}

// joinWords lists words for a person.
func joinWords[T ~string](words []T) string {
	var all []string
	for _, w := range words {
		all = append(all, string(w))
	}
	return strings.Join(all, ", ")
}
