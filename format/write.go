// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// writeBlob stores content that is at hand. That it is there already is fine.
func writeBlob(ctx context.Context, dst content.Ingester, desc ocispec.Descriptor, body []byte) error {
	w, err := openWriter(ctx, dst, desc)
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := w.Write(body); err != nil {
		w.abort(ctx)
		return err
	}
	return w.commit(ctx, desc)
}

// writer is a content.Writer that leaves nothing behind when it fails.
type writer struct {
	content.Writer
	dst content.Ingester
	ref string
}

// openWriter starts writing desc, whose digest may not be known yet. The error
// is errdefs.ErrAlreadyExists when the content is there. While another writes
// the same content it waits, as a store lets one at a time.
func openWriter(ctx context.Context, dst content.Ingester, desc ocispec.Descriptor) (*writer, error) {
	ref := refOf(desc)
	w, err := content.OpenWriter(ctx, dst, content.WithRef(ref), content.WithDescriptor(desc))
	if err != nil {
		return nil, err
	}
	out := &writer{Writer: w, dst: dst, ref: ref}
	status, err := w.Status()
	if err == nil && status.Offset > 0 {
		// What an earlier run left is not continued: it is cheaper to write it
		// again than to trust it.
		err = w.Truncate(0)
	}
	if err != nil {
		out.abort(ctx)
		return nil, err
	}
	return out, nil
}

// refOf names an ingestion. The same content has the same name, so that it is
// not written twice at once; content that has no digest yet has one of its own.
func refOf(desc ocispec.Descriptor) string {
	if desc.Digest != "" {
		return "manifest-format-" + desc.Digest.String()
	}
	return "manifest-format-" + rand.Text()
}

// commit makes the content available under desc's digest, and closes w.
func (w *writer) commit(ctx context.Context, desc ocispec.Descriptor) error {
	err := w.Commit(ctx, desc.Size, desc.Digest)
	if err != nil && !errdefs.IsAlreadyExists(err) {
		w.abort(ctx)
		return err
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("closing the content writer: %w", err)
	}
	return nil
}

// abort closes w and removes what was written, where the destination can.
func (w *writer) abort(ctx context.Context) {
	_ = w.Close() // the error that led here is the one that matters
	if m, ok := w.dst.(interface {
		Abort(ctx context.Context, ref string) error
	}); ok {
		_ = m.Abort(context.WithoutCancel(ctx), w.ref) // nothing more can be done
	}
}

// indexOf writes an index around one manifest.
func indexOf(typ MediaType, entry ocispec.Descriptor) []byte {
	body, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: typ.String(),
		Manifests: []ocispec.Descriptor{entry},
	})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return body
}
