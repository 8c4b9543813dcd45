// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// Writer implements [content.Ingester]. Content that is there already is held
// by the lease from then on. A document has its labels from its commit on.
func (d *Draft) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	if d.holds(ctx, o.Desc.Digest) {
		return nil, fmt.Errorf("content %s%.0w", o.Desc.Digest, errdefs.ErrAlreadyExists)
	}
	w, err := d.store.services.Content.Writer(leases.WithLease(ctx, d.lease.ID), opts...)
	if err != nil {
		return nil, err
	}
	leased := leasedWriter{w, d.lease.ID}
	if t, _ := format.ParseMediaType(o.Desc.MediaType); t.Kind == format.KindIndex || t.Kind == format.KindManifest {
		return &documentWriter{leasedWriter: leased, draft: d}, nil
	}
	return leased, nil
}

// leasedWriter has what is written held from its commit on. Inside containerd
// that takes the lease from the commit's context; a client's writer has it
// from the beginning.
type leasedWriter struct {
	content.Writer
	lease string
}

// Commit implements [content.Writer].
func (w leasedWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	return w.Writer.Commit(leases.WithLease(ctx, w.lease), size, expected, opts...)
}

// documentWriter labels a document with what it names as it is committed: once
// it is there, that is another write to containerd's disk.
type documentWriter struct {
	leasedWriter
	draft *Draft
	body  bytes.Buffer
}

// Write implements [content.Writer].
func (w *documentWriter) Write(p []byte) (int, error) {
	n, err := w.leasedWriter.Write(p)
	w.body.Write(p[:n])
	return n, err
}

// Truncate implements [content.Writer]. A document is written from its start.
func (w *documentWriter) Truncate(size int64) error {
	if size < int64(w.body.Len()) {
		w.body.Truncate(int(size))
	}
	return w.leasedWriter.Truncate(size)
}

// Commit implements [content.Writer].
func (w *documentWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	// What cannot be read here is refused where the image gets its name.
	labels := labelsOf(w.body.Bytes())
	if len(labels) > 0 {
		opts = append([]content.Opt{content.WithLabels(labels)}, opts...)
	}
	err := w.leasedWriter.Commit(ctx, size, expected, opts...)
	if err == nil && len(labels) > 0 && expected != "" {
		w.draft.wrote(expected, w.body.Bytes())
	}
	return err
}

// labelsOf are the labels by which a document keeps what it names. There is a
// key for each place in it: the keys that a client writes when it pulls some of
// the platforms count only those.
func labelsOf(body []byte) map[string]string {
	var doc struct {
		Config    *ocispec.Descriptor  `json:"config"`
		Layers    []ocispec.Descriptor `json:"layers"`
		Manifests []ocispec.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil
	}
	labels := map[string]string{}
	if doc.Config != nil {
		labels[labelConfig] = doc.Config.Digest.String()
	}
	for n, layer := range doc.Layers {
		labels[labelLayers+strconv.Itoa(n)] = layer.Digest.String()
	}
	for n, manifest := range doc.Manifests {
		labels[labelManifests+strconv.Itoa(n)] = manifest.Digest.String()
	}
	return labels
}
