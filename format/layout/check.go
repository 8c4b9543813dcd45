// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// CheckDraft says why [Draft] would fail at path, as far as can be known
// without writing anything: what is there is no layout, or nothing can be made
// there.
func CheckDraft(path string) (err error) {
	if _, err := os.Lstat(path); err != nil {
		return checkFolder(nearest(path))
	}
	if err := checkFolder(path); err != nil {
		return err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	d := newDir(path, root)
	if _, err := root.Lstat(ocispec.ImageLayoutFile); errors.Is(err, fs.ErrNotExist) {
		return d.checkVacant()
	}
	if err := d.checkMarker(); err != nil {
		return err
	}
	_, err = d.index()
	return err
}

// CheckArchive says why [CreateArchive] would fail at path, as far as can be
// known without writing anything.
func CheckArchive(path string) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file%.0w", path, errdefs.ErrInvalidArgument)
	}
	return checkFolder(filepath.Dir(path))
}

// checkFolder says why no file can be made in the directory path.
func checkFolder(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no directory %s%.0w", path, errdefs.ErrNotFound)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is no directory%.0w", path, errdefs.ErrFailedPrecondition)
	}
	if err := access(path); err != nil {
		return fmt.Errorf("%s cannot be written to: %w", path, err)
	}
	return nil
}
