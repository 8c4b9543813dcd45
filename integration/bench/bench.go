// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"syscall"

	"github.com/manifest-format/manifest-format/integration/engines"
)

const (
	// The image of issue 2: 4 platforms of 10 layers and a config, 839 MB.
	layersPerPlatform = 10
	layerSize         = 20 << 20
	// zstdContent is the tar that is recompressed.
	zstdContent = 1_000_000_000
	// roomNeeded is on the disk while a run writes.
	roomNeeded = 4_000_000_000
)

// bench has the fixtures in a registry.
type bench struct {
	product string // the path of manifest-format
	client  *http.Client
	home    *engines.Home
	source  *engines.Registry
	image   *image // for moving documents and blobs
	zstd    *image // for recompression
	tiny    *image // for start-up
	builder *builder
	// containerd has the image too, as Docker V2.2.
	containerd *engines.Containerd
	count      int // of repositories made
}

// newBench starts a registry and puts into it what the shapes need. scale
// shrinks the layers.
func newBench(tb engines.TB, product string, scale float64, shapes []shape) *bench {
	tb.Helper()
	b := &bench{product: product, client: newClient(), source: engines.StartRegistry(tb, engines.RegistryOptions{})}
	b.home = engines.NewHome(tb, b.source.Addr)
	if err := checkRoom(b.home.Dir, uint64(scale*roomNeeded)); err != nil {
		tb.Fatalf("%v", err)
	}
	named := func(name string) repository {
		r := b.repo()
		r.name = name
		return r
	}
	wanted := func(names ...string) bool {
		return slices.ContainsFunc(shapes, func(s shape) bool { return slices.Contains(names, s.name) })
	}
	ctx := tb.Context()
	var err error
	if wanted("in-place", "mounts", "registries", converting) {
		b.image, err = pushImage(ctx, named("fixture/image"), platforms, layersPerPlatform, int64(scale*layerSize))
	}
	if err == nil && wanted("zstd") {
		b.zstd, err = pushZstd(ctx, named("fixture/zstd"), int64(scale*zstdContent))
	}
	if err == nil && wanted("start-up") {
		b.tiny, err = pushImage(ctx, named("fixture/small"), platforms[:2], 3, layerBytes)
	}
	if err != nil {
		tb.Fatalf("fixtures: %v", err)
	}
	if wanted(building) {
		b.builder = startBuilder(tb, b.home, scale)
	}
	if wanted(converting) {
		b.startContainerd(tb)
	}
	return b
}

// repo is how the bench itself speaks to its registry.
func (b *bench) repo() repository { return repository{client: b.client, host: b.source.Addr} }

// checkRoom fails where the disk is too full for a run.
func checkRoom(dir string, needed uint64) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return err
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < needed {
		return fmt.Errorf("%s has room for %s, and this needs %s: set TMPDIR, or make -scale smaller", dir, megabytes(free), megabytes(needed))
	}
	return nil
}

// fixture is the image that a shape is about.
func (b *bench) fixture(s shape) *image {
	switch s.name {
	case "zstd":
		return b.zstd
	case "start-up":
		return b.tiny
	case building:
		return &image{repo: b.repo(), bytes: b.builder.bytes}
	}
	return b.image
}

// env is the environment of one run: what skopeo learnt in an earlier run of
// where blobs are is forgotten. For root it would keep that in /var/lib, and
// it takes this variable's word that it is not root.
func (b *bench) env(tb engines.TB) []string {
	return append(slices.Clone(b.home.Env), "XDG_DATA_HOME="+tb.TempDir(), "_CONTAINERS_ROOTLESS_UID=1")
}

// program is the path of a program that a tool names.
func (b *bench) program(tb engines.TB, name string) string {
	switch name {
	case ours:
		return b.product
	case self:
		path, err := os.Executable()
		if err != nil {
			tb.Fatalf("%v", err)
		}
		return path
	}
	return engines.Binary(tb, name)
}

// once runs a tool in a fresh place. With count, what it sends and receives is
// counted, at the cost of its time.
func (b *bench) once(ctx context.Context, s shape, t tool, count bool) (c cost, sent traffic, output int64, err error) {
	err = engines.Main(ctx, func(tb engines.TB) {
		var w *wire
		if count {
			w = &wire{}
		}
		src, dst := s.place(b, tb, w, t)
		line := t.line(src, dst)
		cmd := command{path: b.program(tb, line[0]), args: line[1:]}
		// What earlier runs left to be written is not this one's burden.
		syscall.Sync()
		if c, err = cmd.run(tb.Context(), b.home.Dir, b.env(tb)); err != nil {
			tb.Fatalf("%v", err)
		}
		if count {
			sent = w.traffic()
		}
		switch t.outcome {
		case isNothing:
			return
		case isHeld:
			b.verifyHeld(tb, dst)
			return
		case isDocker, isCopy, isOCI:
		}
		if output, err = verify(tb.Context(), b.fixture(s), dst, t.outcome); err != nil {
			tb.Fatalf("%s left no good image: %v", cmd, err)
		}
	})
	return c, sent, output, err
}
