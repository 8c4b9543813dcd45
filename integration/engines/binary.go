// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// moduleRoot is the folder of the repository's go.mod: the nearest one above
// the working directory, which for a test is its package's folder.
var moduleRoot = sync.OnceValues(func() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no go.mod in %s or above it", dir)
		}
	}
})

// Bin returns the absolute path of the repository's bin folder.
func Bin(tb TB) string {
	tb.Helper()
	root, err := moduleRoot()
	if err != nil {
		tb.Fatalf("find bin: %v", err)
	}
	return filepath.Join(root, "bin")
}

// Binary returns the absolute path of a program: a path is one within bin
// (`debian/usr/bin/docker`), a bare name is looked up in bin first and on PATH
// second. One that is missing fails the test.
func Binary(tb TB, name string) string {
	tb.Helper()
	path := filepath.Join(Bin(tb), name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if filepath.Base(name) == name {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	tb.Fatalf("%s is not in bin: run `make tools`", name)
	return ""
}

// searchPath is a PATH of the folders within bin (”.” is bin itself), then the caller's own.
func searchPath(tb TB, within ...string) string {
	tb.Helper()
	path := ""
	for _, dir := range within {
		path += filepath.Join(Bin(tb), dir) + string(filepath.ListSeparator)
	}
	return path + os.Getenv("PATH")
}

// requireRoot skips a test that needs root, but not in CI, where nothing is skipped.
func requireRoot(tb TB, engine string) {
	tb.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		tb.Fatalf("%s needs root", engine)
	}
	tb.Skipf("%s needs root", engine)
}

// shortDir makes a folder for sockets, deleted at cleanup. The name of a unix
// socket holds 107 bytes at most, and a test's own folder has the test's name
// in it, so a socket needs a folder elsewhere.
func shortDir(tb TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/tmp", "mf")
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Logf("clean up: %v", err)
		}
	})
	return dir
}
