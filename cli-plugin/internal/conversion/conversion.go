// SPDX-License-Identifier: Apache-2.0

// Package conversion brings an image from one place to another, converted on
// the way: what every command does that writes an image.
package conversion

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/format"
)

// Job is an image and what becomes of it.
type Job struct {
	Source  location.Source
	Root    ocispec.Descriptor
	Profile format.Profile
	Options format.Options
	// Part says that the source may hold a part of the image. One that it does
	// not hold as far as Options choose it is refused.
	Part bool
	// Unpacked says that the source keeps layers unpacked. They are compressed,
	// with gzip as docker push has it, unless Options or the profile say how.
	Unpacked bool
	// Ordered writes one blob at a time: the same order, and so the same bytes
	// in an archive, each time.
	Ordered bool
	// Foreign, if not nil, opens foreign layers: see format.CopyOptions.
	Foreign func(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error)
	// Check, if not nil, looks at the result before anything is written, and
	// may refuse it. The documents of the result can be read from image.
	Check func(ctx context.Context, image content.Provider, result *format.Result) error
}

// Dry converts in memory and writes nothing.
func (j Job) Dry(ctx context.Context) (*format.Result, error) {
	stage, err := j.stage(ctx, nil)
	if err != nil {
		return nil, err
	}
	return j.convert(ctx, stage)
}

// stage reads from the source what it holds all of.
func (j Job) stage(ctx context.Context, layers content.Ingester) (*format.Stage, error) {
	if !j.Part {
		return format.NewStage(j.Source, layers), nil
	}
	// Documents are read once for both.
	seen := format.NewStage(j.Source, nil)
	holdings, err := j.holdings(ctx, seen)
	if err != nil {
		return nil, err
	}
	return format.NewStage(format.PulledPart(seen, holdings), layers), nil
}

// Holdings are what the source holds of the image. That it does not hold it as
// far as Options choose it is an error, which says what a person may ask for.
func (j Job) Holdings(ctx context.Context) ([]format.Holding, error) {
	return j.holdings(ctx, j.Source)
}

func (j Job) holdings(ctx context.Context, src content.Provider) ([]format.Holding, error) {
	holdings, err := format.Holdings(ctx, src, j.Root)
	if err != nil {
		return nil, err
	}
	if err := format.RequireWhole(holdings, j.Options.Platforms); err != nil {
		return nil, whole(err, holdings)
	}
	return holdings, nil
}

// whole says which platforms a person may ask for, where not all are there.
func whole(err error, holdings []format.Holding) error {
	var names []string
	for _, h := range holdings {
		if h.About == "" && h.Whole() && h.Platform != nil {
			names = append(names, platforms.FormatAll(*h.Platform))
		}
	}
	var at *format.Error
	if len(names) == 0 || !errors.As(err, &at) {
		return err
	}
	err = fmt.Errorf("%s; choose --platform %s, or pull the others%.0w", format.DescribePart(holdings, nil), strings.Join(names, ","), at.Err)
	return &format.Error{Op: at.Op, Path: at.Path, Desc: at.Desc, Err: err}
}

func (j Job) convert(ctx context.Context, stage *format.Stage) (*format.Result, error) {
	j.Options.Partial = j.Part
	if t, _ := format.ParseMediaType(j.Root.MediaType); j.Unpacked && j.Options.Compression == "" &&
		j.Profile.Accepts(j.Profile.Target(t.Format), format.Gzip) {
		j.Options.Compression = format.Gzip
	}
	result, err := format.Convert(ctx, stage, j.Root, j.Profile, j.Options)
	if err != nil {
		return nil, err
	}
	if j.Check != nil {
		if err := j.Check(ctx, stage, result); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// Into converts in memory, then writes: children before parents, the tag last.
// It closes the destination.
func (j Job) Into(ctx context.Context, dst location.Destination) (result *format.Result, err error) {
	defer func() {
		// An archive appears when it is closed.
		if closed := dst.Close(); err == nil {
			err = closed
		}
	}()
	options := format.CopyOptions{Progress: j.Options.Progress, Foreign: j.Foreign}
	if j.Ordered {
		j.Options.Concurrency, options.Concurrency = 1, 1
	}
	stage, err := j.stage(ctx, dst)
	if err != nil {
		return nil, err
	}
	if result, err = j.convert(ctx, stage); err != nil {
		return nil, err
	}
	options.Referrers = result.Referrers
	options.Root = func(ctx context.Context, desc ocispec.Descriptor, body []byte) error {
		return dst.Put(ctx, desc, body, result.Referrers)
	}
	return result, format.Copy(ctx, dst, stage, result.Root, options)
}

// Size is of everything that a result names, referrers among it, each blob
// once, in bytes.
func Size(ctx context.Context, image content.Provider, result *format.Result) (int64, error) {
	seen := map[digest.Digest]bool{}
	var size int64
	for _, root := range append([]ocispec.Descriptor{result.Root}, result.Referrers...) {
		for node, err := range format.Walk(ctx, image, root) {
			if err != nil {
				return 0, err
			}
			if !seen[node.Desc.Digest] {
				seen[node.Desc.Digest] = true
				size += node.Desc.Size
			}
		}
	}
	return size, nil
}
