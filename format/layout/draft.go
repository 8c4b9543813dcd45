// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// Draft returns the layout in the directory path as [Create] does, but one
// that is not there yet does not appear before [Dir.Publish]: it is made in a
// hidden directory, which Close removes. So a layout that cannot be completed
// leaves no trace. The hidden directory is beside path, or in path if that is
// an empty directory: it may be a mount point, or have permissions of its own,
// and stays what it is. The caller closes the layout.
func Draft(path string) (*Dir, error) {
	above, hidden := path, temporary
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		above, hidden = nearest(path), ".manifest-format-"
	} else if !isVacant(path) {
		return Create(path)
	}
	draft, err := os.MkdirTemp(above, hidden)
	if err != nil {
		return nil, err
	}
	// The layout is a directory below that of MkdirTemp, which nobody else may
	// enter: it is to have the permissions that the user's umask allows.
	d, err := Create(filepath.Join(draft, draftLayout))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(draft))
	}
	d.path, d.draft = path, draft
	return d, nil
}

// draftLayout is the name of a draft in its hidden directory.
const draftLayout = "layout"

// isVacant reports whether path is a directory that has nothing in it but
// drafts.
func isVacant(path string) bool {
	entries, err := os.ReadDir(path)
	return err == nil && !slices.ContainsFunc(entries, func(entry fs.DirEntry) bool {
		return !strings.HasPrefix(entry.Name(), temporary)
	})
}

// nearest returns the closest directory above path that is there: on its disk
// the layout can be renamed into place.
func nearest(path string) string {
	for {
		parent := filepath.Dir(path)
		if _, err := os.Stat(parent); err == nil || parent == path {
			return parent
		}
		path = parent
	}
}

// Publish makes a draft appear at its path, whole. If another process has made
// a layout there meanwhile, the images are added to that. For a layout that is
// no draft it does nothing.
func (d *Dir) Publish(ctx context.Context) error {
	if d.draft == "" {
		return nil
	}
	var err error
	if filepath.Dir(d.draft) == filepath.Clean(d.path) {
		err = d.moveInto(ctx)
	} else {
		err = d.moveTo()
	}
	if errors.Is(err, fs.ErrExist) {
		err = d.addTo(ctx, d.path)
	}
	if err != nil {
		return err
	}
	err = os.RemoveAll(d.draft)
	d.draft = ""
	return err
}

// moveTo renames a draft to its path. fs.ErrExist is that something is there.
func (d *Dir) moveTo() error {
	if err := os.MkdirAll(filepath.Dir(d.path), 0o777); err != nil {
		return err
	}
	err := os.Rename(filepath.Join(d.draft, draftLayout), d.path)
	if err != nil {
		if _, missing := os.Lstat(d.path); missing == nil {
			return fs.ErrExist
		}
	}
	return err
}

// moveInto renames what is in a draft into the directory that the draft is in,
// oci-layout last: who sees that sees a whole layout. fs.ErrExist is that there
// is another layout by now.
func (d *Dir) moveInto(ctx context.Context) (err error) {
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return err
	}
	target := newDir(d.path, root)
	defer func() {
		if err != nil {
			err = errors.Join(err, root.Close())
		}
	}()
	unlock, err := target.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := target.checkVacant(); err != nil {
		return err
	}
	parts := []string{ocispec.ImageBlobsDir, ocispec.ImageIndexFile, ocispec.ImageLayoutFile}
	for _, part := range parts {
		if _, err := root.Lstat(part); err == nil {
			return fs.ErrExist
		}
	}
	for _, part := range parts {
		if err := root.Rename(filepath.Join(filepath.Base(d.draft), draftLayout, part), part); err != nil {
			return err
		}
	}
	if err := target.sync("."); err != nil {
		return err
	}
	draft := d.root
	d.root = root
	return draft.Close()
}

// addTo adds all images of d to the layout at path.
func (d *Dir) addTo(ctx context.Context, path string) (err error) {
	other, err := Create(path) //nolint:contextcheck // it makes two small files
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, other.Close()) }()
	refs, err := d.Refs(ctx)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		put := func(ctx context.Context, desc ocispec.Descriptor, body []byte) error {
			if ref.Name != "" {
				return other.PutRoot(ctx, desc, body, ref.Name)
			}
			if err := other.putDocument(ctx, desc, body); err != nil {
				return err
			}
			return other.update(ctx, func(i *index) error { return i.put(ref.Desc, name{}) })
		}
		if err := format.Copy(ctx, other, d, ref.Desc, format.CopyOptions{Root: put}); err != nil {
			return err
		}
	}
	return nil
}
