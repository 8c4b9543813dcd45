// SPDX-License-Identifier: Apache-2.0

package location

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format/layout"
)

// standardStream is the path that names standard input or output.
const standardStream = "-"

func openArchive(ctx context.Context, a Archive, stdin Input) (Source, error) {
	if a.Path != standardStream {
		archive, err := layout.OpenArchive(ctx, a.Path)
		if err != nil {
			return nil, err
		}
		return namedSource{archive, a.Name}, nil
	}
	if stdin.IsTerminal() {
		return nil, fmt.Errorf("%s: standard input is a terminal: pipe an archive into it", a)
	}
	archive, err := layout.ReadArchive(ctx, ReaderOf(ctx, stdin))
	if err != nil {
		return nil, err
	}
	return namedSource{archive, a.Name}, nil
}

// archiveDestination is a tar that appears, whole, when it is closed after Put.
type archiveDestination struct {
	*layout.ArchiveWriter
	names []string
	put   bool
}

func createArchive(a Archive, names []string, stdout Output) (Destination, error) {
	if a.Path != standardStream {
		archive, err := layout.CreateArchive(a.Path)
		if err != nil {
			return nil, err
		}
		return &archiveDestination{ArchiveWriter: archive, names: names}, nil
	}
	if stdout.IsTerminal() {
		return nil, fmt.Errorf("%s: standard output is a terminal: pipe it somewhere", a)
	}
	return &archiveDestination{ArchiveWriter: layout.WriteArchive(stdout), names: names}, nil
}

// Put implements [Destination].
func (d *archiveDestination) Put(ctx context.Context, root ocispec.Descriptor, body []byte, referrers []ocispec.Descriptor) error {
	for _, referrer := range referrers {
		if err := d.PutReferrer(ctx, referrer); err != nil {
			return err
		}
	}
	if err := d.PutRoot(ctx, root, body, d.names...); err != nil {
		return err
	}
	d.put = true
	return nil
}

// Close implements [Destination].
func (d *archiveDestination) Close() error {
	if !d.put {
		return d.Abort()
	}
	return d.ArchiveWriter.Close()
}

// namesOf lists what a layout or an archive calls an image.
func namesOf(refs []layout.Ref, image digest.Digest) []string {
	var names []string
	for _, ref := range refs {
		if ref.Desc.Digest == image && ref.Name != "" {
			names = append(names, ref.Name)
		}
	}
	return names
}
