// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReferenceIsWhatHelpSays(t *testing.T) {
	want, err := pages(t.Context(), filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(want) < 3 {
		t.Errorf("found only %d commands", len(want))
	}
	got := map[string]string{}
	files, err := filepath.Glob("../../docs/reference/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.Base(file)] = string(content)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/reference is not what --help says: run `make docs` (-help +docs)\n%s", diff)
	}
}
