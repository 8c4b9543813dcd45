// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/manifest-format/manifest-format/format"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxDocument is the size of the largest manifest or index that is read, as
// the distribution spec recommends to registries.
const maxDocument = 4 << 20

// mediaTypeArtifactManifest was in image-spec 1.1's release candidates; some
// registries still hold such documents.
const mediaTypeArtifactManifest = "application/vnd.oci.artifact.manifest.v1+json"

// documentTypes are what a registry has under /manifests/ rather than /blobs/.
var documentTypes = []string{
	ocispec.MediaTypeImageIndex,
	ocispec.MediaTypeImageManifest,
	format.MediaTypeDockerManifestList,
	format.MediaTypeDockerManifest,
	mediaTypeArtifactManifest,
	format.MediaTypeDockerSchema1Signed,
	format.MediaTypeDockerSchema1,
}

// acceptDocuments asks for a document as it is: a registry may convert one to
// a type that it is asked for, or to Schema 1 if it is asked for none.
var acceptDocuments = http.Header{
	"Accept":          {strings.Join(documentTypes, ", ")},
	"Accept-Encoding": {"identity"},
}

// isDocument reports whether a registry has such content as a manifest.
func isDocument(mediaType string) bool { return slices.Contains(documentTypes, mediaType) }

// Resolve returns the descriptor of what ref names, a tag or a digest; empty
// is the tag latest. Digest and size are those of the bytes. It costs one
// request, and the next [Repository.ReaderAt] of the descriptor costs none.
// The error is of class ErrNotFound if there is no such tag or manifest. A
// signed Schema 1 manifest is found by tag only; by its digest, the error is of
// class [format.ErrNotFixable].
func (r *Repository) Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	if ref == "" {
		ref = "latest"
	}
	expected, digestErr := digest.Parse(ref)
	if digestErr != nil && !r.isTag(ref) {
		return ocispec.Descriptor{}, &Error{Ref: r.Name(), Text: fmt.Sprintf("%q is neither a tag nor a digest", ref), class: errdefs.ErrInvalidArgument}
	}
	body, header, err := r.document(ctx, ref, maxDocument)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: documentType(header.Get("Content-Type"), body), Size: int64(len(body))}
	claimed, err := digest.Parse(header.Get("Docker-Content-Digest"))
	switch {
	case digestErr == nil:
		desc.Digest = expected.Algorithm().FromBytes(body)
	case err == nil && desc.MediaType != format.MediaTypeDockerSchema1Signed:
		// A registry may address its content by another algorithm. That of
		// signed Schema 1 is of the document without its signatures.
		expected, desc.Digest = claimed, claimed.Algorithm().FromBytes(body)
	default:
		desc.Digest = digest.FromBytes(body)
		expected = desc.Digest
	}
	switch {
	case desc.Digest == expected:
	case desc.MediaType == format.MediaTypeDockerSchema1Signed:
		return ocispec.Descriptor{}, r.schema1(r.named(ref))
	default:
		return ocispec.Descriptor{}, r.corrupt(r.named(ref), "the content's digest is %s, not %s", desc.Digest, expected)
	}
	r.docs.put(desc.Digest, body)
	return desc, nil
}

// document reads what ref names. One that breaks off is read again.
func (r *Repository) document(ctx context.Context, ref string, limit int64) ([]byte, http.Header, error) {
	ctx = r.forPull(ctx)
	what := "tag"
	if _, err := digest.Parse(ref); err == nil {
		what = "manifest"
	}
	more := r.retries.request()
	for attempt := 0; ; attempt++ {
		resp, err := r.request(ctx, http.MethodGet, r.base+"/manifests/"+ref, acceptDocuments)
		if err != nil {
			return nil, nil, r.fail(r.named(ref), what, err)
		}
		if resp.StatusCode != http.StatusOK {
			return nil, nil, r.refuse(r.named(ref), what, resp)
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
		resp.Body.Close()
		switch {
		case err == nil && int64(len(body)) <= limit:
			return body, resp.Header, nil
		case err == nil:
			return nil, nil, &Error{Ref: r.named(ref), Text: fmt.Sprintf("larger than %d bytes", limit), class: format.ErrTooLarge}
		case !more.pause(ctx, attempt, nil, err):
			return nil, nil, r.fail(r.named(ref), what, cmp.Or(ctx.Err(), err))
		}
	}
}

// documentType is what a response says it is, unless that says nothing, as
// with a registry made of static files; then it is what the body says.
func documentType(header string, body []byte) string {
	mediaType, _, err := mime.ParseMediaType(header)
	if err == nil && isDocument(mediaType) {
		return mediaType
	}
	var doc struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     string          `json:"mediaType"`
		Manifests     json.RawMessage `json:"manifests"`
		Config        json.RawMessage `json:"config"`
		Signatures    json.RawMessage `json:"signatures"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return mediaType
	}
	switch {
	case doc.MediaType != "":
		return doc.MediaType
	case doc.SchemaVersion == 1 && doc.Signatures != nil:
		return format.MediaTypeDockerSchema1Signed
	case doc.SchemaVersion == 1:
		return format.MediaTypeDockerSchema1
	case doc.Manifests != nil:
		return ocispec.MediaTypeImageIndex
	case doc.Config != nil:
		return ocispec.MediaTypeImageManifest
	}
	return mediaType
}

// ReaderAt implements [content.Provider]. The request is made now, so that
// what is not there is not found now, with class ErrNotFound. Reads in order
// stream one response; a read elsewhere, or after the connection broke, goes
// on with a Range request. Content of another size than desc.Size is
// [format.ErrCorrupt]. A document is also checked against its digest; a blob
// is not, its bytes may be read in any order. ctx is for all reads.
func (r *Repository) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, &Error{Ref: r.Name(), Text: fmt.Sprintf("%q is no digest", desc.Digest), class: errdefs.ErrInvalidArgument, cause: err}
	}
	if !isDocument(desc.MediaType) {
		return r.openBlob(ctx, desc)
	}
	body, ok := r.docs.get(desc.Digest)
	if !ok {
		var err error
		if body, _, err = r.document(ctx, desc.Digest.String(), maxDocument); err != nil {
			return nil, err
		}
	}
	ref, got := r.named(desc.Digest.String()), desc.Digest.Algorithm().FromBytes(body)
	switch {
	case got != desc.Digest && desc.MediaType == format.MediaTypeDockerSchema1Signed:
		return nil, r.schema1(ref)
	case int64(len(body)) != desc.Size:
		return nil, r.corrupt(ref, "the content is %d bytes, not %d", len(body), desc.Size)
	case got != desc.Digest:
		return nil, r.corrupt(ref, "the content's digest is %s", got)
	}
	return &documentReader{Reader: bytes.NewReader(body)}, nil
}

// corrupt returns [format.ErrCorrupt] with the reason.
func (r *Repository) corrupt(ref, reason string, args ...any) error {
	return &Error{Ref: ref, Text: fmt.Sprintf(reason, args...), class: format.ErrCorrupt}
}

// schema1 returns why a signed Schema 1 manifest is not read by its digest: it
// is of the document without its signatures
// (https://distribution.github.io/distribution/spec/deprecated-schema-v1/), so
// that the bytes cannot be checked.
func (r *Repository) schema1(ref string) error {
	return &Error{Ref: ref, Text: "it is a signed Docker V2 Schema 1 manifest, which this version does not read by digest yet; push the image again with a newer client", class: format.ErrNotFixable}
}

// documentReader reads a document from memory.
type documentReader struct{ *bytes.Reader }

// Close implements [io.Closer].
func (*documentReader) Close() error { return nil }

// documentCache keeps what [Repository.Resolve] has read. It forgets the
// oldest when it has more than maxCached bytes. The zero value is empty.
type documentCache struct {
	mu    sync.Mutex
	docs  map[digest.Digest][]byte
	order []digest.Digest
	bytes int
}

const maxCached = 2 * maxDocument

// put keeps a document, which must not change any more.
func (c *documentCache) put(d digest.Digest, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.docs[d]; ok {
		return
	}
	if c.docs == nil {
		c.docs = map[digest.Digest][]byte{}
	}
	c.docs[d] = body
	c.order = append(c.order, d)
	for c.bytes += len(body); c.bytes > maxCached; c.order = c.order[1:] {
		c.bytes -= len(c.docs[c.order[0]])
		delete(c.docs, c.order[0])
	}
}

// get returns a document that is kept.
func (c *documentCache) get(d digest.Digest) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, ok := c.docs[d]
	return body, ok
}
