// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"
	_ "crypto/sha256" // go-digest's algorithms have to be linked in
	_ "crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format/internal/jsontree"
)

// Limits on what a source may make us read. 4 MiB is what the distribution
// specification has registries accept at least, and what most accept at most.
const (
	maxDocumentSize = 4 << 20
	maxConfigSize   = 8 << 20
	maxDepth        = 8
	maxDescriptors  = 10_000
	maxTotalSize    = 256 << 20
)

// descriptor is a descriptor inside a document, and where it stands in it.
type descriptor struct {
	ocispec.Descriptor
	node *jsontree.Value
	// field is where it stands: "config", "subject", "layers/0", "manifests/3".
	field string
	typ   MediaType
	// unread says that it names a document that was not asked for.
	unread bool
}

// document is an index or a manifest, read strictly.
type document struct {
	desc ocispec.Descriptor
	path string // where it is met first
	body []byte
	tree *jsontree.Document
	typ  MediaType
	// typed says that the document has a mediaType of its own.
	typed        bool
	artifactType string
	config       *descriptor
	subject      *descriptor
	layers       []*descriptor
	manifests    []*descriptor
	// optional says that it may be missing: a client that pulls one platform
	// does not pull what is attested of it.
	optional, missing bool
	// children are the documents of manifests, nil for what is no document.
	children []*document
}

// isDocument reports whether a descriptor of this media type is an index or a
// manifest that can be read, or one of Schema 1, which is refused when read.
func isDocument(mediaType string) bool {
	switch mediaType {
	case MediaTypeDockerSchema1, MediaTypeDockerSchema1Signed:
		return true
	}
	t, _ := ParseMediaType(mediaType)
	return t.Kind == KindIndex || t.Kind == KindManifest
}

// checkDescriptor refuses what no content can be read through.
func checkDescriptor(d ocispec.Descriptor) error {
	if err := d.Digest.Validate(); err != nil {
		return fmt.Errorf("%w: digest %q: %w", ErrCorrupt, clip(d.Digest.String()), err)
	}
	if d.Size < 0 {
		return fmt.Errorf("%w: its descriptor has the negative size %d", ErrCorrupt, d.Size)
	}
	return nil
}

// Plain returns what of a descriptor says which content it is: without what an
// index or somebody's record says of it.
func Plain(desc ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
}

// readVerified reads the whole of desc, which is known not to be over limit.
func readVerified(ctx context.Context, src content.Provider, desc ocispec.Descriptor, limit int64) ([]byte, error) {
	if err := checkDescriptor(desc); err != nil {
		return nil, err
	}
	if desc.Size > limit {
		return nil, fmt.Errorf("%w: it has %d bytes, and %d are the most that is read", ErrTooLarge, desc.Size, limit)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ra, err := src.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer ra.Close()
	if ra.Size() != desc.Size {
		return nil, fmt.Errorf("%w: its descriptor says %d bytes, but it has %d", ErrCorrupt, desc.Size, ra.Size())
	}
	body := make([]byte, desc.Size)
	if n, err := ra.ReadAt(body, 0); err != nil && (!errors.Is(err, io.EOF) || int64(n) != desc.Size) {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: it ends after %d of %d bytes", ErrCorrupt, n, desc.Size)
		}
		return nil, err
	}
	if got := desc.Digest.Algorithm().FromBytes(body); got != desc.Digest {
		return nil, fmt.Errorf("%w: it hashes to %s, not to its digest", ErrCorrupt, got)
	}
	return body, nil
}

// readDocument fetches and parses an index or a manifest.
func readDocument(ctx context.Context, src content.Provider, desc ocispec.Descriptor, path string) (*document, error) {
	switch desc.MediaType {
	case MediaTypeDockerSchema1, MediaTypeDockerSchema1Signed:
		return nil, fmt.Errorf("%w: it is a Docker V2 Schema 1 manifest, which this version does not read yet; push the image again with a newer client", ErrNotFixable)
	}
	body, err := readVerified(ctx, src, desc, maxDocumentSize)
	if err != nil {
		return nil, err
	}
	return (&document{desc: desc, body: body}).copy(path)
}

// copy returns d as it was read, to be edited apart from d, as if met at path.
func (d *document) copy(path string) (*document, error) {
	twin := &document{desc: d.desc, path: path, body: d.body}
	var err error
	if twin.tree, err = jsontree.Parse(d.body); err != nil {
		if errors.Is(err, jsontree.ErrTooLarge) {
			return nil, fmt.Errorf("%w: %w", ErrTooLarge, err)
		}
		return nil, fmt.Errorf("%w: %w", ErrAmbiguous, err)
	}
	return twin, twin.parse()
}

// documentFields are the members that clients act on.
var documentFields = []string{"schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations"}

// parse reads the fields of d, and refuses what is ambiguous: CVE-2021-41190,
// and names that Go's decoder takes for one another.
func (d *document) parse() error {
	root := d.tree.Root
	if root.Kind() != '{' {
		return fmt.Errorf("%w: it is no JSON object", ErrAmbiguous)
	}
	if err := checkNames(root, documentFields); err != nil {
		return err
	}
	if v := root.Get("schemaVersion"); v == nil || string(v.Raw()) != "2" {
		if v != nil && string(v.Raw()) == "1" {
			return fmt.Errorf("%w: it is a Docker V2 Schema 1 manifest, which this version does not read yet", ErrNotFixable)
		}
		return fmt.Errorf("%w: it has no schemaVersion 2", ErrAmbiguous)
	}
	if err := d.parseType(); err != nil {
		return err
	}
	if err := d.parseText(); err != nil {
		return err
	}
	var err error
	if d.typ.Kind == KindIndex {
		d.manifests, err = parseDescriptors(root, "manifests")
		return err
	}
	if d.config, err = parseDescriptor(root.Get("config"), "config"); err != nil {
		return err
	}
	if s := root.Get("subject"); s != nil && s.Kind() != 'n' {
		if d.subject, err = parseDescriptor(s, "subject"); err != nil {
			return err
		}
	}
	d.layers, err = parseDescriptors(root, "layers")
	return err
}

// parseText reads the document's own strings, and refuses what is none: what
// cannot be read cannot be said to be lost.
func (d *document) parseText() error {
	if v := d.tree.Root.Get("artifactType"); v != nil && v.Kind() != 'n' {
		var ok bool
		if d.artifactType, ok = v.Text(); !ok {
			return fmt.Errorf("%w: its artifactType is no string", ErrAmbiguous)
		}
	}
	annotations := d.tree.Root.Get("annotations")
	if annotations == nil || annotations.Kind() == 'n' {
		return nil
	}
	if annotations.Kind() != '{' {
		return fmt.Errorf("%w: its annotations are no object", ErrAmbiguous)
	}
	for _, it := range annotations.Items() {
		if _, ok := it.Value.Text(); !ok {
			return fmt.Errorf("%w: its annotation %q is no string", ErrAmbiguous, clip(it.Name))
		}
	}
	return nil
}

// parseType decides what the document is. What it says, what its descriptor
// says and what it holds have to agree.
func (d *document) parseType() error {
	root := d.tree.Root
	isIndex := root.Get("manifests") != nil
	isManifest := root.Get("config") != nil || root.Get("layers") != nil
	if isIndex == isManifest {
		if isIndex {
			return fmt.Errorf("%w: it has both manifests and config or layers, so it is an index to some and an image to others (CVE-2021-41190)", ErrAmbiguous)
		}
		return fmt.Errorf("%w: it has neither manifests nor config and layers", ErrAmbiguous)
	}
	name := d.desc.MediaType
	if v := root.Get("mediaType"); v != nil {
		own, ok := v.Text()
		if !ok || own != name {
			return fmt.Errorf("%w: it says of itself mediaType %s, but its descriptor says %q (CVE-2021-41190)", ErrAmbiguous, clip(string(v.Raw())), name)
		}
		name, d.typed = own, true
	}
	var ok bool
	if d.typ, ok = ParseMediaType(name); !ok || (d.typ.Kind == KindIndex) != isIndex || (d.typ.Kind == KindManifest) != isManifest {
		what := "an image manifest"
		if isIndex {
			what = "an index"
		}
		return fmt.Errorf("%w: its media type is %q, but it is written as %s (CVE-2021-41190)", ErrAmbiguous, clip(name), what)
	}
	return nil
}

// descriptorFields are the members of a descriptor that clients act on.
var descriptorFields = []string{"mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"}

func parseDescriptors(root *jsontree.Value, field string) ([]*descriptor, error) {
	v := root.Get(field)
	if v == nil || v.Kind() == 'n' {
		return nil, nil
	}
	if v.Kind() != '[' {
		return nil, fmt.Errorf("%w: its %s is no array", ErrAmbiguous, field)
	}
	if len(v.Items()) > maxDescriptors {
		return nil, fmt.Errorf("%w: it has %d %s, and %d descriptors are the most that is read", ErrTooLarge, len(v.Items()), field, maxDescriptors)
	}
	var all []*descriptor
	for i, it := range v.Items() {
		d, err := parseDescriptor(it.Value, fmt.Sprintf("%s/%d", field, i))
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

func parseDescriptor(v *jsontree.Value, field string) (*descriptor, error) {
	if v == nil || v.Kind() != '{' {
		return nil, fmt.Errorf("%w: its %s is no descriptor", ErrAmbiguous, field)
	}
	if err := checkNames(v, descriptorFields); err != nil {
		return nil, fmt.Errorf("%w, in its %s", err, field)
	}
	d := &descriptor{node: v, field: field}
	if err := json.Unmarshal(v.Raw(), &d.Descriptor); err != nil {
		return nil, fmt.Errorf("%w: its %s is no descriptor: %w", ErrAmbiguous, field, err)
	}
	if v.Get("size") == nil {
		return nil, fmt.Errorf("%w: its %s has no size", ErrAmbiguous, field)
	}
	if err := checkDescriptor(d.Descriptor); err != nil {
		return nil, &Error{Op: "read", Path: "/" + field, Desc: d.Descriptor, Err: err}
	}
	d.typ, _ = ParseMediaType(d.MediaType)
	return d, nil
}

// checkNames refuses an object with a name that differs from a known one in
// case only: Go's decoder takes either, others do not.
func checkNames(v *jsontree.Value, known []string) error {
	for _, it := range v.Items() {
		for _, name := range known {
			if it.Name != name && strings.EqualFold(it.Name, name) {
				return fmt.Errorf("%w: it has %q, which some readers take for %q", ErrAmbiguous, clip(it.Name), name)
			}
		}
	}
	return nil
}

// isImageConfig reports whether the manifest's config is that of an image.
func (d *document) isImageConfig() bool {
	return d.config != nil && d.config.typ.Kind == KindConfig
}

// isArtifact reports whether a manifest is something that is no image.
func (d *document) isArtifact() bool {
	return d.typ.Kind == KindManifest && (d.artifactType != "" || d.subject != nil || !d.isImageConfig())
}

// clip shortens s for an error or a list.
func clip(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
