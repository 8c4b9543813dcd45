// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/manifest-format/manifest-format/format"
)

// Limits on a tar, beyond those that archive/tar has on a header's size.
const (
	maxFiles = 100_000
	maxName  = 255 // a longer name is of no blob and no document: skipped
	maxLinks = 8   // that lead to one file
)

// extent is where in a tar a file's content lies.
type extent struct{ off, size int64 }

// tarFile is a tar that was looked through once, and not unpacked.
type tarFile struct {
	src   io.ReaderAt
	files map[string]extent
	links map[string]string // symbolic links and where they lead, both from the top
	ended bool              // the end marker is there
}

// readTar looks through the tar that src holds in its first size bytes. It
// reads headers only.
func readTar(ctx context.Context, src io.ReaderAt, size int64) (*tarFile, error) {
	t := &tarFile{src: src, files: map[string]extent{}, links: map[string]string{}}
	section := io.NewSectionReader(src, 0, size)
	reader := tar.NewReader(section) // seeks over content
	var end int64
	for count := 0; ; count++ {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		header, err := reader.Next()
		pos, seekErr := section.Seek(0, io.SeekCurrent)
		if seekErr != nil {
			return nil, seekErr
		}
		if err == io.EOF {
			t.ended = pos > end
			return t, nil
		}
		if err != nil && count == 0 {
			return nil, fmt.Errorf("%w: no tar, or one cut short: %w", format.ErrCorrupt, err)
		}
		if err != nil {
			return nil, tarError(err)
		}
		if count == maxFiles {
			return nil, fmt.Errorf("%w: more than %d files", format.ErrTooLarge, maxFiles)
		}
		if err := t.add(header, pos); err != nil {
			return nil, err
		}
		if header.Size > size-pos {
			return nil, fmt.Errorf("%w: cut short in %s", format.ErrCorrupt, quoted(header.Name))
		}
		const block = 512
		end = (pos + header.Size + block - 1) / block * block
	}
}

// tarError says what is wrong with a tar that cannot be looked through.
func tarError(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: cut short", format.ErrCorrupt)
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return fmt.Errorf("%w: %w", format.ErrCorrupt, err)
	}
	return err
}

// add takes note of one entry, or refuses it.
func (t *tarFile) add(header *tar.Header, pos int64) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name := path.Clean(header.Name)
	if !fs.ValidPath(name) {
		return fmt.Errorf("%w: the file name %s leads out of the archive", format.ErrCorrupt, quoted(header.Name))
	}
	if sparse(header) {
		return fmt.Errorf("%w: %s is a sparse file", format.ErrCorrupt, quoted(name))
	}
	_, isFile := t.files[name]
	_, isLink := t.links[name]
	if isFile || isLink {
		return fmt.Errorf("%w: the archive has %s twice", format.ErrAmbiguous, quoted(name))
	}
	switch header.Typeflag {
	case tar.TypeDir:
	case tar.TypeReg:
		if len(name) <= maxName {
			t.files[name] = extent{off: pos, size: header.Size}
		}
	case tar.TypeSymlink:
		to := path.Join(path.Dir(name), header.Linkname) //nolint:gosec // a name within the tar: nothing is extracted
		if path.IsAbs(header.Linkname) || !fs.ValidPath(to) {
			return fmt.Errorf("%w: the link %s leads out of the archive", format.ErrCorrupt, quoted(name))
		}
		if len(name) <= maxName && len(to) <= maxName {
			t.links[name] = to
		}
	default:
		return fmt.Errorf("%w: %s is neither a file nor a directory (tar type %q)", format.ErrCorrupt, quoted(name), header.Typeflag)
	}
	return nil
}

// sparse reports whether the file's content is not what lies in the tar. GNU
// tar only makes such entries when asked; no writer of images does.
func sparse(header *tar.Header) bool {
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return header.Typeflag == tar.TypeGNUSparse
}

// quoted is a name from a tar that is safe to print, cut short.
func quoted(name string) string {
	const most = 80
	if len(name) > most {
		return fmt.Sprintf("%q…", name[:most])
	}
	return fmt.Sprintf("%q", name)
}

// find returns where a file is, following links. It is no error that there is
// none, unless the tar is cut short.
func (t *tarFile) find(name string) (extent, bool, error) {
	at := path.Clean(name)
	for range maxLinks {
		if e, ok := t.files[at]; ok {
			return e, true, nil
		}
		to, ok := t.links[at]
		if !ok {
			if !t.ended {
				return extent{}, false, fmt.Errorf("%w: cut short before %s", format.ErrCorrupt, quoted(name))
			}
			return extent{}, false, nil
		}
		at = to
	}
	return extent{}, false, fmt.Errorf("%w: %s is a chain of too many links", format.ErrCorrupt, quoted(name))
}

// has reports whether there is a file of that name.
func (t *tarFile) has(name string) bool {
	_, ok := t.files[name]
	return ok
}

// section reads a file's content.
func (t *tarFile) section(e extent) *io.SectionReader {
	return io.NewSectionReader(t.src, e.off, e.size)
}

// document reads a small file whole.
func (t *tarFile) document(name string) ([]byte, error) {
	e, ok, err := t.find(name)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%w: it has no %s", format.ErrCorrupt, quoted(name))
	}
	if e.size > maxDocument {
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d are read", quoted(name), format.ErrTooLarge, e.size, maxDocument)
	}
	body := make([]byte, e.size)
	return body, readFullAt(t.section(e), body)
}
