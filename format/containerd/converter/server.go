// SPDX-License-Identifier: Apache-2.0

package converter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	"github.com/manifest-format/manifest-format/format"
	v1 "github.com/manifest-format/manifest-format/format/containerd/converter/v1"
)

// Func converts an image in the namespace of ctx, and leaves nothing behind
// where it fails. The request's Options.Progress is set.
type Func func(ctx context.Context, r Request) (*format.Result, error)

// Register has a server answer with f. The context of each call is done when
// the caller goes.
func Register(server grpc.ServiceRegistrar, f Func) {
	v1.RegisterConverterServer(server, &service{convert: f})
}

type service struct {
	v1.UnimplementedConverterServer
	convert Func
}

// Convert implements [v1.ConverterServer].
func (s *service) Convert(request *v1.ConvertRequest, stream grpc.ServerStreamingServer[v1.ConvertEvent]) error {
	r, err := requestOf(request)
	if err != nil {
		return statusOf(err)
	}
	steps := newSteps(stream)
	r.Options.Progress = steps.add
	result, err := s.convert(stream.Context(), r)
	steps.close()
	if err != nil {
		if lossy, ok := errors.AsType[*format.LossError](err); ok {
			if sent := sendAll(stream, lossy.Losses, lossEvent); sent != nil {
				return sent
			}
		}
		return statusOf(err)
	}
	return sendResult(stream, result)
}

// sendResult sends each part of a result by itself: no message has to hold all.
func sendResult(stream grpc.ServerStreamingServer[v1.ConvertEvent], result *format.Result) error {
	if err := sendAll(stream, result.Changes, changeEvent); err != nil {
		return err
	}
	if err := sendAll(stream, result.Losses, lossEvent); err != nil {
		return err
	}
	if err := sendAll(stream, result.Notes, noteEvent); err != nil {
		return err
	}
	return stream.Send(&v1.ConvertEvent{Event: &v1.ConvertEvent_Result{
		Result: &v1.Result{Source: descriptorProto(result.Source), Root: descriptorProto(result.Root)},
	}})
}

func sendAll[T any](stream grpc.ServerStreamingServer[v1.ConvertEvent], list []T, event func(T) *v1.ConvertEvent) error {
	for _, one := range list {
		if err := stream.Send(event(one)); err != nil {
			return err
		}
	}
	return nil
}

// requestOf reads what a client asks for. The engine looks at the words.
func requestOf(request *v1.ConvertRequest) (Request, error) {
	r := Request{
		Source: request.GetSource(), Destination: request.GetDestination(),
		Options: format.Options{
			OnLoss: format.OnLoss(request.GetOnLoss()), Attestations: format.Attestations(request.GetAttestations()),
			Annotations: format.AnnotationsMode(request.GetAnnotations()), Compression: format.Compression(request.GetCompression()),
			Single: request.GetSingle(), Index: request.GetIndex(), Verify: request.GetVerify(),
		},
	}
	for _, p := range request.GetPlatforms() {
		r.Options.Platforms = append(r.Options.Platforms, *platformOf(p))
	}
	if r.Source == "" || r.Destination == "" {
		return r, fmt.Errorf("name the image to convert, and what to call the result%.0w", errdefs.ErrInvalidArgument)
	}
	var err error
	r.Profile, err = profileOf(request.GetProfile())
	return r, err
}

// profileOf reads a profile, or the names of built-in ones.
func profileOf(text string) (format.Profile, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		p, err := format.ParseProfile([]byte(text))
		if err != nil {
			return p, fmt.Errorf("not a profile as this containerd knows them: %w", err)
		}
		return p, nil
	}
	p, ok := format.LookupProfile(text)
	if !ok {
		return p, fmt.Errorf("no such profile in this containerd: %q%.0w", text, errdefs.ErrInvalidArgument)
	}
	return p, nil
}

// steps sends progress while a conversion goes on, which never waits for it:
// of a blob that is told of faster than the client listens, the newest is sent.
type steps struct {
	stream grpc.ServerStreamingServer[v1.ConvertEvent]

	mu      sync.Mutex
	waiting []format.Progress // each blob once, in the order in which they were met
	at      map[stepKey]int   // in waiting

	wake chan struct{} // of one; closed to end
	done chan struct{}
}

type stepKey struct {
	action format.Action
	path   string
}

func newSteps(stream grpc.ServerStreamingServer[v1.ConvertEvent]) *steps {
	s := &steps{stream: stream, at: map[stepKey]int{}, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go s.send()
	return s
}

// add is a [format.Options] Progress.
func (s *steps) add(p format.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := stepKey{p.Action, p.Path}
	if n, ok := s.at[key]; ok {
		s.waiting[n] = p
		return
	}
	s.at[key] = len(s.waiting)
	s.waiting = append(s.waiting, p)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// close ends it, once all is sent. Nothing is added after it.
func (s *steps) close() {
	close(s.wake)
	<-s.done
}

func (s *steps) send() {
	defer close(s.done)
	for range s.wake {
		s.mu.Lock()
		list := s.waiting
		s.waiting = nil
		clear(s.at)
		s.mu.Unlock()
		// A client that is gone ends the conversion: there is nobody to tell.
		_ = sendAll(s.stream, list, progressEvent)
	}
}
