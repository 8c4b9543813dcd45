// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"fmt"
	"io"
	"path"
	"regexp"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// savedImage is one image in the manifest.json that `docker save` writes and
// `docker load` reads (moby, daemon/internal/image/tarexport).
type savedImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// savedConfig is what is read of an image's configuration.
type savedConfig struct {
	ocispec.Platform

	RootFS struct {
		DiffIDs []digest.Digest `json:"diff_ids"`
	} `json:"rootfs"`
}

// savedName is how Docker and others name a file by its SHA-256: "<hex>.json",
// "sha256:<hex>", "<hex>.tar".
var savedName = regexp.MustCompile(`^(?:sha256:)?([0-9a-f]{64})(?:\.json)?$`)

// readDockerSave reads an archive that has Docker's manifest.json and no OCI
// index. It has no image manifests: one is made for each image, Docker V2.2 as
// a registry would have it, but for layers that are not compressed. Those have
// a media type that Docker's own tools use and V2.2 does not define.
func (a *Archive) readDockerSave(ctx context.Context) error {
	body, err := a.tar.document(dockerManifest)
	if err != nil {
		return err
	}
	var saved []savedImage
	if err := decode(body, dockerManifest, &saved); err != nil {
		return err
	}
	count := 0
	for _, image := range saved {
		if count += 1 + len(image.RepoTags) + len(image.Layers); count > maxEntries {
			return fmt.Errorf("%s: %w: more than %d images, names and layers", dockerManifest, format.ErrTooLarge, maxEntries)
		}
		desc, err := a.savedManifest(ctx, image)
		if err != nil {
			return fmt.Errorf("%s: image %s: %w", dockerManifest, quoted(image.Config), err)
		}
		if len(image.RepoTags) == 0 {
			a.entries = append(a.entries, desc)
		}
		for _, tag := range image.RepoTags {
			n, err := parseName(tag)
			if err != nil {
				return fmt.Errorf("%s: %w", dockerManifest, err)
			}
			a.entries = append(a.entries, n.on(desc))
		}
	}
	return nil
}

// savedManifest makes the manifest of an image.
func (a *Archive) savedManifest(ctx context.Context, image savedImage) (ocispec.Descriptor, error) {
	config, desc, err := a.savedConfig(image)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: format.MediaTypeDockerManifest,
		Config:    desc,
		Layers:    []ocispec.Descriptor{},
	}
	for n, file := range image.Layers {
		layer, err := a.savedLayer(ctx, file, config.RootFS.DiffIDs[n])
		if err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("layer %d: %w", n, err)
		}
		manifest.Layers = append(manifest.Layers, layer)
	}
	body, err := encode(manifest)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc = ocispec.Descriptor{MediaType: manifest.MediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	a.made[desc.Digest] = body
	if config.OS != "" {
		desc.Platform = &config.Platform
	}
	return desc, nil
}

// savedConfig reads and describes the configuration of an image.
func (a *Archive) savedConfig(image savedImage) (*savedConfig, ocispec.Descriptor, error) {
	body, err := a.tar.document(image.Config)
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: format.MediaTypeDockerConfig, Digest: digest.FromBytes(body), Size: int64(len(body))}
	// A name that is a digest is a promise. Docker's own names always are.
	if m := savedName.FindStringSubmatch(path.Base(image.Config)); m != nil && m[1] != desc.Digest.Encoded() {
		return nil, ocispec.Descriptor{}, fmt.Errorf("config: %w: its content is %s", format.ErrCorrupt, desc.Digest)
	}
	var config savedConfig
	if err := decode(body, "config", &config); err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	if len(config.RootFS.DiffIDs) != len(image.Layers) {
		return nil, ocispec.Descriptor{}, fmt.Errorf("%w: %d layers, and its config has %d diff ids",
			format.ErrCorrupt, len(image.Layers), len(config.RootFS.DiffIDs))
	}
	e, _, err := a.tar.find(image.Config)
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	a.moved[desc.Digest] = e
	return &config, desc, nil
}

// savedLayer describes the layer in a file. A plain tar's digest is its diff
// ID, so it is not read here: like any blob, it is compared with its digest as
// it is read. Others than Docker compress layers: such a one is hashed.
func (a *Archive) savedLayer(ctx context.Context, file string, diffID digest.Digest) (ocispec.Descriptor, error) {
	if err := validate(diffID); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("diff id: %w", err)
	}
	e, ok, err := a.tar.find(file)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if !ok {
		return ocispec.Descriptor{}, fmt.Errorf("the archive has no file %s%.0w", quoted(file), errdefs.ErrNotFound)
	}
	desc := ocispec.Descriptor{MediaType: format.MediaTypeDockerLayerPlain, Digest: diffID, Size: e.size}
	compression, err := a.compression(e)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if compression != format.Uncompressed {
		desc.MediaType = format.MediaType{Format: format.Docker, Kind: format.KindLayer, Compression: compression}.String()
		if desc.Digest, err = a.hash(ctx, e); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	if other, ok := a.moved[desc.Digest]; ok && other.size != e.size {
		return ocispec.Descriptor{}, fmt.Errorf("%w: two layers of %s", format.ErrCorrupt, desc.Digest)
	}
	a.moved[desc.Digest] = e
	return desc, nil
}

// compression looks at how a file begins.
func (a *Archive) compression(e extent) (format.Compression, error) {
	start := make([]byte, len(zstdMagic))
	n, err := a.tar.section(e).ReadAt(start, 0)
	if err != nil && err != io.EOF {
		return "", err
	}
	return compressionOf(start[:n]), nil
}

// hash is the digest of a file, read once however many images have it.
func (a *Archive) hash(ctx context.Context, e extent) (digest.Digest, error) {
	if dgst, ok := a.known[e]; ok {
		return dgst, nil
	}
	dgst, err := digest.FromReader(&source{read: cancellable(ctx, a.tar.section(e))})
	if err != nil {
		return "", err
	}
	a.known[e] = dgst
	return dgst, nil
}
