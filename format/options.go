// SPDX-License-Identifier: Apache-2.0

package format

import (
	"context"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Store is a place that content is read from and added to. Nothing is ever
// deleted from it. Content is addressed by digest: to write what is there
// already is no error (a Writer may answer errdefs.ErrAlreadyExists).
type Store interface {
	content.Provider
	content.Ingester
}

// BlobCopier is an Ingester that takes a blob in a better way than through a
// Writer: a registry mounts it from another repository, or sends it again
// after a fault. [Copy] uses it where the destination has it.
type BlobCopier interface {
	// CopyBlob returns nil once desc is stored, whether or not because of this
	// call, and says how it came there. It calls progress, if not nil, with
	// the bytes moved so far. Safe for concurrent use.
	CopyBlob(ctx context.Context, src content.Provider, desc ocispec.Descriptor, progress func(n int64)) (Action, error)
}

// OnLoss is what happens when a conversion loses something.
type OnLoss string

const (
	// OnLossWarn converts and lists the losses in the result. The default.
	OnLossWarn OnLoss = "warn"
	// OnLossFail writes nothing and returns [ErrLossy].
	OnLossFail OnLoss = "fail"
)

// AnnotationsMode is what becomes of annotations where the target has none.
type AnnotationsMode string

const (
	// AnnotationsDrop removes them; each is a loss. The default.
	AnnotationsDrop AnnotationsMode = "drop"
	// AnnotationsLabels writes a manifest's annotations into its config's
	// Labels first. The config's digest changes. Labels that exist win.
	AnnotationsLabels AnnotationsMode = "labels"
)

// Options change how [Convert] works. The zero value converts everything and
// lists what was lost.
type Options struct {
	// OnLoss is [OnLossWarn] when empty.
	OnLoss OnLoss
	// Platforms to keep, matched as containerd's platforms package does. Empty
	// keeps all. One that matches nothing is an error that lists those there are.
	Platforms []ocispec.Platform
	// Partial says that the source is an engine's, which holds of an image what
	// was pulled or built: attestations that are not there are losses, and no
	// error. They are so too where Platforms chooses. See [Holdings].
	Partial bool
	// Single makes the one platform that is left the root, without an index.
	Single bool
	// Index wraps a single manifest in an index.
	Index bool
	// Compression recompresses every layer that has another one. Empty
	// recompresses only what the profile does not accept.
	Compression Compression
	// Attestations is the profile's default when empty.
	Attestations Attestations
	// NoReferrers says that the destination holds no referrers (an engine, a
	// `docker save` archive): attestations that would become referrers are
	// dropped by default, and asking for referrers is an error.
	NoReferrers bool
	// Annotations is [AnnotationsDrop] when empty.
	Annotations AnnotationsMode
	// Verify reads and decompresses every layer, so that one that is not what
	// its descriptor or its config says is found. What is no filesystem is
	// compared with its digest alone, what is foreign not at all.
	Verify bool
	// Concurrency is how many documents are read at once, and how many layers
	// recompressed. If 0 or less, 8 documents and 2 layers.
	Concurrency int
	// Progress, if not nil, is told what happens to each blob. It is called
	// from several goroutines, and must not block.
	Progress func(Progress)
}

// CopyOptions change how [Copy] works. The zero value copies everything.
type CopyOptions struct {
	// Concurrency is how many blobs are moved at once. If 0 or less, 10.
	Concurrency int
	// Root, if not nil, writes the root document in place of the destination's
	// Writer, for example under a tag. It is called last, when everything that
	// the root names is there.
	Root func(ctx context.Context, desc ocispec.Descriptor, body []byte) error
	// Referrers are roots to copy before Root is called: [Result.Referrers].
	Referrers []ocispec.Descriptor
	// Foreign, if not nil, opens the content of a foreign layer, from its
	// URLs, and must send no credentials to them (CVE-2020-15157). If nil,
	// foreign layers are not copied. The caller closes the reader.
	Foreign func(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error)
	// Progress is as in [Options].
	Progress func(Progress)
}

// Action is what was done with a blob.
type Action string

const (
	// ActionCopy moves bytes from source to destination.
	ActionCopy Action = "copy"
	// ActionExists finds the blob at the destination.
	ActionExists Action = "exists"
	// ActionMount links the blob from another repository, without moving it.
	ActionMount Action = "mount"
	// ActionRecompress changes a layer's compression.
	ActionRecompress Action = "recompress"
	// ActionVerify reads a layer and compares it with what it should be.
	ActionVerify Action = "verify"
	// ActionSkip leaves a foreign layer where it is.
	ActionSkip Action = "skip"
)

// Progress is one step of work on one blob or document.
type Progress struct {
	Action Action
	// Path is where in the image the blob is met first.
	Path string
	Desc ocispec.Descriptor
	// Done is in bytes, of Desc.Size.
	Done int64
	// Final is true for the last step of this blob.
	Final bool
	// Err is why it ended, if it failed.
	Err error
}

// Loss is something of the source that the result does not have.
type Loss struct {
	// Rule is the id of the rule that removed it.
	Rule string `json:"rule"`
	// Path is where it was, as in [Error]. It may have any character that an
	// annotation's name may have: escape it before a person sees it.
	Path string `json:"path"`
	// What it was: `annotation "org.opencontainers.image.source"`.
	What string `json:"what"`
	// Value is what was there, cut short if it is long.
	Value string `json:"value,omitempty"`
	// Why it could not stay.
	Why string `json:"why"`
}

// Note is something that a person should know, and that is no loss.
type Note struct {
	Rule string `json:"rule"`
	Path string `json:"path"`
	Text string `json:"text"`
}

// Change is one document or layer that the result has in place of another.
type Change struct {
	Path string             `json:"path"`
	From ocispec.Descriptor `json:"from"`
	To   ocispec.Descriptor `json:"to"`
	// What was done: "media types", "recompressed zstd to gzip", ….
	What string `json:"what"`
}

// Result is what [Convert] did.
type Result struct {
	// Source is the root as it was, Root as it is now: equal when the image
	// was acceptable as it stood.
	Source ocispec.Descriptor `json:"source"`
	Root   ocispec.Descriptor `json:"root"`
	// Referrers are artifact manifests in the Store that refer to images of
	// the result and that the root does not name. Never nil in JSON.
	Referrers []ocispec.Descriptor `json:"referrers"`
	Changes   []Change             `json:"changes"`
	Losses    []Loss               `json:"losses"`
	Notes     []Note               `json:"notes"`
}

// Node is one descriptor of a graph, and what it stands for.
type Node struct {
	// Path is a JSON pointer from the root with digests resolved.
	Path string
	Desc ocispec.Descriptor
	// Type is Desc.MediaType taken apart; of a document, as its own mediaType
	// has it. Zero for what is no part of an image, an artifact's payload.
	Type MediaType
	// Body is the document's bytes for an index or a manifest, nil otherwise.
	// It must not be changed.
	Body []byte
	// Parent is the digest of the document that names it, empty for the root.
	Parent digest.Digest
}
