// SPDX-License-Identifier: Apache-2.0

package dockerconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// File is docker's configuration on disk.
type File struct {
	*Document
	// New says that there is no such file yet.
	New bool

	path string
	info fs.FileInfo
	// made says that Install made the file, once.
	made bool
}

// The permissions of a configuration that is new: it may come to hold secrets.
const (
	fileMode   = 0o600
	folderMode = 0o700
)

// Open reads the configuration at path. One that is not there is empty.
func Open(path string) (*File, error) {
	f := &File{path: path}
	// The file that a link leads to is the one that is replaced.
	if target, err := filepath.EvalSymlinks(path); err == nil {
		f.path = target
	}
	body, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.New = true
		f.Document, err = Parse([]byte("{}\n"))
		return f, err
	}
	if err != nil {
		return nil, err
	}
	if f.info, err = os.Stat(f.path); err != nil {
		return nil, err
	}
	if f.Document, err = Parse(body); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Save writes the configuration, whole or not at all, with the permissions and
// the owner that it had.
func (f *File) Save() (err error) {
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, "."+filepath.Base(f.path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	_, err = temp.Write(f.Bytes())
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	mode := fs.FileMode(fileMode)
	if f.info != nil {
		mode = f.info.Mode().Perm()
		keepOwner(temp.Name(), f.info)
	}
	if err := os.Chmod(temp.Name(), mode); err != nil {
		return err
	}
	return os.Rename(temp.Name(), f.path)
}

// SaveOrRemove is Save, but for a file that Install made and that is empty
// after Uninstall: that goes.
func (f *File) SaveOrRemove() error {
	if f.made && f.IsEmpty() {
		return os.Remove(f.path)
	}
	return f.Save()
}
