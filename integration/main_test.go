// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package integration runs the real manifest-format against real registries,
// builders and engines: see the package engines below it. Everything it needs
// is in bin after `make tools`; what is missing fails.
package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// What every test uses, from before the first until after the last.
var (
	// product is the path of a manifest-format built from the work tree as it
	// is. Under the name docker-manifestformat it is the plugin.
	product string
	// registry is open to all. Each test has repositories of its own in it.
	registry *engines.Registry
	// buildkit is the stock BuildKit.
	buildkit *engines.Buildkitd
	// exporting is BuildKit with our exporter.
	exporting *engines.Buildkitd
)

func TestMain(m *testing.M) {
	code := 1
	err := engines.Main(context.Background(), func(tb engines.TB) {
		product = filepath.Join(tb.TempDir(), "manifest-format")
		if err := build("..", product, os.Environ()); err != nil {
			tb.Fatalf("%v", err)
		}
		registry = engines.StartRegistry(tb, engines.RegistryOptions{})
		buildkit = engines.StartBuildkitd(tb, engines.BuildkitdOptions{})
		exporting = engines.StartBuildkitd(tb, engines.BuildkitdOptions{Exporter: true})
		code = m.Run()
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// build builds the program from the sources in tree.
func build(tree, out string, env []string) error { return buildPackage(tree, "./cli-plugin", out, env) }

// buildPackage builds one of the product's programs from the sources in tree.
func buildPackage(tree, main, out string, env []string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, main)
	cmd.Dir, cmd.Env = tree, append(env, "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s in %s: %w\n%s", main, tree, err, output)
	}
	return nil
}

// TestBuildIsReproducible builds the same sources in two other folders, one of
// them with an empty build cache, so that every package is compiled anew. The
// empty cache costs minutes and is left to CI.
func TestBuildIsReproducible(t *testing.T) {
	digests := map[string][]string{}
	for _, name := range []string{"one", "a folder with a longer name"} {
		tree, out := filepath.Join(t.TempDir(), name), filepath.Join(t.TempDir(), "program")
		copySources(t, tree)
		env := os.Environ()
		if len(digests) > 0 && os.Getenv("CI") != "" {
			env = append(env, "GOCACHE="+t.TempDir())
		}
		if err := build(tree, out, env); err != nil {
			t.Fatal(err)
		}
		program, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		digest := fmt.Sprintf("%x", sha256.Sum256(program))
		digests[digest] = append(digests[digest], name)
		if bytes.Contains(program, []byte(tree)) {
			t.Errorf("the program names the folder %s it was built in", tree)
		}
	}
	if len(digests) != 1 {
		t.Errorf("the same sources gave different programs: %v", digests)
	}
}

// copySources copies what the program is built from: the module's Go files and
// whatever they embed, without the folders that hold neither.
func copySources(t *testing.T, to string) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, "../")
		target := filepath.Join(to, strings.TrimPrefix(path, ".."))
		switch {
		case entry.IsDir() && (name == ".git" || name == "bin" || name == "integration"):
			return filepath.SkipDir
		case entry.IsDir():
			return os.MkdirAll(target, 0o700)
		case !entry.Type().IsRegular():
			return nil
		}
		return copyFile(path, target)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
