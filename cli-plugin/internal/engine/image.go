// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"
)

// Image is what an engine says of an image.
type Image struct {
	// ID is the digest of the root where the engine keeps manifests, and
	// otherwise of the config.
	ID digest.Digest
	// Tags are its names, each whole and with a tag.
	Tags []string
}

// Find looks for an image by a name or an ID, as docker reads it. The error is
// of class ErrNotFound if there is none.
func (e *Engine) Find(ctx context.Context, name string) (Image, error) {
	found, err := e.api.ImageInspect(ctx, name)
	switch {
	case errdefs.IsNotFound(err):
		return Image{}, fmt.Errorf("no such image in the docker engine of the context %s%.0w", e.name, err)
	case err != nil:
		return Image{}, e.failed("look for "+name, err)
	}
	id := digest.Digest(found.ID)
	if !strings.Contains(found.ID, ":") {
		id = digest.NewDigestFromEncoded(digest.SHA256, found.ID)
	}
	if err := id.Validate(); err != nil {
		return Image{}, e.failed("look for "+name, fmt.Errorf("the image's ID is %q: %w", found.ID, err))
	}
	return Image{ID: id, Tags: whole(found.RepoTags)}, nil
}

// Tags lists the names of the images that the engine has in a repository, each
// whole and with a tag, in order.
func (e *Engine) Tags(ctx context.Context, repository reference.Named) ([]string, error) {
	all, err := e.All(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(name string) bool {
		named, err := reference.ParseNormalizedNamed(name)
		return err != nil || named.Name() != repository.Name()
	}), nil
}

// All lists the names of the images that the engine has, as [Engine.Tags] does.
func (e *Engine) All(ctx context.Context) ([]string, error) {
	found, err := e.api.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return nil, e.failed("list its images", err)
	}
	var names []string
	for _, image := range found.Items {
		names = append(names, whole(image.RepoTags)...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// whole are names as they are in full. What is not named has "<none>:<none>".
func whole(tags []string) []string {
	var names []string
	for _, tag := range tags {
		if ref, err := reference.ParseNormalizedNamed(tag); err == nil {
			names = append(names, ref.String())
		}
	}
	return names
}
