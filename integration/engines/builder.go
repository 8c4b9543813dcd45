// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// buildkitImage is the name that an engine has an image of BuildKit by.
const buildkitImage = "buildkit:test"

// ImportBuildkit makes an image of the buildkitd at path in the engine, with
// what buildx's docker-container driver needs beside it, and returns its name.
func (d *Dockerd) ImportBuildkit(tb TB, path string) string {
	tb.Helper()
	home := NewHome(tb)
	file := filepath.Join(home.Dir, "buildkit.tar")
	if err := writeBuildkit(file, map[string]string{
		"usr/bin/buildkitd": path, "usr/bin/buildctl": Binary(tb, "buildctl"), "usr/bin/buildkit-runc": Binary(tb, "runc"),
	}); err != nil {
		tb.Fatalf("image of BuildKit: %v", err)
	}
	home.Docker(tb, d, "import", "--change", `ENTRYPOINT ["buildkitd"]`, "--change", "ENV PATH=/usr/bin", file, buildkitImage)
	return buildkitImage
}

// writeBuildkit writes programs, all of them static, into a root file system.
func writeBuildkit(file string, programs map[string]string) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	w := tar.NewWriter(out)
	for _, dir := range []string{"etc/", "run/", "tmp/"} {
		if err := w.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
			return err
		}
	}
	for name, path := range programs {
		program, err := os.Open(path)
		if err != nil {
			return err
		}
		defer program.Close()
		info, err := program.Stat()
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: info.Size()}); err != nil {
			return err
		}
		if _, err := io.Copy(w, program); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return w.Close()
}

// builderName is that of the one buildx builder that a home has.
const builderName = "builder"

// UseBuildkitd makes running BuildKits the home's buildx builder: one node for
// each. A node with platforms, such as linux/arm64, builds for those alone.
func (h *Home) UseBuildkitd(tb TB, nodes ...BuildxNode) {
	tb.Helper()
	for n, node := range nodes {
		args := []string{"create", "--name", builderName, "--node", fmt.Sprintf("node%d", n), "--driver", "remote", "--use"}
		if n > 0 {
			args = append(args, "--append")
		}
		if node.Platforms != "" {
			args = append(args, "--platform", node.Platforms)
		}
		h.Run(tb, "buildx", append(args, node.Buildkitd.Addr)...)
	}
}

// BuildxNode is a node of a buildx builder.
type BuildxNode struct {
	Buildkitd *Buildkitd
	// Platforms to build for there, with commas between them; all if empty.
	Platforms string
}

// UseContainer makes a container of image in the engine the home's buildx
// builder, and the engine that of its docker. It shares the machine's network,
// so that it reaches the test's registries.
func (h *Home) UseContainer(tb TB, d *Dockerd, image string) {
	tb.Helper()
	h.Env = append(h.Env, "DOCKER_HOST="+d.Host)
	h.Run(tb, "buildx", "create", "--name", builderName, "--driver", "docker-container",
		"--driver-opt", "image="+image+",network=host", "--use", "--bootstrap")
}

// Buildx runs `buildx build` with its builder, and fails the test when it
// fails: on the files of a build context.
func (h *Home) Buildx(tb TB, files fs.FS, args ...string) Output {
	tb.Helper()
	out, err := h.TryBuildx(tb, files, args...)
	if err != nil {
		tb.Fatalf("%v\n%s%s", err, out.Stdout, out.Stderr)
	}
	return out
}

// TryBuildx is Buildx for a build that may fail.
func (h *Home) TryBuildx(tb TB, files fs.FS, args ...string) (Output, error) {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "context"), files); err != nil {
		tb.Fatalf("buildx: %v", err)
	}
	args = append([]string{"build", "--progress", "plain"}, args...)
	return h.Try(tb, "buildx", append(args, filepath.Join(dir, "context"))...)
}
