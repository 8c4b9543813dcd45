// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/registry"
	"github.com/manifest-format/manifest-format/plugins/verifier/internal/policy"
)

// credentials return what to log in to a host with.
type credentials = func(ctx context.Context, host string) (registry.Credential, error)

// open opens the registry that an image is in, as the policy has it: with
// containerd's hosts.toml, or by the name alone.
func open(ctx context.Context, p *policy.Policy, image string) (content.Provider, error) {
	login, err := logins(p)
	if err != nil {
		return nil, err
	}
	if p.HostsDir != "" {
		resolver, name, err := newResolver(ctx, p, login, image)
		if err != nil {
			return nil, err
		}
		fetcher, err := resolver.Fetcher(ctx, name)
		if err != nil {
			return nil, err
		}
		return provider{fetcher}, nil
	}
	name, _, err := registry.ParseReference(image)
	if err != nil {
		return nil, err
	}
	return newRepository(ctx, login, name)
}

// Resolve asks the registry what an image is, as containerd does before it asks
// for a verdict. The error is a line for a person.
func Resolve(ctx context.Context, p *policy.Policy, image string) (Image, error) {
	root, err := resolve(ctx, p, image)
	if err != nil {
		return Image{}, errors.New(line("what %s is cannot be found out: %s", image, obstacle(p, err)))
	}
	return Image{Name: image, Root: root}, nil
}

func resolve(ctx context.Context, p *policy.Policy, image string) (ocispec.Descriptor, error) {
	login, err := logins(p)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if p.HostsDir != "" {
		resolver, name, err := newResolver(ctx, p, login, image)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		_, root, err := resolver.Resolve(ctx, name)
		return root, err
	}
	name, ref, err := registry.ParseReference(image)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	repo, err := newRepository(ctx, login, name)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return repo.Resolve(ctx, ref)
}

// logins are those of the policy's docker configuration; none without one.
func logins(p *policy.Policy) (credentials, error) {
	if p.DockerConfig == "" {
		return func(context.Context, string) (registry.Credential, error) { return registry.Credential{}, nil }, nil
	}
	return registry.CredentialsFrom(p.DockerConfig)
}

// newRepository waits no longer for a busy registry than ctx has time.
func newRepository(ctx context.Context, login credentials, name string) (*registry.Repository, error) {
	o := registry.Options{Credentials: login, UserAgent: "manifest-format-verifier"}
	if deadline, ok := ctx.Deadline(); ok {
		o.MaxRetryWait = max(time.Until(deadline), time.Nanosecond)
	}
	return registry.Open(name, o)
}

// newResolver returns containerd's own client, and the image's name as it
// takes it.
func newResolver(ctx context.Context, p *policy.Policy, login credentials, image string) (remotes.Resolver, string, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil, "", fmt.Errorf("%q is no image name: %w%.0w", image, err, errdefs.ErrInvalidArgument)
	}
	return docker.NewResolver(docker.ResolverOptions{Hosts: config.ConfigureHosts(ctx, config.HostOptions{
		HostDir: hostDirs(p.HostsDir),
		Credentials: func(host string) (string, string, error) {
			c, err := login(ctx, host)
			if c.RefreshToken != "" {
				return "", c.RefreshToken, err
			}
			return c.Username, c.Password, err
		},
	})}), reference.TagNameOnly(named).String(), nil
}

// hostDirs looks for a host's folder in several, the first that has one.
func hostDirs(list string) func(host string) (string, error) {
	return func(host string) (string, error) {
		for _, root := range filepath.SplitList(list) {
			dir, err := config.HostDirFromRoot(root)(host)
			if err == nil || !errdefs.IsNotFound(err) {
				return dir, err
			}
		}
		return "", errdefs.ErrNotFound
	}
}

// provider reads through containerd's client what is small: documents and configs.
type provider struct{ remotes.Fetcher }

// ReaderAt implements [content.Provider]: it reads all that there is, which is
// not checked here. Addresses that a document gives are not gone to.
func (p provider) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	stream, err := p.Fetch(ctx, ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size})
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	body, err := io.ReadAll(io.LimitReader(stream, desc.Size+1)) // one more would be found out
	if err != nil {
		return nil, err
	}
	return format.NewReaderAt(body), nil
}
