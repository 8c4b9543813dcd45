// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/typeurl/v2"
)

// The topics of events. What is deleted is forgotten.
const (
	topicCreate = "/images/create"
	topicUpdate = "/images/update"
	topicDelete = "/images/delete"
	// topicSelf is for the event that a session sends itself.
	topicSelf = "/manifest-format/watcher"
)

const (
	selfEvery = 50 * time.Millisecond
	selfLimit = 30 * time.Second
)

// subscription is a stream of events.
type subscription struct {
	events <-chan *events.Envelope
	errs   <-chan error
}

// subscribe asks for the events of the namespaces and returns when they come.
// Containerd does not say when it has heard of a subscription, and what happens
// until then passes by: so an event of our own is sent until it comes back.
func (s *session) subscribe(ctx context.Context) (subscription, error) {
	filters := []string{fmt.Sprintf("topic==%q", topicSelf)}
	for _, namespace := range s.Config.Namespaces {
		for _, topic := range []string{topicCreate, topicUpdate, topicDelete} {
			filters = append(filters, fmt.Sprintf("topic==%q,namespace==%q", topic, namespace))
		}
	}
	var sub subscription
	sub.events, sub.errs = s.client.Subscribe(ctx, filters...)

	limit := time.NewTimer(selfLimit)
	defer limit.Stop()
	again := time.NewTicker(selfEvery)
	defer again.Stop()
	own := namespaces.WithNamespace(ctx, s.Config.Namespaces[0])
	self := rand.Text()
	for {
		if err := s.client.EventService().Publish(own, topicSelf, &apievents.ImageDelete{Name: self}); err != nil {
			return sub, fmt.Errorf("ask containerd for its events: %w", err)
		}
		select {
		case <-ctx.Done():
			return sub, context.Cause(ctx)
		case err := <-sub.errs:
			return sub, fmt.Errorf("ask containerd for its events: %w", orEnded(err))
		case envelope := <-sub.events:
			if envelope.Topic == topicSelf && nameIn(envelope) == self {
				return sub, nil
			}
			// An image's event: all images are looked at after this.
		case <-limit.C:
			return sub, fmt.Errorf("containerd does not send its events: waited %s", selfLimit)
		case <-again.C:
		}
	}
}

// receive queues what events are about, until they end.
func (s *session) receive(ctx context.Context, sub subscription) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-sub.errs:
			return orEnded(err)
		case envelope := <-sub.events:
			name := nameIn(envelope)
			if envelope.Topic == topicSelf || name == "" {
				continue
			}
			s.Metrics.Event()
			i := image{envelope.Namespace, name}
			if s.Config.For(i.namespace, i.name) != nil {
				s.queue.happened(i)
			}
			if waiting, ok := s.unblock(i); ok {
				s.queue.happened(waiting)
			}
		}
	}
}

func orEnded(err error) error {
	if err == nil {
		return errEnded
	}
	return err
}

// nameIn is the image that an event is about, empty if it is about none.
func nameIn(envelope *events.Envelope) string {
	event, err := typeurl.UnmarshalAny(envelope.Event)
	if err != nil {
		return ""
	}
	switch e := event.(type) {
	case *apievents.ImageCreate:
		return e.GetName()
	case *apievents.ImageUpdate:
		return e.GetName()
	case *apievents.ImageDelete:
		return e.GetName()
	}
	return ""
}
