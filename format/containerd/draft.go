// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// LabelOwner is on the leases of drafts. A host that was killed finds by it
// what it left, see [Store.Sweep].
const LabelOwner = "manifest-format.owner"

// The labels by which content keeps what it names.
// https://github.com/containerd/containerd/blob/main/docs/garbage-collection.md
const (
	labelContent   = "containerd.io/gc.ref.content"
	labelConfig    = labelContent + ".config"
	labelLayers    = labelContent + ".l."
	labelManifests = labelContent + ".m."
)

// defaultExpiration is long enough for any conversion, and what a lease of
// containerd's own client lasts.
const defaultExpiration = 24 * time.Hour

// DraftOptions change how a [Draft] is begun. The zero value works.
type DraftOptions struct {
	// Owner says whose lease it is, for [Store.Sweep]. It may be empty.
	Owner string
	// Expiration is how long the lease outlives a process that is killed. If 0
	// or less, 24 hours. Nothing may be written after it.
	Expiration time.Duration
}

// Draft is an image that is being written, held by a lease of its own. It is
// safe for concurrent use.
type Draft struct {
	store *Store
	lease leases.Lease

	mu sync.Mutex
	// held is all that the images name that are held: what is there of it needs
	// no lease of its own.
	held map[digest.Digest]bool
	// documents are those that are held or were written here, which stay.
	documents map[digest.Digest][]byte
	// labelled are documents that are known to keep all that they name.
	labelled map[digest.Digest]bool
}

var _ format.Store = (*Draft)(nil)

// Begin makes a lease. The caller ends it with [Draft.Close].
func (s *Store) Begin(ctx context.Context, o DraftOptions) (*Draft, error) {
	if o.Expiration <= 0 {
		o.Expiration = defaultExpiration
	}
	opts := []leases.Opt{leases.WithRandomID(), leases.WithExpiration(o.Expiration)}
	if o.Owner != "" {
		opts = append(opts, leases.WithLabel(LabelOwner, o.Owner))
	}
	lease, err := s.services.Leases.Create(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("make a lease: %w", err)
	}
	return &Draft{
		store: s, lease: lease,
		held: map[digest.Digest]bool{}, documents: map[digest.Digest][]byte{}, labelled: map[digest.Digest]bool{},
	}, nil
}

// Sweep deletes the leases of an owner that a process left which was killed,
// and returns how many there were. Nobody else may be working as that owner.
func (s *Store) Sweep(ctx context.Context, owner string) (int, error) {
	left, err := s.services.Leases.List(ctx, `labels.`+strconv.Quote(LabelOwner)+`==`+strconv.Quote(owner))
	if err != nil {
		return 0, fmt.Errorf("list leases: %w", err)
	}
	for n, lease := range left {
		if err := s.services.Leases.Delete(ctx, lease); err != nil && !errdefs.IsNotFound(err) {
			return n, fmt.Errorf("delete the lease %s: %w", lease.ID, err)
		}
	}
	return len(left), nil
}

// Hold keeps an image that is there, with what there is of all it names, until
// Close. The error is of class ErrNotFound if its root is gone.
func (d *Draft) Hold(ctx context.Context, root ocispec.Descriptor) error {
	resource := leases.Resource{ID: root.Digest.String(), Type: "content"}
	if err := d.store.services.Leases.AddResource(ctx, d.lease, resource); err != nil {
		return fmt.Errorf("lease %s: %w", root.Digest, err)
	}
	h := hold{held: map[digest.Digest]bool{root.Digest: true}, documents: map[digest.Digest][]byte{}, keeps: map[digest.Digest]map[digest.Digest]bool{}, loose: map[digest.Digest]bool{}}
	for node, err := range format.WalkHeld(ctx, d, root) {
		if err == nil {
			err = h.add(ctx, d.store, node)
		}
		if err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.Copy(d.held, h.held)
	maps.Copy(d.documents, h.documents)
	for dgst := range h.documents {
		d.labelled[dgst] = !h.loose[dgst]
	}
	return nil
}

// hold is what an image holds.
type hold struct {
	held      map[digest.Digest]bool
	documents map[digest.Digest][]byte
	// keeps is what documents keep by their labels, loose are those that name
	// more than that.
	keeps map[digest.Digest]map[digest.Digest]bool
	loose map[digest.Digest]bool
}

// add adds what a document names, and is therefore met after it.
func (h *hold) add(ctx context.Context, s *Store, node format.Node) error {
	if node.Parent != "" && h.held[node.Parent] {
		if h.keeps[node.Parent][node.Desc.Digest] {
			h.held[node.Desc.Digest] = true
		} else {
			h.loose[node.Parent] = true
		}
	}
	if node.Body == nil || !h.held[node.Desc.Digest] || h.documents[node.Desc.Digest] != nil {
		return nil
	}
	h.documents[node.Desc.Digest] = node.Body
	var err error
	h.keeps[node.Desc.Digest], err = s.keptBy(ctx, node.Desc.Digest)
	return err
}

// keptBy is the content that the labels of a document keep.
func (s *Store) keptBy(ctx context.Context, document digest.Digest) (map[digest.Digest]bool, error) {
	info, err := s.services.Content.Info(ctx, document)
	if err != nil {
		return nil, err
	}
	kept := map[digest.Digest]bool{}
	for key, value := range info.Labels {
		if strings.HasPrefix(key, labelContent) {
			kept[digest.Digest(value)] = true
		}
	}
	return kept, nil
}

// holds reports whether content is there and below an image that is held. To
// lease it once more would cost containerd a write to its disk.
func (d *Draft) holds(ctx context.Context, dgst digest.Digest) bool {
	d.mu.Lock()
	held := d.held[dgst]
	d.mu.Unlock()
	if !held {
		return false
	}
	_, err := d.store.services.Content.Info(ctx, dgst)
	return err == nil
}

// ReaderAt implements [content.Provider].
func (d *Draft) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	d.mu.Lock()
	body, ok := d.documents[desc.Digest]
	d.mu.Unlock()
	if ok {
		return format.NewReaderAt(body), nil
	}
	return d.store.ReaderAt(ctx, desc)
}

// wrote records a document that was written with its labels.
func (d *Draft) wrote(dgst digest.Digest, body []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.documents[dgst], d.labelled[dgst] = body, true
}

// Abort removes what an unfinished Writer left.
func (d *Draft) Abort(ctx context.Context, ref string) error {
	return d.store.services.Content.Abort(ctx, ref)
}

// PutOptions say what is known of an image beside its root.
type PutOptions struct {
	// Labels are put on the image, those that it has already stay.
	Labels map[string]string
	// Was, if not empty, is what the name has to mean still: if it was moved
	// since, the error is a [MovedError].
	Was digest.Digest
}

// Put gives the image at root, all of which has to be there but for foreign
// layers, a name. An image that has the name already is moved, and if it is
// that one already left alone. Idempotent.
func (d *Draft) Put(ctx context.Context, name string, root ocispec.Descriptor, o PutOptions) error {
	if err := d.keep(ctx, root); err != nil {
		return err
	}
	image := images.Image{Name: name, Target: format.Plain(root), Labels: o.Labels}
	if o.Was == "" {
		_, err := d.store.services.Images.Create(ctx, image)
		if !errdefs.IsAlreadyExists(err) {
			return inContainerd(name, err)
		}
	}
	have, err := d.store.services.Images.Get(ctx, name)
	if err != nil {
		return inContainerd(name, err)
	}
	if o.Was != "" && have.Target.Digest != o.Was {
		return &MovedError{Name: name, Was: o.Was, Now: have.Target.Digest}
	}
	var fields []string
	if have.Target.Digest != root.Digest || have.Target.MediaType != root.MediaType {
		fields = append(fields, "target")
	}
	for key, value := range o.Labels {
		if have.Labels[key] != value {
			fields = append(fields, "labels."+key)
		}
	}
	if len(fields) == 0 {
		return nil
	}
	_, err = d.store.services.Images.Update(ctx, image, fields...)
	return inContainerd(name, err)
}

func inContainerd(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("name the image %s in containerd: %w", name, err)
}

// closeLimit is how long a containerd that hangs is waited for: the lease ends
// by itself.
const closeLimit = 10 * time.Second

// Close deletes the lease, also when ctx is done: what has no name then is
// garbage.
func (d *Draft) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	err := d.store.services.Leases.Delete(ctx, d.lease)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete the lease %s: %w", d.lease.ID, err)
	}
	return nil
}

// keep labels every document of the image with what it names, but for those
// that are known to be.
func (d *Draft) keep(ctx context.Context, root ocispec.Descriptor) error {
	done := map[digest.Digest]bool{}
	d.mu.Lock()
	maps.Copy(done, d.labelled)
	d.mu.Unlock()
	for node, err := range format.Walk(ctx, d, root) {
		if err != nil {
			return err
		}
		if node.Body == nil || done[node.Desc.Digest] {
			continue
		}
		done[node.Desc.Digest] = true
		if err := AddLabels(ctx, d.store.services.Content, node.Desc.Digest, labelsOf(node.Body)); err != nil {
			return err
		}
	}
	return nil
}

// AddLabels gives content the labels that it does not have. It costs the store
// a write only if there are any.
func AddLabels(ctx context.Context, cs content.Manager, dgst digest.Digest, labels map[string]string) error {
	info, err := cs.Info(ctx, dgst)
	if err != nil {
		return fmt.Errorf("label %s: %w", dgst, err)
	}
	missing := maps.Clone(labels)
	maps.DeleteFunc(missing, func(key, value string) bool { return info.Labels[key] == value })
	if len(missing) == 0 {
		return nil
	}
	var fields []string
	for key := range missing {
		fields = append(fields, "labels."+key)
	}
	if _, err := cs.Update(ctx, content.Info{Digest: dgst, Labels: missing}, fields...); err != nil {
		return fmt.Errorf("label %s: %w", dgst, err)
	}
	return nil
}
