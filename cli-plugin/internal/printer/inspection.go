// SPDX-License-Identifier: Apache-2.0

package printer

import (
	"fmt"
	"io"
	"strings"

	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/streams"
	"github.com/opencontainers/go-digest"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/inspection"
	"github.com/manifest-format/manifest-format/format"
)

// InspectionOptions change how an inspection is printed. The zero value
// prints a tree that fits a terminal, and is whole in a pipe.
type InspectionOptions struct {
	// Format is "json", or a Go template over [inspection.Image].
	Format string
	// NoTrunc prints digests and media types whole on a terminal too.
	NoTrunc bool
}

// Inspection writes image to standard output.
func Inspection(streams command.Streams, image *inspection.Image, o InspectionOptions) error {
	for _, warning := range image.Warnings {
		Warning(streams, warning)
	}
	if o.Format != "" {
		return printTemplate(streams.Out(), o.Format, image)
	}
	t := tree{style: styleOf(streams.Out()), short: streams.Out().IsTerminal() && !o.NoTrunc}
	t.rows.add(t.headings("CONTENT", "FORMAT", "DIGEST", "SIZE", "MEDIA TYPE")...)
	t.document(image.Root, "", "")
	if t.short {
		t.fit(streams.Out())
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", t.style.bold(printable(image.Reference)))
	t.rows.write(&b, "")
	fmt.Fprintf(&b, "\n%s\n", t.style.bold(printable(image.Summary)))
	_, err := io.WriteString(streams.Out(), b.String())
	return err
}

// tree collects the rows of an inspection.
type tree struct {
	rows  table
	style style
	short bool
}

func (t *tree) headings(names ...string) []string {
	for i, name := range names {
		names[i] = t.style.faint(name)
	}
	return names
}

// branch is one row below a document.
type branch struct {
	label string
	doc   *inspection.Document // either this
	blob  *inspection.Blob     // or this
}

// document adds d and everything below it. lead stands before its label, and
// indent before those of its children.
func (t *tree) document(d *inspection.Document, lead, indent string) {
	t.row(lead+held(t.label(d), d.Missing), d.Format, d.Digest, d.Size, d.MediaType)
	branches := branchesOf(d)
	for i, b := range branches {
		fork, next := "├─ ", "│  "
		if i == len(branches)-1 {
			fork, next = "└─ ", "   "
		}
		if b.doc != nil {
			t.document(b.doc, indent+fork+b.label, indent+next)
		} else {
			t.row(indent+fork+held(printable(b.label), b.blob.Missing), b.blob.Format, b.blob.Digest, b.blob.Size, b.blob.MediaType)
		}
	}
}

func branchesOf(d *inspection.Document) []branch {
	var branches []branch
	if d.Config != nil && d.Kind == inspection.KindManifest {
		branches = append(branches, branch{label: "config", blob: d.Config})
	}
	for i := range d.Layers {
		layer := &d.Layers[i]
		branches = append(branches, branch{label: layerLabel(i, layer), blob: layer})
	}
	for _, m := range d.Manifests {
		branches = append(branches, branch{doc: m})
	}
	for _, a := range d.Attestations {
		branches = append(branches, branch{doc: a})
	}
	for _, r := range d.Referrers {
		branches = append(branches, branch{label: "referrer: ", doc: r})
	}
	return branches
}

// label says what a document is, for a person.
func (t *tree) label(d *inspection.Document) string {
	switch {
	case d.Kind == inspection.KindManifest && d.Platform != "":
		return t.style.green(printable(d.Platform))
	case d.Kind == inspection.KindArtifact:
		return printable(d.ArtifactName())
	}
	return d.Kind
}

// held is a label that says if what it stands for is not there.
func held(label string, missing bool) string {
	if missing {
		return label + " (not here)"
	}
	return label
}

// layerLabel numbers layers as paths in the image do.
func layerLabel(i int, l *inspection.Blob) string {
	switch {
	case l.Statement != "":
		return l.Statement
	case l.Format == "":
		return fmt.Sprintf("blob %d", i)
	}
	label := fmt.Sprintf("layer %d", i)
	if l.Foreign {
		label += " foreign"
	}
	if l.Compression == format.Uncompressed {
		return label + " uncompressed"
	}
	return label + " " + string(l.Compression)
}

func (t *tree) row(label, of string, d digest.Digest, size int64, mediaType string) {
	shown := d.String()
	if t.short {
		shown = Short(d)
	}
	bytes := inspection.HumanSize(size)
	if size == 0 {
		bytes = "-"
	}
	if of == "" {
		of = "-"
	}
	t.rows.add(label, inspection.FormatName(of), printable(shown), bytes, t.style.faint(printable(mediaType)))
}

// fit leaves out the media types if a terminal is too narrow for them: the
// format and the kind say the same in short.
func (t *tree) fit(out *streams.Out) {
	_, columns := out.GetTtySize()
	if columns == 0 || t.rows.width() <= int(columns) {
		return
	}
	for i, row := range t.rows.rows {
		t.rows.rows[i] = row[:len(row)-1]
	}
}
