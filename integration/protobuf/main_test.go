// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGeneratedCode generates every .proto file's code, and compares it with
// what is there.
func TestGeneratedCode(t *testing.T) {
	const root = "../.."
	sources, err := filepath.Glob(root + "/*/*/*/v1/*.proto")
	if err != nil || len(sources) == 0 {
		t.Fatalf("found no .proto file: %v", err)
	}
	for _, source := range sources {
		path, err := filepath.Rel(root, source)
		if err != nil {
			t.Fatal(err)
		}
		files, err := generate(t.Context(), root, path)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range files {
			path := filepath.Join(filepath.Dir(source), name)
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Errorf("%s is not what %s says: run `go generate ./...` (-want +got):\n%s", path, source, diff)
			}
		}
	}
}
