// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
)

// Services are what is used of a containerd: a client's ContentStore,
// ImageService and LeasesService, or a plugin's.
type Services struct {
	Content content.Store
	Images  images.Store
	Leases  leases.Manager
}

// Store is the images of a containerd. It is safe for concurrent use and needs
// no closing.
type Store struct {
	services Services
}

// New returns the images of a containerd. It asks nothing.
func New(s Services) *Store { return &Store{s} }

// ReaderAt implements [content.Provider].
func (s *Store) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	return s.services.Content.ReaderAt(ctx, desc)
}

// Image returns the image of that name, which containerd has verbatim: Docker's
// short names are no names here. The error is of class ErrNotFound if there is
// none.
func (s *Store) Image(ctx context.Context, name string) (images.Image, error) {
	image, err := s.services.Images.Get(ctx, name)
	if errdefs.IsNotFound(err) {
		return images.Image{}, fmt.Errorf("no such image in containerd%.0w", err)
	}
	return image, err
}

// Names lists the names of images whose root is desc, sorted.
func (s *Store) Names(ctx context.Context, desc ocispec.Descriptor) ([]string, error) {
	all, err := s.withRoot(ctx, desc.Digest)
	var names []string
	for _, image := range all {
		names = append(names, image.Name)
	}
	slices.Sort(names)
	return names, err
}

// ByDigest returns an image whose root has that digest. The error is of class
// ErrNotFound if there is none.
func (s *Store) ByDigest(ctx context.Context, root digest.Digest) (images.Image, error) {
	all, err := s.withRoot(ctx, root)
	if err != nil {
		return images.Image{}, err
	}
	if len(all) == 0 {
		return images.Image{}, fmt.Errorf("no image of that digest in containerd%.0w", errdefs.ErrNotFound)
	}
	return all[0], nil
}

func (s *Store) withRoot(ctx context.Context, root digest.Digest) ([]images.Image, error) {
	return s.services.Images.List(ctx, "target.digest=="+root.String())
}

// Origins lists the repositories of a registry, without its host, that
// containerd pulled blobs of the image at root from: a push to that registry
// can mount them from there. Containerd leaves the port out of what it writes
// down, so that another registry on the same host is taken for this one.
func (s *Store) Origins(ctx context.Context, root ocispec.Descriptor, host string) ([]string, error) {
	host, _, _ = strings.Cut(host, ":")
	key := labels.LabelDistributionSource + "." + host
	var origins []string
	for node, err := range format.WalkHeld(ctx, s, root) {
		if err != nil {
			return nil, err
		}
		if node.Type.Kind != format.KindLayer {
			continue
		}
		info, err := s.services.Content.Info(ctx, node.Desc.Digest)
		if errdefs.IsNotFound(err) {
			continue // a foreign layer, or one of a platform that was not pulled
		}
		if err != nil {
			return nil, err
		}
		for repository := range strings.SplitSeq(info.Labels[key], ",") {
			if repository != "" && !slices.Contains(origins, repository) {
				origins = append(origins, repository)
			}
		}
	}
	return origins, nil
}

// MovedError is of an image that got another root while it was converted. It
// is of class ErrFailedPrecondition: what was asked for can be asked for again.
type MovedError struct {
	Name     string
	Was, Now digest.Digest
}

// Error implements error.
func (e *MovedError) Error() string {
	return fmt.Sprintf("%s was %s when it was read and is %s now: somebody else moved it; it stays as it is", e.Name, e.Was, e.Now)
}

// Unwrap returns the class.
func (e *MovedError) Unwrap() error { return errdefs.ErrFailedPrecondition }
