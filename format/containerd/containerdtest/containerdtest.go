// SPDX-License-Identifier: Apache-2.0

// Package containerdtest is containerd's own store of content, images and
// leases, with its garbage collector, for tests: the daemon without the process.
package containerdtest

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
	bolt "go.etcd.io/bbolt"

	"github.com/manifest-format/manifest-format/format/containerd"
)

// Daemon is a store that lives as long as a test.
type Daemon struct {
	containerd.Services
	DB *metadata.DB
}

// Start returns a new daemon, and a context in a namespace of it.
func Start(tb testing.TB) (context.Context, Daemon) {
	tb.Helper()
	dir := tb.TempDir()
	cs, err := local.NewLabeledStore(dir, nowhere{})
	if err != nil {
		tb.Fatal(err)
	}
	file, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o600, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := file.Close(); err != nil {
			tb.Error(err)
		}
	})
	db := metadata.NewDB(file, cs, nil)
	ctx := namespaces.WithNamespace(tb.Context(), "test")
	if err := db.Init(ctx); err != nil {
		tb.Fatal(err)
	}
	services := containerd.Services{Content: db.ContentStore(), Images: metadata.NewImageStore(db), Leases: metadata.NewLeaseManager(db)}
	return ctx, Daemon{services, db}
}

// nowhere holds no labels of content below the database's.
type nowhere struct{}

func (nowhere) Get(digest.Digest) (map[string]string, error)                       { return nil, nil } //nolint:nilnil // no labels
func (nowhere) Set(digest.Digest, map[string]string) error                         { return nil }
func (nowhere) Update(digest.Digest, map[string]string) (map[string]string, error) { return nil, nil } //nolint:nilnil // no labels
