// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// gzipBlock is the input that is compressed as one piece. It decides the
	// output, so it must never depend on the machine.
	gzipBlock = 1 << 20
	// gzipLevel and zstdLevel decide the output too.
	gzipLevel = pgzip.DefaultCompression
	zstdLevel = zstd.SpeedDefault
	// maxWindow is what the zstd tool decodes without being told to take more.
	maxWindow = 128 << 20
	// copyBuffer is how much is moved at a time.
	copyBuffer = 1 << 20
	// jobTries is how often a layer is read through, when the destination was
	// not available for a while. The bytes are the same each time.
	jobTries = 3
)

// runJob reads a layer through, and writes it anew if it is to be recompressed.
func (c *conversion) runJob(ctx context.Context, j *layerJob) error {
	action := ActionVerify
	if j.recompresses() {
		action = ActionRecompress
	}
	report := reporter(c.opts.Progress, action, j.path, j.from)
	var err error
	for range jobTries {
		if err = c.tryJob(ctx, j, report); !errdefs.IsUnavailable(err) || ctx.Err() != nil {
			break
		}
	}
	report(0, true, err)
	return err
}

func (c *conversion) tryJob(ctx context.Context, j *layerJob, report reportFunc) error {
	ra, err := c.src.ReaderAt(ctx, j.from)
	if err != nil {
		return err
	}
	defer ra.Close()
	if ra.Size() != j.from.Size {
		return fmt.Errorf("%w: its descriptor says %d bytes, but it has %d", ErrCorrupt, j.from.Size, ra.Size())
	}
	in := newPassage(ctx, content.NewReader(ra), j.from, report)
	if j.typ.Kind != KindLayer {
		return in.finish()
	}
	plainTar, err := decompress(in, j.typ)
	if err != nil {
		return err
	}
	defer plainTar.Close()
	diffID := digest.Canonical.Hash()
	if j.diffID != "" {
		diffID = j.diffID.Algorithm().Hash()
	}
	if !j.recompresses() {
		if _, err := io.CopyBuffer(writerOnly{diffID}, plainTar, make([]byte, copyBuffer)); err != nil {
			return in.explain(err)
		}
		return j.verify(in, diffID)
	}
	return c.rewrite(ctx, j, in, plainTar, diffID)
}

// rewrite compresses tar into the store, which says what digest it has then.
func (c *conversion) rewrite(ctx context.Context, j *layerJob, in *passage, tar io.Reader, diffID hash.Hash) error {
	target := ocispec.Descriptor{MediaType: j.to.String()}
	w, err := openWriter(ctx, c.store, target)
	if err != nil {
		return err
	}
	out := &counted{w: w}
	err = compress(out, tar, j.to.Compression, diffID)
	switch {
	case out.err != nil:
		err = out.err
	case err != nil:
		err = in.explain(err)
	default:
		err = j.verify(in, diffID)
	}
	if err != nil {
		w.abort(ctx)
		return err
	}
	target.Size = out.size
	if err := w.commit(ctx, target); err != nil {
		return err
	}
	target.Digest = w.Digest()
	j.result = target
	return checkDescriptor(target)
}

// verify compares what was read with what should have been.
func (j *layerJob) verify(in *passage, diffID hash.Hash) error {
	if err := in.finish(); err != nil {
		return err
	}
	if j.diffID == "" {
		return nil
	}
	if got := digest.NewDigest(j.diffID.Algorithm(), diffID); got != j.diffID {
		return fmt.Errorf("%w: the layer decompresses to %s, but its config's diff ID is %s", ErrCorrupt, got, j.diffID)
	}
	return nil
}

// passage is the way of a layer's bytes through here: counted, hashed, and
// stopped when the context is done.
type passage struct {
	ctx    context.Context //nolint:containedctx // it lives as long as one read of one layer
	r      io.Reader
	desc   ocispec.Descriptor
	hash   hash.Hash
	done   int64
	err    error
	report reportFunc
}

func newPassage(ctx context.Context, r io.Reader, desc ocispec.Descriptor, report reportFunc) *passage {
	return &passage{ctx: ctx, r: r, desc: desc, hash: desc.Digest.Algorithm().Hash(), report: report}
}

func (p *passage) Read(b []byte) (int, error) {
	if p.ctx.Err() != nil {
		p.err = context.Cause(p.ctx)
		return 0, p.err
	}
	n, err := p.r.Read(b)
	p.hash.Write(b[:n])
	p.done += int64(n)
	p.report(p.done, false, nil)
	if err != nil && !errors.Is(err, io.EOF) {
		p.err = err
	}
	return n, err
}

// explain tells an error in the bytes from one in getting them.
func (p *passage) explain(err error) error {
	if p.err != nil {
		return p.err
	}
	return fmt.Errorf("%w: the layer cannot be decompressed: %w", ErrCorrupt, err)
}

// finish reads what the decompressor left, and compares the digest.
func (p *passage) finish() error {
	if _, err := io.Copy(writerOnly{io.Discard}, p); err != nil {
		return err
	}
	if got := digest.NewDigest(p.desc.Digest.Algorithm(), p.hash); got != p.desc.Digest {
		return fmt.Errorf("%w: it hashes to %s, not to its digest", ErrCorrupt, got)
	}
	return nil
}

// writerOnly hides ReadFrom, which would choose a small buffer of its own.
type writerOnly struct{ io.Writer }

// counted counts what is written, and keeps the error.
type counted struct {
	w    io.Writer
	size int64
	err  error
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.size += int64(n)
	if err != nil {
		c.err = err
	}
	return n, err
}

// hashed hashes what is written while w takes it.
type hashed struct {
	w    io.Writer
	hash hash.Hash
	wait sync.WaitGroup
}

func (h *hashed) Write(b []byte) (int, error) {
	h.wait.Go(func() { h.hash.Write(b) })
	n, err := h.w.Write(b)
	h.wait.Wait()
	return n, err
}

// magicSize is how many bytes tell compressions apart.
const magicSize = 4

// sniff tells the compression from the first bytes of a layer: RFC 1952
// section 2.3.1, RFC 8878 sections 3.1.1 and 3.1.2.
func sniff(head []byte) Compression {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return Gzip
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return Zstd
	case len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		return Zstd // a skippable frame, which zstd:chunked may begin with
	}
	return Uncompressed
}

// checkMagic compares the first bytes of a layer with its media type.
func checkMagic(head []byte, typ MediaType) error {
	if got := sniff(head); got != typ.Compression {
		return fmt.Errorf("%w: its media type says %s, but its bytes are %s", ErrCorrupt, typ.describe(), describeBytes(got))
	}
	return nil
}

func describeBytes(c Compression) string {
	if c == Uncompressed {
		return "neither gzip nor zstd"
	}
	return string(c)
}

// decompress returns the tar in r. The caller closes it.
func decompress(r *passage, typ MediaType) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(r, copyBuffer)
	head, err := buffered.Peek(magicSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := checkMagic(head, typ); err != nil {
		return nil, err
	}
	switch typ.Compression {
	case Gzip:
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, r.explain(err)
		}
		return z, nil
	case Zstd:
		z, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, r.explain(err)
		}
		return z.IOReadCloser(), nil
	case Uncompressed:
	}
	return io.NopCloser(buffered), nil
}

// compress writes what r has to w, and hashes it on the way. The bytes depend on
// nothing but the input.
func compress(w io.Writer, r io.Reader, to Compression, h hash.Hash) error {
	var z io.WriteCloser
	var err error
	switch to {
	case Gzip:
		var g *pgzip.Writer
		if g, err = pgzip.NewWriterLevel(w, gzipLevel); err == nil {
			z, err = g, g.SetConcurrency(gzipBlock, runtime.GOMAXPROCS(0)+1)
			// After a failed write Close leaves a goroutine waiting; Reset ends it.
			defer g.Reset(io.Discard)
		}
	case Zstd:
		z, err = zstd.NewWriter(w, zstd.WithEncoderLevel(zstdLevel))
	case Uncompressed:
		_, err = io.CopyBuffer(&hashed{w: w, hash: h}, r, make([]byte, copyBuffer))
		return err
	}
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(&hashed{w: z, hash: h}, r, make([]byte, copyBuffer)); err != nil {
		_ = z.Close() // ends its goroutines; the error that led here matters
		return err
	}
	return z.Close()
}
