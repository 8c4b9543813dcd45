// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/manifest-format/manifest-format/format/internal/jsontree"
)

// imageConfig is what of an image's config matters here.
type imageConfig struct {
	ocispec.Platform
	RootFS struct {
		DiffIDs []digest.Digest `json:"diff_ids"`
	} `json:"rootfs"`
	History []struct {
		EmptyLayer bool `json:"empty_layer"`
	} `json:"history"`
	Config struct {
		Healthcheck json.RawMessage `json:"Healthcheck"`
	} `json:"config"`

	body []byte
}

// newConfig is a config that replaces another, because annotations became labels.
type newConfig struct {
	body []byte
	desc ocispec.Descriptor
}

// prefetch reads the configs that planning will ask for, several at once:
// over a network, one after the other is slow.
func (c *conversion) prefetch(ctx context.Context) error {
	wanted := map[docKey]*document{}
	for _, d := range c.graph.unique {
		if c.wantsConfig(d) {
			key := docKey{d.config.Digest, d.config.MediaType}
			if _, ok := wanted[key]; !ok {
				wanted[key] = d
			}
		}
	}
	for _, d := range wanted {
		if err := c.countConfig(d); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.concurrency(defaultReads))
	var mu sync.Mutex
	for key, d := range wanted {
		group.Go(func() error {
			cfg, err := c.fetchConfig(ctx, d)
			mu.Lock()
			defer mu.Unlock()
			c.configs[key] = cfg
			return err
		})
	}
	return group.Wait()
}

// countConfig adds a config to what is read in all, which is bounded.
func (c *conversion) countConfig(d *document) error {
	if c.configSize += max(d.config.Size, 0); c.configSize > maxTotalSize {
		return &Error{Op: "read", Path: d.path + "/config", Desc: d.config.Descriptor, Err: fmt.Errorf("%w: its configs have more than %d bytes in all", ErrTooLarge, maxTotalSize)}
	}
	return nil
}

// wantsConfig reports whether a rule or an option needs the config of d.
func (c *conversion) wantsConfig(d *document) bool {
	if !d.isImageConfig() || d.isArtifact() || c.shallow {
		return false
	}
	return c.opts.Verify || c.profile.holds(ruleHistory) || len(c.profile.Platforms) > 0 && c.profile.Index == IndexForbidden || c.target == OCI && d.typ.Format == Docker ||
		c.opts.Annotations == AnnotationsLabels && c.target == Docker && d.tree.Root.Get("annotations") != nil
}

// fetchConfig reads and parses the config of the manifest d.
func (c *conversion) fetchConfig(ctx context.Context, d *document) (*imageConfig, error) {
	body, err := readVerified(ctx, c.src, d.config.Descriptor, maxConfigSize)
	if err != nil {
		return nil, at("read", d.path+"/config", d.config.Descriptor, err)
	}
	cfg := &imageConfig{}
	if c.opts.Annotations == AnnotationsLabels {
		cfg.body = body
	}
	if err := json.Unmarshal(body, cfg); err != nil {
		return nil, at("read", d.path+"/config", d.config.Descriptor, fmt.Errorf("%w: it is no image config: %w", ErrCorrupt, err))
	}
	return cfg, nil
}

// readConfig returns the config of the manifest d, which is read once.
func (c *conversion) readConfig(ctx context.Context, d *document) (*imageConfig, error) {
	key := docKey{d.config.Digest, d.config.MediaType}
	cfg, ok := c.configs[key]
	if !ok {
		if err := c.countConfig(d); err != nil {
			return nil, err
		}
		var err error
		if cfg, err = c.fetchConfig(ctx, d); err != nil {
			return nil, err
		}
		c.configs[key] = cfg
	}
	if have, want := len(d.layers), len(cfg.RootFS.DiffIDs); !d.isArtifact() && have != want {
		return nil, &Error{Op: "read", Path: d.path, Desc: d.desc, Err: fmt.Errorf("%w: it has %d layers, but its config has %d diff_ids", ErrCorrupt, have, want)}
	}
	for i, id := range cfg.RootFS.DiffIDs {
		if err := id.Validate(); err != nil && !d.isArtifact() {
			return nil, &Error{Op: "read", Path: fmt.Sprintf("%s/config/rootfs/diff_ids/%d", d.path, i), Desc: d.config.Descriptor, Err: fmt.Errorf("%w: diff ID %q: %w", ErrCorrupt, clip(id.String()), err)}
		}
	}
	return cfg, nil
}

// platformOf returns the platform that the config of d names, and whether it
// names one.
func (c *conversion) platformOf(ctx context.Context, d *document) (ocispec.Platform, bool, error) {
	if !d.isImageConfig() {
		return ocispec.Platform{}, false, nil
	}
	cfg, err := c.readConfig(ctx, d)
	if err != nil {
		return ocispec.Platform{}, false, err
	}
	return cfg.Platform, cfg.OS != "" && cfg.Architecture != "", nil
}

// labelled writes the annotations of the manifest d into its config, and
// returns those that a label in the way kept out.
func (c *conversion) labelled(ctx context.Context, d *document, annotations []*jsontree.Item) (*newConfig, []*jsontree.Item, error) {
	cfg, err := c.readConfig(ctx, d)
	if err != nil {
		return nil, nil, err
	}
	tree, err := jsontree.Parse(cfg.body)
	if err != nil {
		return nil, nil, at("convert", d.path+"/config", d.config.Descriptor, fmt.Errorf("%w: %w", ErrAmbiguous, err))
	}
	config, ok := tree.Object(tree.Root, "config")
	var labels *jsontree.Value
	if ok {
		labels, ok = tree.Object(config, "Labels")
	}
	if !ok {
		return nil, nil, at("convert", d.path+"/config", d.config.Descriptor, fmt.Errorf("%w: its config or its Labels are no object", ErrAmbiguous))
	}
	there := map[string]*jsontree.Value{}
	for _, it := range labels.Items() {
		there[it.Name] = it.Value
	}
	var left []*jsontree.Item
	var added []jsontree.Member
	for _, it := range annotations {
		value, _ := it.Value.Text()
		if have := there[it.Name]; have == nil {
			added = append(added, jsontree.Member{Name: it.Name, Value: value})
		} else if text, _ := have.Text(); text != value {
			left = append(left, it)
		}
	}
	if len(added) == 0 {
		return nil, left, nil
	}
	tree.Insert(labels, "", added...)
	n := &newConfig{body: tree.Bytes(), desc: d.config.Descriptor}
	n.desc.Digest, n.desc.Size = digest.FromBytes(n.body), int64(len(n.body))
	return n, left, nil
}

// healthcheck notes what a runtime that follows OCI alone does not do.
func (c *conversion) healthcheck(ctx context.Context, d *document) error {
	if !d.isImageConfig() || c.shallow {
		return nil
	}
	cfg, err := c.readConfig(ctx, d)
	if err != nil {
		return err
	}
	if h := cfg.Config.Healthcheck; len(h) > 0 && string(h) != "null" {
		c.note(ruleHealthcheck, d.path+"/config/config/Healthcheck", "the health check is kept, but OCI does not define it: runtimes that follow OCI alone ignore it")
	}
	return nil
}
