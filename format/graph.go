// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// graph is all documents below a root. Layers and configs are not read.
type graph struct {
	root *document
	// unique has each document once, in the order in which they are met.
	unique []*document
}

// defaultReads is how many documents are read at once: enough to hide a
// registry's latency, few enough for its rate limits.
const defaultReads = 8

// loadOptions change what load reads.
type loadOptions struct {
	// concurrency is [defaultReads] if 0 or less.
	concurrency int
	// only, if not nil, matches the platforms whose images are read. Images
	// whose index names another one are not, nor is what speaks of them: an
	// engine has the index of all platforms and the content of one.
	only platforms.Matcher
	// partial says that the source holds of an image what was pulled, which may
	// lack what is attested of it.
	partial bool
	// holdings has documents that are not there marked so, but for the root.
	holdings bool
	// unheld are documents of an index that are known not to be there.
	unheld map[digest.Digest]bool
	// shallow reads the root alone.
	shallow bool
}

// load reads all documents below root, level by level, several at once. Each
// is read once however often it is named.
func load(ctx context.Context, src content.Provider, root ocispec.Descriptor, o loadOptions) (*graph, error) {
	if o.concurrency <= 0 {
		o.concurrency = defaultReads
	}
	if !isDocument(root.MediaType) {
		return nil, notDocument(root)
	}
	l := &loader{src: src, loadOptions: o, seen: map[docKey]*document{}}
	first := &document{desc: root}
	g := &graph{root: first}
	for level := []*document{first}; len(level) > 0; l.depth++ {
		if err := l.readLevel(ctx, level); err != nil {
			return nil, err
		}
		g.unique = append(g.unique, level...)
		var err error
		if level, err = l.nextLevel(level); err != nil {
			return nil, err
		}
	}
	return g, measure(g.root, map[*document]size{})
}

// notDocument is for a root that no image has.
func notDocument(root ocispec.Descriptor) error {
	return &Error{Op: "read", Desc: root, Err: fmt.Errorf("%w: %q is neither an index nor a manifest", ErrNotFixable, clip(root.MediaType))}
}

// size is how large a graph is when what is named twice counts twice.
type size struct{ descriptors, indexes int }

// measure refuses a graph that is small only because its parts are shared: an
// index that names another one a hundred times, which does the same, is an
// image of 100 to the power of 8.
func measure(d *document, known map[*document]size) error {
	s := size{descriptors: 1 + len(d.layers)}
	if d.config != nil {
		s.descriptors++
	}
	for i, c := range d.children {
		if c == nil {
			s.descriptors++
			continue
		}
		if _, ok := known[c]; !ok {
			if err := measure(c, known); err != nil {
				return err
			}
		}
		s.descriptors += known[c].descriptors
		if s.indexes = max(s.indexes, known[c].indexes); s.indexes+1 > maxDepth {
			return &Error{Op: "read", Path: d.path + "/" + d.manifests[i].field, Desc: c.desc, Err: tooDeep()}
		}
		if s.descriptors > maxDescriptors {
			return &Error{Op: "read", Path: d.path, Desc: d.desc, Err: tooMany()}
		}
	}
	if d.typ.Kind == KindIndex {
		s.indexes++
	}
	known[d] = s
	return nil
}

func tooDeep() error {
	return fmt.Errorf("%w: indexes are nested more than %d deep", ErrTooLarge, maxDepth)
}

func tooMany() error {
	return fmt.Errorf("%w: the image has more than %d descriptors", ErrTooLarge, maxDescriptors)
}

// docKey tells documents apart: the same bytes under two media types are two.
type docKey struct {
	digest    digest.Digest
	mediaType string
}

type loader struct {
	loadOptions
	src         content.Provider
	depth       int
	descriptors int
	total       int64
	seen        map[docKey]*document
}

// readLevel reads the documents of one level. Of several errors it returns the
// first in document order, so that a bad image always gives the same one.
func (l *loader) readLevel(ctx context.Context, level []*document) error {
	for _, d := range level {
		if l.total += max(d.desc.Size, 0); l.total > maxTotalSize {
			return &Error{Op: "read", Path: d.path, Desc: d.desc, Err: fmt.Errorf("%w: its documents have more than %d bytes in all", ErrTooLarge, maxTotalSize)}
		}
	}
	errs := make([]error, len(level))
	var group errgroup.Group
	group.SetLimit(l.concurrency)
	for i, d := range level {
		group.Go(func() error {
			read, err := readDocument(ctx, l.src, d.desc, d.path)
			if d.optional && errdefs.IsNotFound(err) {
				d.missing = true
				return nil
			}
			if errdefs.IsNotFound(err) && d.desc.Platform != nil {
				err = fmt.Errorf("%w; the index names %s, but the image is not whole here: choose the platforms that are", err, platforms.FormatAll(*d.desc.Platform))
			}
			if err != nil {
				errs[i] = below(d, err)
				return nil
			}
			*d = *read
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	if ctx.Err() != nil {
		return at("read", level[0].path, level[0].desc, context.Cause(ctx))
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// below says where in the image err happened, which may be inside d.
func below(d *document, err error) error {
	var inner *Error
	if errors.As(err, &inner) {
		return &Error{Op: inner.Op, Path: d.path + inner.Path, Desc: inner.Desc, Err: inner.Err}
	}
	return &Error{Op: "read", Path: d.path, Desc: d.desc, Err: err}
}

// nextLevel links the documents that those of a level name, and returns the
// ones that were not met before.
func (l *loader) nextLevel(level []*document) ([]*document, error) {
	var next []*document
	for _, d := range level {
		l.descriptors += len(d.manifests) + len(d.layers) + 1
		if l.descriptors > maxDescriptors {
			return nil, &Error{Op: "read", Path: d.path, Desc: d.desc, Err: tooMany()}
		}
		d.children = make([]*document, len(d.manifests))
		l.pass(d)
		for i, m := range d.manifests {
			if !isDocument(m.MediaType) || m.unread {
				continue
			}
			path := d.path + "/" + m.field
			if l.depth+1 >= maxDepth && m.typ.Kind == KindIndex {
				return nil, &Error{Op: "read", Path: path, Desc: m.Descriptor, Err: tooDeep()}
			}
			key := docKey{m.Digest, m.MediaType}
			child, ok := l.seen[key]
			if !ok {
				child = &document{desc: m.Descriptor, path: path, optional: l.optional(m)}
				l.seen[key] = child
				next = append(next, child)
			} else if child.desc.Size != m.Size {
				return nil, &Error{Op: "read", Path: path, Desc: m.Descriptor, Err: otherSize(m.Size, child.desc.Size)}
			}
			d.children[i] = child
		}
	}
	return next, nil
}

// optional reports whether a document may be missing.
func (l *loader) optional(m *descriptor) bool {
	return l.holdings || (l.partial || l.only != nil) && m.isAttestation()
}

// pass marks the entries of an index that are not to be read.
func (l *loader) pass(d *document) {
	for _, m := range d.manifests {
		m.unread = l.shallow || l.unheld[m.Digest]
	}
	if l.only == nil {
		return
	}
	passed := map[digest.Digest]bool{}
	for _, m := range d.manifests {
		if p := m.Platform; p != nil && p.OS != "" && p.Architecture != "" && m.typ.Kind == KindManifest && !m.isAttestation() {
			m.unread = m.unread || !l.only.Match(*p)
			// The same manifest may be there for two platforms.
			before, again := passed[m.Digest]
			passed[m.Digest] = m.unread && (before || !again)
		}
	}
	for _, m := range d.manifests {
		if m.isAttestation() {
			m.unread = m.unread || passed[m.about()]
		}
	}
}

// Walk yields root and everything below it, a document before its children,
// in document order, each occurrence once: indexes, manifests, then a
// manifest's config and layers. Documents are read strictly and all at first,
// so that one that must be refused is refused before anything is yielded; the
// error then is the only thing yielded, with the node that it concerns.
// Configs and layers are named, not read.
func Walk(ctx context.Context, src content.Provider, root ocispec.Descriptor) iter.Seq2[Node, error] {
	return walk(ctx, src, root, loadOptions{})
}

// WalkHeld is [Walk] of what src holds of an image: a document that is not
// there is yielded as the leaf that its parent names, without a Body. The root
// has to be there. See [Holdings].
func WalkHeld(ctx context.Context, src content.Provider, root ocispec.Descriptor) iter.Seq2[Node, error] {
	return walk(ctx, src, root, loadOptions{holdings: true})
}

func walk(ctx context.Context, src content.Provider, root ocispec.Descriptor, o loadOptions) iter.Seq2[Node, error] {
	return func(yield func(Node, error) bool) {
		g, err := load(ctx, src, root, o)
		if err != nil {
			err = withOp("walk", err)
			node := Node{Desc: root}
			var e *Error
			if errors.As(err, &e) {
				node = Node{Path: e.Path, Desc: e.Desc}
			}
			yield(node, err)
			return
		}
		walkDocument(g.root, Node{Desc: root}, yield)
	}
}

// walkDocument yields d as node, then what is below it. It reports whether to
// go on.
func walkDocument(d *document, node Node, yield func(Node, error) bool) bool {
	node.Type, node.Body = d.typ, d.body
	if !yield(node, nil) {
		return false
	}
	leaf := func(c *descriptor) Node {
		return Node{Path: node.Path + "/" + c.field, Desc: c.Descriptor, Type: c.typ, Parent: d.desc.Digest}
	}
	if d.config != nil && !yield(leaf(d.config), nil) {
		return false
	}
	for _, layer := range d.layers {
		if !yield(leaf(layer), nil) {
			return false
		}
	}
	for i, m := range d.manifests {
		if c := d.children[i]; c == nil || c.missing {
			if !yield(leaf(m), nil) {
				return false
			}
		} else if !walkDocument(d.children[i], leaf(m), yield) {
			return false
		}
	}
	return true
}

// withOp names the operation in err, an [*Error] of a part of it.
func withOp(op string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return &Error{Op: op, Path: e.Path, Desc: e.Desc, Err: e.Err}
	}
	return err
}
