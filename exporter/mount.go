// SPDX-License-Identifier: Apache-2.0

package exporter

import (
	"context"
	"maps"
	"net/url"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// pushedTo is where this build has pushed which content, a moment ago.
type pushedTo struct {
	repository reference.Named
	content    map[digest.Digest]bool
}

// mounting is what BuildKit's pusher asks for the repositories that a blob can
// be mounted from. They are remembered without the port of their registry and
// for as long as the blob is kept, and of several any is taken, gone or not.
// Where the build itself has just pushed the blob to the registry, that is the
// repository.
type mounting struct {
	content.Manager
	target  reference.Named
	earlier []pushedTo
}

// Info implements [content.Manager].
func (m mounting) Info(ctx context.Context, d digest.Digest) (content.Info, error) {
	info, err := m.Manager.Info(ctx, d)
	if err != nil {
		return info, err
	}
	domain := reference.Domain(m.target)
	for _, before := range m.earlier {
		if !before.content[d] || reference.Domain(before.repository) != domain || before.repository.Name() == m.target.Name() {
			continue
		}
		host, err := url.Parse("registry://" + domain)
		if err != nil {
			return info, err
		}
		if info.Labels = maps.Clone(info.Labels); info.Labels == nil {
			info.Labels = map[string]string{}
		}
		info.Labels[labels.LabelDistributionSource+"."+host.Hostname()] = reference.Path(before.repository)
		break
	}
	return info, nil
}
