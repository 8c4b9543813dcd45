// SPDX-License-Identifier: Apache-2.0

package converter

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	bolt "go.etcd.io/bbolt"

	"github.com/manifest-format/manifest-format/format/containerd"
)

// ID is the plugin's, of the type io.containerd.grpc.v1.
const ID = "manifest-format"

// Config is the plugin's part of containerd's configuration:
//
//	[plugins.'io.containerd.grpc.v1.manifest-format']
//	  max_concurrent_conversions = 3
type Config struct {
	// MaxConcurrentConversions is how many conversions are worked on at once,
	// at least 1. Others wait.
	MaxConcurrentConversions int `toml:"max_concurrent_conversions"`
}

func init() {
	registry.Register(&plugin.Registration{
		Type:     plugins.GRPCPlugin,
		ID:       ID,
		Requires: []plugin.Type{plugins.MetadataPlugin, plugins.LeasePlugin},
		Config:   &Config{MaxConcurrentConversions: 3},
		InitFn:   start,
	})
}

// start makes the service of what containerd has.
func start(ic *plugin.InitContext) (any, error) {
	config, ok := ic.Config.(*Config)
	if !ok || config.MaxConcurrentConversions < 1 {
		return nil, fmt.Errorf("max_concurrent_conversions is less than 1%.0w", errdefs.ErrInvalidArgument)
	}
	db, err := single[*metadata.DB](ic, plugins.MetadataPlugin)
	if err != nil {
		return nil, err
	}
	manager, err := single[leases.Manager](ic, plugins.LeasePlugin)
	if err != nil {
		return nil, err
	}
	s := newService(containerd.Services{
		Content: db.ContentStore(), Images: metadata.NewImageStore(db), Leases: manager,
	}, *config)
	if err := s.sweep(ic.Context, db); err != nil {
		// They expire.
		log.G(ic.Context).WithError(err).Warn("leases of conversions that were under way when containerd ended stay for a day")
	}
	return s, nil
}

// single returns the one plugin of a type.
func single[T any](ic *plugin.InitContext, typ plugin.Type) (T, error) {
	var none T
	instance, err := ic.GetSingle(typ)
	if err != nil {
		return none, err
	}
	typed, ok := instance.(T)
	if !ok {
		return none, fmt.Errorf("%s is a %T, and no %T%.0w", typ, instance, none, errdefs.ErrInternal)
	}
	return typed, nil
}

// sweep deletes the leases of conversions that were under way when containerd
// was killed: nobody else works as owner.
func (s *service) sweep(ctx context.Context, db *metadata.DB) error {
	var all []string
	err := db.View(func(tx *bolt.Tx) (err error) {
		all, err = metadata.NewNamespaceStore(tx).List(ctx)
		return err
	})
	if err != nil {
		return err
	}
	for _, namespace := range all {
		n, err := s.store.Sweep(namespaces.WithNamespace(ctx, namespace), owner)
		if err != nil {
			return err
		}
		if n > 0 {
			log.G(ctx).WithFields(log.Fields{"namespace": namespace, "leases": n}).Info("deleted the leases of conversions that were under way when containerd ended")
		}
	}
	return nil
}
