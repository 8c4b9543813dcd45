// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// Draft returns the layout in the directory path as [Create] does, but one
// that is not there yet does not appear before [Dir.Publish]: it is made in a
// hidden directory beside it, which Close removes. So a layout that cannot be
// completed leaves no trace. The caller closes it.
func Draft(path string) (*Dir, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return Create(path)
	}
	draft, err := os.MkdirTemp(nearest(path), ".manifest-format-")
	if err != nil {
		return nil, err
	}
	// The layout is a directory below that of MkdirTemp, which nobody else may
	// enter: it is to have the permissions that the user's umask allows.
	d, err := Create(filepath.Join(draft, "layout"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(draft))
	}
	d.path, d.draft = path, draft
	return d, nil
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
	if err := os.MkdirAll(filepath.Dir(d.path), 0o777); err != nil {
		return err
	}
	err := os.Rename(filepath.Join(d.draft, "layout"), d.path)
	if err != nil {
		if _, missing := os.Lstat(d.path); missing != nil {
			return err
		}
		err = d.addTo(ctx, d.path)
	}
	if err != nil {
		return err
	}
	err = os.RemoveAll(d.draft)
	d.draft = ""
	return err
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
