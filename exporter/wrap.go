// SPDX-License-Identifier: Apache-2.0

package exporter

import (
	"context"
	"fmt"
	"maps"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/moby/buildkit/client"
	bkexporter "github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"

	"github.com/manifest-format/manifest-format/format/emission"
)

// Wrap returns w with the exporter in it, and with the label that says so. It
// fails if w is not one of BuildKit's own workers, OCI or containerd, whose
// parts the exporter works with. The result is to be used in place of w, which
// it closes when it is closed.
func Wrap(w worker.Worker) (worker.Worker, error) {
	parts, ok := w.(*base.Worker)
	if !ok {
		return nil, fmt.Errorf("a worker of type %T has no parts that an exporter could use", w)
	}
	writer, err := containerimage.NewImageWriter(containerimage.WriterOpt{
		Snapshotter:  parts.Snapshotter,
		ContentStore: parts.WorkerOpt.ContentStore,
		Applier:      parts.Applier,
		Differ:       parts.Differ,
	})
	if err != nil {
		return nil, fmt.Errorf("set up the image writer: %w", err)
	}
	return &wrapped{Worker: w, store: workerStore{
		writer: writer,
		images: parts.ImageStore,
		hosts:  parts.RegistryHosts,
		leases: parts.LeaseManager(),
	}}, nil
}

// workerStore is what an emission needs of a worker.
type workerStore struct {
	writer *containerimage.ImageWriter
	images images.Store // nil for a worker that has none
	hosts  docker.RegistryHosts
	leases leases.Manager
}

// wrapped is a worker with one exporter more.
type wrapped struct {
	worker.Worker
	store workerStore
}

// Labels implements [worker.Worker].
func (w *wrapped) Labels() map[string]string {
	labels := maps.Clone(w.Worker.Labels())
	if labels == nil {
		labels = map[string]string{}
	}
	labels[emission.WorkerLabel] = emission.WorkerVersion
	return labels
}

// Exporter implements [worker.Worker]. BuildKit's own exporters of images
// become ours when a build says so.
func (w *wrapped) Exporter(name string, sm *session.Manager) (bkexporter.Exporter, error) {
	ours := &imageExporter{typ: name, store: w.store, sessions: sm}
	if name == emission.ExporterType {
		return ours, nil
	}
	theirs, err := w.Worker.Exporter(name, sm)
	if err != nil {
		return nil, err
	}
	switch name {
	case client.ExporterImage, client.ExporterOCI, client.ExporterDocker:
		return switched{ours: ours, theirs: theirs}, nil
	default:
		return theirs, nil
	}
}

// switched is an exporter of BuildKit's that is ours when asked for a profile.
type switched struct{ ours, theirs bkexporter.Exporter }

// Resolve implements [bkexporter.Exporter].
func (s switched) Resolve(ctx context.Context, id int, attrs map[string]string) (bkexporter.ExporterInstance, error) {
	for key := range attrs {
		if isOurs(key) {
			return s.ours.Resolve(ctx, id, attrs)
		}
	}
	return s.theirs.Resolve(ctx, id, attrs)
}
