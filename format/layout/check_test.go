// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
)

func TestChecksWriteNothing(t *testing.T) {
	above := t.TempDir()
	file := filepath.Join(above, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	empty, ready, broken := filepath.Join(above, "empty"), filepath.Join(above, "ready"), filepath.Join(above, "broken")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{ready, broken} {
		d, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(broken, "index.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		check   func(string) error
		path    string
		refused func(error) bool // nil: it is not
	}{
		{CheckDraft, filepath.Join(above, "new", "layout"), nil},
		{CheckDraft, empty, nil},
		{CheckDraft, ready, nil},
		{CheckDraft, broken, errdefs.IsDataLoss},
		{CheckDraft, above, errdefs.IsFailedPrecondition},
		{CheckDraft, file, errdefs.IsFailedPrecondition},
		{CheckDraft, filepath.Join(file, "new", "layout"), errdefs.IsFailedPrecondition},
		{CheckArchive, file, nil},
		{CheckArchive, filepath.Join(above, "new.tar"), nil},
		{CheckArchive, empty, errdefs.IsInvalidArgument},
		{CheckArchive, filepath.Join(above, "new", "a.tar"), errdefs.IsNotFound},
		{CheckArchive, filepath.Join(file, "a.tar"), errdefs.IsFailedPrecondition},
	} {
		err := tc.check(tc.path)
		if tc.refused == nil && err != nil || tc.refused != nil && !tc.refused(err) {
			t.Errorf("%s: %v", tc.path, err)
		}
	}
	if got := filesIn(t, above); len(got) != 4 {
		t.Errorf("there are %v", got)
	}
	if got := filesIn(t, empty); len(got) != 0 {
		t.Errorf("there are %v", got)
	}
}

func TestChecksOfPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	path := t.TempDir()
	if err := os.Chmod(path, 0o500); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{CheckDraft(path), CheckDraft(filepath.Join(path, "new")), CheckArchive(filepath.Join(path, "a.tar"))} {
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("got %v", err)
		}
	}
}
