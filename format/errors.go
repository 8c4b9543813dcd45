// SPDX-License-Identifier: Apache-2.0

package format

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The ways in which an image can be refused. Each is of one of containerd's
// errdefs classes, so that it survives gRPC.
var (
	// ErrNoEquivalent is a media type that the other format does not have.
	ErrNoEquivalent = fmt.Errorf("no equivalent%.0w", errdefs.ErrNotImplemented)
	// ErrLossy is a conversion that would lose something, where the caller
	// asked to lose nothing.
	ErrLossy = fmt.Errorf("something would be lost%.0w", errdefs.ErrFailedPrecondition)
	// ErrNotFixable is content that no conversion makes acceptable.
	ErrNotFixable = fmt.Errorf("cannot be converted%.0w", errdefs.ErrFailedPrecondition)
	// ErrSigned is content that is signed, so that a change would break it.
	ErrSigned = fmt.Errorf("signed%.0w", errdefs.ErrFailedPrecondition)
	// ErrAmbiguous is a document that two readers may read differently
	// (CVE-2021-41190).
	ErrAmbiguous = fmt.Errorf("ambiguous document%.0w", errdefs.ErrInvalidArgument)
	// ErrCorrupt is content that is not what its descriptor says.
	ErrCorrupt = fmt.Errorf("corrupt content%.0w", errdefs.ErrDataLoss)
	// ErrTooLarge is a document or a graph over a limit.
	ErrTooLarge = fmt.Errorf("too large%.0w", errdefs.ErrResourceExhausted)
	// ErrNonConforming is an image that a profile does not accept.
	ErrNonConforming = fmt.Errorf("does not conform%.0w", errdefs.ErrFailedPrecondition)
)

// Error is what every function of this package returns: what was being done,
// where in the image, on what, and why it failed.
type Error struct {
	// Op is the operation: "walk", "check", "convert" or "copy".
	Op string
	// Path is a JSON pointer from the root with digests resolved:
	// "/manifests/1/layers/0" is the first layer of the second manifest.
	// Empty is the root.
	Path string
	// Desc is the descriptor at Path, as far as it is known.
	Desc ocispec.Descriptor
	// Err is the reason.
	Err error
}

// Error says the reason, then where. It is one line, whatever the image says.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Err.Error())
	switch {
	case e.Path != "" && e.Desc.Digest != "":
		fmt.Fprintf(&b, " (at %s, %s)", e.Path, e.Desc.Digest)
	case e.Path != "":
		fmt.Fprintf(&b, " (at %s)", e.Path)
	case e.Desc.Digest != "":
		fmt.Fprintf(&b, " (%s)", e.Desc.Digest)
	}
	return printable(b.String())
}

// printable escapes what would break a line or move a terminal's cursor: text
// out of an image is anybody's.
func printable(s string) string {
	if !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsControl(r) {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// at wraps err with the place it happened at, unless it has one already.
func at(op, path string, desc ocispec.Descriptor, err error) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &Error{Op: op, Path: path, Desc: desc, Err: err}
}
