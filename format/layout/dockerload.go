// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// documents reads the manifests and indexes that an archive was given.
type documents struct{ archive *ArchiveWriter }

// ReaderAt implements content.Provider.
func (d documents) ReaderAt(_ context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	d.archive.mu.Lock()
	defer d.archive.mu.Unlock()
	body, ok := d.archive.bodies[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("archive has no manifest %s%.0w", desc.Digest, errdefs.ErrNotFound)
	}
	return newBlob(bytes.NewReader(body), int64(len(body)), desc, func() error { return nil })
}

// dockerManifest is the manifest.json that a Docker engine without the
// containerd image store needs to load the archive: it has no use for the OCI
// documents, and knows one platform for each name. An image that it cannot
// load is left out; nil is that none is left. The caller has the lock.
func (a *ArchiveWriter) dockerManifest() ([]byte, error) {
	var saved []savedImage
	at := map[string]int{} // in saved, by config: Docker's image ID
	for _, e := range a.index.entries {
		image, ok, err := a.loadable(e.desc)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		n, seen := at[image.Config]
		if !seen {
			n = len(saved)
			at[image.Config] = n
			saved = append(saved, image)
		}
		if tag := repoTag(nameOf(e.desc)); tag != "" && !slices.Contains(saved[n].RepoTags, tag) {
			saved[n].RepoTags = append(saved[n].RepoTags, tag)
		}
	}
	if saved == nil {
		return nil, nil
	}
	return encode(saved)
}

// loadable describes a root to `docker load`, if it can load it: a manifest,
// or an index with one, whose config and layers are all in the archive. Docker
// finds out by itself how a layer is compressed.
func (a *ArchiveWriter) loadable(desc ocispec.Descriptor) (savedImage, bool, error) {
	manifest, ok, err := a.onlyManifest(desc)
	if !ok || err != nil {
		return savedImage{}, false, err
	}
	config, ok := format.ParseMediaType(manifest.Config.MediaType)
	if !ok || config.Kind != format.KindConfig || !a.has(manifest.Config) {
		return savedImage{}, false, nil
	}
	image := savedImage{Config: blobPath(manifest.Config.Digest), RepoTags: []string{}, Layers: []string{}}
	for _, layer := range manifest.Layers {
		typ, ok := format.ParseMediaType(layer.MediaType)
		if !ok || typ.Kind != format.KindLayer || !a.has(layer) {
			return savedImage{}, false, nil
		}
		image.Layers = append(image.Layers, blobPath(layer.Digest))
	}
	return image, true, nil
}

func (a *ArchiveWriter) has(desc ocispec.Descriptor) bool {
	_, ok := a.written[desc.Digest]
	return ok
}

// onlyManifest is the manifest at a root, or the one image of an index.
func (a *ArchiveWriter) onlyManifest(desc ocispec.Descriptor) (manifest ocispec.Manifest, ok bool, err error) {
	body, ok := a.bodies[desc.Digest]
	if !ok {
		return manifest, false, nil
	}
	if images.IsManifestType(desc.MediaType) {
		err := decode(body, "manifest "+desc.Digest.String(), &manifest)
		return manifest, err == nil && manifest.Subject == nil, err
	}
	var index ocispec.Index
	if err := decode(body, "index "+desc.Digest.String(), &index); err != nil {
		return manifest, false, err
	}
	var found []ocispec.Descriptor
	for _, child := range index.Manifests {
		if child.Platform == nil || child.Platform.OS != "unknown" { // BuildKit's attestations have no platform
			found = append(found, child)
		}
	}
	if len(found) != 1 || !images.IsManifestType(found[0].MediaType) {
		return manifest, false, nil
	}
	return a.onlyManifest(found[0])
}

// repoTag is what an engine calls an image, as Docker shows it to people:
// manifest.json has it so. One that has a tag and no more becomes a repository
// of that name, as it does in engines with the containerd image store, which
// read index.json (containerd, client/import.go).
func repoTag(n name) string {
	named, err := reference.ParseNormalizedNamed(n.String())
	if err != nil {
		return ""
	}
	named = reference.TagNameOnly(named)
	if _, ok := named.(reference.Tagged); !ok {
		return ""
	}
	return reference.FamiliarString(named)
}
