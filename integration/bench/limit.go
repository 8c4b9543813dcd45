// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/manifest-format/manifest-format/format"
)

// parallel is how many blobs the limit moves at once.
const parallel = 10

// limit is the mode limit: it converts the fixture at SRC to Docker V2.2 at DST
// with the least that the protocol allows: it checks nothing, looks whether
// nothing is there, and retries nothing. No tool can do with fewer requests.
func limit(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("limit SRC DST, not %q", args)
	}
	client := newClient()
	src, srcTag, err := parseReference(client, args[0])
	if err != nil {
		return err
	}
	dst, dstTag, err := parseReference(client, args[1])
	if err != nil {
		return err
	}
	l := limited{src: src, dst: dst}
	body, mediaType, err := src.document(ctx, srcTag)
	if err != nil {
		return err
	}
	if mediaType == ocispec.MediaTypeImageManifest {
		body, err = l.recompress(ctx, body)
	} else {
		body, err = l.index(ctx, body)
	}
	if err != nil {
		return err
	}
	return dst.putDocument(ctx, dstTag, dockerType.Replace(mediaType), body)
}

// dockerType replaces media types anywhere in a document.
var dockerType = strings.NewReplacer(
	ocispec.MediaTypeImageIndex, format.MediaTypeDockerManifestList,
	ocispec.MediaTypeImageManifest, format.MediaTypeDockerManifest,
	ocispec.MediaTypeImageConfig, format.MediaTypeDockerConfig,
	ocispec.MediaTypeImageLayerGzip, format.MediaTypeDockerLayer,
	ocispec.MediaTypeImageLayerZstd, format.MediaTypeDockerLayer,
)

type limited struct {
	src, dst repository
}

// index converts an index and moves all that is below it.
func (l limited) index(ctx context.Context, body []byte) ([]byte, error) {
	var index ocispec.Index
	if err := json.Unmarshal(body, &index); err != nil {
		return nil, err
	}
	manifests := make([][]byte, len(index.Manifests))
	group, groupCtx := errgroup.WithContext(ctx)
	for i, desc := range index.Manifests {
		group.Go(func() (err error) {
			manifests[i], _, err = l.src.document(groupCtx, desc.Digest.String())
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := l.blobs(ctx, manifests); err != nil {
		return nil, err
	}
	out := dockerType.Replace(string(body))
	group, groupCtx = errgroup.WithContext(ctx)
	for i, desc := range index.Manifests {
		converted := []byte(dockerType.Replace(string(manifests[i])))
		d := digest.FromBytes(converted)
		out = strings.ReplaceAll(out, place(desc.Digest, desc.Size), place(d, int64(len(converted))))
		group.Go(func() error {
			return l.dst.putDocument(groupCtx, d.String(), format.MediaTypeDockerManifest, converted)
		})
	}
	return []byte(out), group.Wait()
}

// place is how a descriptor says digest and size in the fixtures.
func place(d digest.Digest, size int64) string {
	return fmt.Sprintf(`"digest":%q,"size":%d`, d, size)
}

// blobs moves the blobs of the manifests to where they are not yet.
func (l limited) blobs(ctx context.Context, manifests [][]byte) error {
	if l.src.host == l.dst.host && l.src.name == l.dst.name {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, body := range manifests {
		var m ocispec.Manifest
		if err := json.Unmarshal(body, &m); err != nil {
			return err
		}
		for _, desc := range append(m.Layers, m.Config) {
			group.Go(func() error {
				if l.src.host == l.dst.host {
					return l.dst.mount(ctx, desc.Digest, l.src.name)
				}
				return l.copy(ctx, desc)
			})
		}
	}
	return group.Wait()
}

// copy moves a blob from registry to registry.
func (l limited) copy(ctx context.Context, desc ocispec.Descriptor) error {
	from, err := l.src.blob(ctx, desc.Digest)
	if err != nil {
		return err
	}
	defer from.Close()
	return l.dst.upload(ctx, desc, from)
}

// recompress converts a manifest with one zstd layer.
func (l limited) recompress(ctx context.Context, body []byte) ([]byte, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, err
	}
	if err := l.copy(ctx, m.Config); err != nil {
		return nil, err
	}
	from, err := l.src.blob(ctx, m.Layers[0].Digest)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	layer, err := l.dst.stream(ctx, func(w io.Writer) error { return gzipped(w, from) })
	if err != nil {
		return nil, err
	}
	out := strings.Replace(string(body), place(m.Layers[0].Digest, m.Layers[0].Size), place(layer.Digest, layer.Size), 1)
	return []byte(dockerType.Replace(out)), nil
}

// gzipped writes as gzip what r has as zstd, with every core.
func gzipped(w io.Writer, r io.Reader) error {
	in, err := zstd.NewReader(r)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := pgzip.NewWriterLevel(w, pgzip.DefaultCompression)
	if err != nil {
		return err
	}
	if err := out.SetConcurrency(1<<20, runtime.GOMAXPROCS(0)+1); err != nil {
		return err
	}
	if _, err := in.WriteTo(out); err != nil {
		return err
	}
	return out.Close()
}
