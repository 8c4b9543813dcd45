// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/manifest-format/manifest-format/format"
)

// Magic numbers: RFC 1952 section 2.3.1, RFC 8878 section 3.1.1.
var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// maxWindow is how far back zstd may refer, and so how much memory reading
// takes: what `zstd -d` accepts without --long.
const maxWindow = 128 << 20

// A few bytes can stand for gigabytes, and fill a disk. gzip never does better
// than 1032 to 1, and no image does either: what does, and is not small, is
// refused. zstd reaches 30,000 to 1.
const (
	maxExpansion = 2000
	alwaysFine   = 128 << 20
)

// compressionOf says how bytes that begin like this are compressed.
func compressionOf(start []byte) format.Compression {
	switch {
	case bytes.HasPrefix(start, gzipMagic):
		return format.Gzip
	case bytes.HasPrefix(start, zstdMagic):
		return format.Zstd
	}
	return format.Uncompressed
}

// seekable gives random access to what r yields, decompressed: in place if it
// can, through a temporary file if not.
func seekable(ctx context.Context, r io.Reader) (src io.ReaderAt, size int64, closeSource func() error, err error) {
	section, ok, err := inPlace(r)
	if err != nil {
		return nil, 0, nil, err
	}
	if ok {
		start := make([]byte, len(zstdMagic))
		n, err := section.ReadAt(start, 0)
		if err != nil && err != io.EOF {
			return nil, 0, nil, err
		}
		if compressionOf(start[:n]) == format.Uncompressed {
			return section, section.Size(), func() error { return nil }, nil
		}
		r = section
	}
	s, err := spool(ctx, r)
	if err != nil {
		return nil, 0, nil, err
	}
	return s.file, s.size, s.Close, nil
}

// inPlace returns what is left of r, if r can be read at any place. A pipe is
// an *os.File too, and cannot.
func inPlace(r io.Reader) (*io.SectionReader, bool, error) {
	if f, ok := r.(*os.File); ok {
		info, err := f.Stat()
		if err != nil || !info.Mode().IsRegular() {
			return nil, false, err
		}
	}
	ra, ok := r.(interface {
		io.ReaderAt
		io.Seeker
	})
	if !ok {
		return nil, false, nil
	}
	start, err := ra.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, false, err
	}
	end, err := ra.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, false, err
	}
	if _, err := ra.Seek(start, io.SeekStart); err != nil {
		return nil, false, err
	}
	return io.NewSectionReader(ra, start, end-start), true, nil
}

// temporaryFile is a file that nobody else sees, and that is gone when it is
// closed. Where the system allows it, it has no name from the start, so that a
// process that is killed leaves nothing.
type temporaryFile struct {
	file    *os.File
	size    int64
	failed  error // of a write
	removed bool
}

func newTemporaryFile() (*temporaryFile, error) {
	f, err := os.CreateTemp("", "manifest-format-*")
	if err != nil {
		return nil, err
	}
	return &temporaryFile{file: f, removed: os.Remove(f.Name()) == nil}, nil
}

// Write appends.
func (t *temporaryFile) Write(p []byte) (int, error) {
	n, err := t.file.Write(p)
	t.size += int64(n)
	if err != nil {
		t.failed = fmt.Errorf("temporary file (TMPDIR says where): %w", err)
	}
	return n, t.failed
}

// Close removes the file.
func (t *temporaryFile) Close() error {
	err := t.file.Close()
	if !t.removed {
		err = errors.Join(err, os.Remove(t.file.Name()))
	}
	return err
}

// spool writes what r yields, decompressed, to a temporary file.
func spool(ctx context.Context, r io.Reader) (*temporaryFile, error) {
	t, err := newTemporaryFile()
	if err != nil {
		return nil, err
	}
	src := &source{read: cancellable(ctx, r)}
	_, err = decompress(&expansion{w: t, src: src}, bufio.NewReaderSize(src, 1<<20))
	switch {
	case err == nil:
		return t, nil
	case errors.Is(err, format.ErrTooLarge):
	case t.failed == nil && src.failed == nil: // neither end failed: it is what lies between
		err = fmt.Errorf("%w: %w", format.ErrCorrupt, err)
	}
	return nil, errors.Join(err, t.Close())
}

// decompress looks at how r begins, and copies what it stands for to w.
func decompress(w io.Writer, r *bufio.Reader) (int64, error) {
	start, err := r.Peek(len(zstdMagic))
	if err != nil && err != io.EOF {
		return 0, err
	}
	switch compressionOf(start) {
	case format.Gzip:
		zr, err := gzip.NewReader(r)
		if err != nil {
			return 0, err
		}
		return io.Copy(w, zr)
	case format.Zstd:
		zr, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return 0, err
		}
		defer zr.Close()
		return io.Copy(w, zr)
	case format.Uncompressed:
	}
	return io.Copy(w, r)
}

// expansion refuses to write absurdly more than was read.
type expansion struct {
	w    io.Writer
	src  *source
	size int64
}

// Write implements io.Writer.
func (e *expansion) Write(p []byte) (int, error) {
	e.size += int64(len(p))
	if e.size > alwaysFine && e.size/maxExpansion > e.src.size {
		return 0, fmt.Errorf("%w: %d bytes become more than %d: decompress it first", format.ErrTooLarge, e.src.size, e.size)
	}
	return e.w.Write(p)
}

// source counts what is read, and remembers why it could not be.
type source struct {
	read   func([]byte) (int, error)
	size   int64
	failed error
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.read(p)
	s.size += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.failed = err
	}
	return n, err
}

// cancellable is r.Read until the context is done.
func cancellable(ctx context.Context, r io.Reader) func([]byte) (int, error) {
	return func(p []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return r.Read(p)
	}
}
