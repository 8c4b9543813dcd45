// SPDX-License-Identifier: Apache-2.0

package converter

import (
	"errors"
	"strings"

	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/manifest-format/manifest-format/format"
	v1 "github.com/manifest-format/manifest-format/format/containerd/converter/v1"
)

// kinds are the names of the engine's sentinels.
var kinds = []struct {
	name string
	err  error
}{
	{"no-equivalent", format.ErrNoEquivalent},
	{"lossy", format.ErrLossy},
	{"not-fixable", format.ErrNotFixable},
	{"signed", format.ErrSigned},
	{"ambiguous", format.ErrAmbiguous},
	{"corrupt", format.ErrCorrupt},
	{"too-large", format.ErrTooLarge},
	{"non-conforming", format.ErrNonConforming},
}

// statusOf is an error as the server sends it.
func statusOf(err error) error {
	failure := &v1.Failure{Reason: text(err.Error()), Kind: kindOf(err)}
	if at, ok := errors.AsType[*format.Error](err); ok {
		failure.Op, failure.Path, failure.Descriptor_ = at.Op, at.Path, descriptorProto(at.Desc)
		failure.Reason = text(at.Err.Error())
	}
	code := status.Code(errgrpc.ToGRPC(err))
	s, other := status.New(code, text(err.Error())).WithDetails(failure)
	if other != nil {
		return other
	}
	return s.Err()
}

func kindOf(err error) string {
	for _, kind := range kinds {
		if errors.Is(err, kind.err) {
			return kind.name
		}
	}
	return ""
}

// failed is the error that a server sent, with what it said would be lost.
func failed(err error, losses []format.Loss) error {
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	// Its class; the details are ours, which containerd does not know.
	class := errgrpc.ToNative(status.Error(s.Code(), s.Message()))
	for _, detail := range s.Details() {
		if failure, ok := detail.(*v1.Failure); ok {
			return failureOf(failure, &answer{s.Message(), class}, losses)
		}
	}
	if s.Code() == codes.Unimplemented {
		return ErrNoConverter
	}
	return class
}

// failureOf is the error that a server had.
func failureOf(failure *v1.Failure, whole *answer, losses []format.Loss) error {
	for _, kind := range kinds {
		if kind.name == failure.GetKind() {
			whole.err = kind.err
		}
	}
	if failure.GetOp() == "" {
		return whole
	}
	reason := error(&answer{failure.GetReason(), whole.err})
	if errors.Is(reason, format.ErrLossy) && len(losses) > 0 {
		reason = &format.LossError{Losses: losses}
	}
	at := &format.Error{
		Op: failure.GetOp(), Path: failure.GetPath(), Desc: descriptorOf(failure.GetDescriptor_()), Err: reason,
	}
	if at.Error() == whole.text {
		return at
	}
	whole.err = at // something around it says more
	return whole
}

// answer is an error in a server's words.
type answer struct {
	text string
	err  error
}

// Error implements error.
func (a *answer) Error() string { return a.text }

// Unwrap returns the class, or the place in the image.
func (a *answer) Unwrap() error { return a.err }

// text is what protobuf takes: an error may have any bytes in it.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
