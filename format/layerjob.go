// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/manifest-format/manifest-format/format/internal/jsontree"
)

// layerJob is one layer to be read through: recompressed, or only verified.
type layerJob struct {
	path   string
	from   ocispec.Descriptor
	typ    MediaType
	to     MediaType
	diffID digest.Digest
	result ocispec.Descriptor
}

// recompresses reports whether the job makes another blob.
func (j *layerJob) recompresses() bool { return j.typ.Compression != j.to.Compression }

// orderJob returns the job for a layer of d, the same one wherever the layer is
// met again with the same wish.
func (c *conversion) orderJob(ctx context.Context, d *document, l *descriptor, i int, to MediaType) (*layerJob, error) {
	j := &layerJob{path: d.path + "/" + l.field, from: Plain(l.Descriptor), typ: l.typ, to: to}
	if to.Kind != KindLayer {
		j.typ = to
	} else if d.isImageConfig() {
		cfg, err := c.readConfig(ctx, d)
		if err != nil {
			return nil, err
		}
		j.diffID = cfg.RootFS.DiffIDs[i]
	}
	for _, known := range c.jobs {
		if known.from.Digest != j.from.Digest || known.typ.Compression != j.typ.Compression || known.to.Compression != to.Compression {
			continue
		}
		if known.from.Size != j.from.Size {
			return nil, &Error{Op: "convert", Path: j.path, Desc: j.from, Err: otherSize(j.from.Size, known.from.Size)}
		}
		if known.diffID != j.diffID {
			return nil, &Error{Op: "convert", Path: j.path, Desc: j.from, Err: fmt.Errorf("%w: its config gives it the diff ID %s, another's %s", ErrCorrupt, j.diffID, known.diffID)}
		}
		return known, nil
	}
	c.jobs = append(c.jobs, j)
	return j, nil
}

// staleAnnotations describe the compressed bytes of a layer: tables of
// contents of eStargz and zstd:chunked.
var staleAnnotations = []string{"containerd.io/snapshot/stargz/", "io.containers.estargz.", "io.containers.zstd-chunked."}

// orderRecompression has a layer recompressed before the manifest is written.
func (c *conversion) orderRecompression(ctx context.Context, p *plan, l *descriptor, i int, to MediaType) error {
	if c.checking {
		return nil
	}
	j, err := c.orderJob(ctx, p.doc, l, i, to)
	if err != nil {
		return err
	}
	p.layers = append(p.layers, layerPatch{at: l, job: j})
	p.did(fmt.Sprintf("recompressed %s to %s", l.typ.Compression, to.Compression))
	l.node.Remove("data")
	annotations := l.node.Get("annotations")
	if annotations == nil {
		return nil
	}
	annotations.Filter(func(_ int, it *jsontree.Item) bool {
		if !slices.ContainsFunc(staleAnnotations, func(prefix string) bool { return strings.HasPrefix(it.Name, prefix) }) {
			return true
		}
		value, _ := it.Value.Text()
		c.lose(ruleStaleMetadata, j.path+"/annotations/"+pointer(it.Name), fmt.Sprintf("annotation %q", clip(it.Name)), value, "it describes bytes that are recompressed")
		return false
	})
	if len(annotations.Items()) == 0 {
		l.node.Remove("annotations")
	}
	return nil
}

// orderVerification has a layer of d that keeps its bytes read through, if the
// caller wants that. What is no filesystem (an artifact's payload, a statement,
// an encrypted layer) is compared with its digest alone.
func (c *conversion) orderVerification(ctx context.Context, d *document, l *descriptor, i int) error {
	if c.checking || !c.opts.Verify || l.typ.Foreign {
		return nil
	}
	to := l.typ
	if d.isArtifact() {
		to = MediaType{}
	}
	_, err := c.orderJob(ctx, d, l, i, to)
	return err
}

// otherSize is for a blob that two descriptors give different sizes.
func otherSize(size, other int64) error {
	return fmt.Errorf("%w: its descriptor says %d bytes, another of the same digest %d", ErrCorrupt, size, other)
}

// defaultRecompressions is how many layers are recompressed at once. Each
// uses all cores while it compresses; a second one fills the gaps.
const defaultRecompressions = 2

// concurrency is what the caller asked for, or otherwise standard.
func (c *conversion) concurrency(standard int) int {
	if c.opts.Concurrency > 0 {
		return c.opts.Concurrency
	}
	return standard
}

// runJobs reads all layers through that have to be.
func (c *conversion) runJobs(ctx context.Context) error {
	if len(c.jobs) == 0 {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.concurrency(defaultRecompressions))
	for _, j := range c.jobs {
		group.Go(func() error {
			if ctx.Err() != nil {
				return at("convert", j.path, j.from, context.Cause(ctx))
			}
			return at("convert", j.path, j.from, c.runJob(ctx, j))
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, j := range c.jobs {
		if j.recompresses() {
			c.changes = append(c.changes, Change{
				Path: j.path, From: j.from, To: j.result,
				What: fmt.Sprintf("recompressed %s to %s", j.typ.Compression, j.to.Compression),
			})
		}
	}
	return nil
}
