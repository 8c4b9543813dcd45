// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/docker/cli/cli/command"
	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/buildx"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/emission"
)

// Builder makes emissions with buildx.
type Builder struct {
	Docker command.Cli
	Buildx *buildx.Plugin
	// Streams are buildx's.
	Streams buildx.Streams
	// Progress shows a conversion that this program does itself.
	Progress func(format.Progress)
	// Warn tells what a person may want to know.
	Warn func(text string)
	// Check, if not nil, may refuse the result of an emission that this
	// program makes itself before anything is written.
	Check func(Emitted) error
}

// Emitted is one emission at one destination.
type Emitted struct {
	// Destination is where it is, as a person names it.
	Destination string `json:"destination"`
	// Reference names it by its digest, as the next command takes it.
	Reference string `json:"reference"`
	emission.Emission

	// wanted is what it is an emission of: one has as many entries as names.
	wanted *Wanted
	// config is the digest of the config, if the root is a single manifest.
	config digest.Digest
}

// SameAs reports whether both are one emission, at two destinations.
func (e Emitted) SameAs(other Emitted) bool { return e.wanted == other.wanted }

// run is one command at work.
type run struct {
	*Builder
	r    *Request
	node *buildx.Builder
	// dir is for what is needed until the run ends.
	dir string
	// stdin is a copy of standard input for builds that read it, or empty.
	stdin   string
	builds  int
	sources map[string]*source
	// metadata is what the first build answered.
	metadata metadata
}

// metadata is what buildx writes into its --metadata-file.
type metadata map[string]json.RawMessage

// Emit builds what is wanted and returns an entry for each destination.
func (b *Builder) Emit(ctx context.Context, r *Request) (all []Emitted, err error) {
	dir, err := os.MkdirTemp("", "manifest-format-")
	if err != nil {
		return nil, err
	}
	x := &run{Builder: b, r: r, dir: dir, sources: map[string]*source{}}
	defer func() { err = errors.Join(err, x.close()) }()
	if x.node, err = b.Buildx.Inspect(ctx, x.progressOfBuildx(), r.Args.Value("builder")); err != nil {
		return nil, err
	}
	if err := x.keepStdin(ctx); err != nil {
		return nil, err
	}
	// Of several nodes buildx merges what they push: it makes an OCI index of
	// Docker images that have attestations, and passes nothing on of what the
	// nodes said was lost. So this program converts what was merged.
	if x.node.Has(emission.WorkerLabel) && len(x.node.Nodes) == 1 {
		all, err = x.labelled(ctx)
	} else {
		all, err = x.stock(ctx, r.Wanted)
	}
	if err != nil {
		return nil, err
	}
	return all, x.writeFiles(all)
}

// HasExporter reports whether a builder has our exporter on every node. An
// empty name is the builder that buildx would use.
func (b *Builder) HasExporter(ctx context.Context, builder string) (name string, has bool, err error) {
	node, err := b.Buildx.Inspect(ctx, b.Streams.Err, builder)
	if err != nil {
		return "", false, err
	}
	return node.Name, node.Has(emission.WorkerLabel), nil
}

func (x *run) close() error {
	var err error
	for _, s := range x.sources {
		err = errors.Join(err, s.Close())
	}
	return errors.Join(err, os.RemoveAll(x.dir))
}

// progressOfBuildx is where what buildx does before a build is shown.
func (x *run) progressOfBuildx() io.Writer {
	if x.r.Quiet {
		return nil
	}
	return x.Streams.Err
}

// keepStdin copies standard input to a file if builds read it: one build may
// be followed by another, which finds the first one's layers.
func (x *run) keepStdin(ctx context.Context) (err error) {
	if !x.r.Args.ReadsStdin() || x.Docker.In().IsTerminal() {
		return nil // buildx refuses a terminal
	}
	x.stdin = filepath.Join(x.dir, "stdin")
	file, err := os.Create(x.stdin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = io.Copy(file, location.ReaderOf(ctx, x.Docker.In()))
	return err
}

// asItIs are the flags of buildx that say what the request says otherwise.
var asItIs = []string{"tag", "push", "load", "output", "metadata-file", "iidfile", "quiet"}

// build runs one build with the outputs given, the first one with those of the
// person's that are no images too.
func (x *run) build(ctx context.Context, flags []string, outputs ...buildx.Output) (metadata, error) {
	if x.builds == 0 {
		outputs = append(outputs, x.r.rest...)
	}
	answer := filepath.Join(x.dir, "metadata-"+strconv.Itoa(x.builds)+".json")
	x.builds++
	args := x.r.Args.Without(asItIs...)
	streams, quiet := x.Streams, "--progress=quiet"
	streams.Out = x.Streams.Err
	if x.r.Quiet || x.r.Args.Value("progress") == "quiet" {
		streams.Out = nil // buildx prints an image ID there
	}
	for _, o := range outputs {
		flags = append(flags, "--output="+o.String())
		if o.OnStdout() {
			// There must be no image ID in it. Older ones of buildx print it
			// all the same, and do not know this word.
			streams.Out, quiet = x.Streams.Out, "--progress=none"
		}
	}
	if x.r.Quiet {
		args = args.Without("progress")
		flags = append(flags, quiet)
	}
	flags = append(flags, "--metadata-file="+answer)
	if x.stdin != "" {
		file, err := os.Open(x.stdin)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		streams.In = file
	}
	words := append([]string{"build"}, args.With(flags...).Words()...)
	if err := x.Buildx.Run(ctx, streams, words...); err != nil {
		return nil, err
	}
	m, err := readMetadata(answer)
	if x.metadata == nil {
		x.metadata = m
	}
	return m, err
}

func readMetadata(path string) (metadata, error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("buildx wrote no metadata of the build: %w", err)
	}
	m := metadata{}
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("buildx's metadata of the build: %w", err)
	}
	return m, nil
}

// text is a value that is a string; empty if there is none.
func (m metadata) text(key string) string {
	var s string
	if json.Unmarshal(m[key], &s) != nil {
		return ""
	}
	return s
}

// root is the digest of what was built.
func (m metadata) root() (digest.Digest, error) {
	d := digest.Digest(m.text(keyDigest))
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("buildx said no digest of the image: %q: %w", d, err)
	}
	return d, nil
}
