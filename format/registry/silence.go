// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// receiveSilence is how long a peer may send nothing.
	receiveSilence = 2 * time.Minute
	// sendSilence is how long it may take nothing. It takes up to bulkPiece at
	// once, which is 4 KiB a second then.
	sendSilence = 5 * time.Minute
	// silenceRetries is how often a silent peer is asked again: each time is a
	// long one.
	silenceRetries = 2
)

// silentError is the end of a request whose peer stayed silent.
type silentError struct{ after time.Duration }

// Error implements error.
func (e *silentError) Error() string {
	return fmt.Sprintf("the server was silent for %s", e.after)
}

// attentive ends a request whose peer stays silent: takes nothing of what it is
// sent, does not begin to answer a GET or a HEAD, or does not go on with its
// answer. It does not end one that waits for us. To commit what it was sent, a
// registry has [http.Transport.ResponseHeaderTimeout].
type attentive struct {
	next          http.RoundTripper
	receive, send time.Duration
}

// newAttentive returns an attentive network.
func newAttentive(next http.RoundTripper, o Options) attentive {
	if o.silence > 0 {
		return attentive{next: next, receive: o.silence, send: o.silence}
	}
	return attentive{next: next, receive: receiveSilence, send: sendSilence}
}

// RoundTrip implements [http.RoundTripper].
func (a attentive) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	watched, sending := req.WithContext(ctx), newWatch(a.send, cancel)
	if req.Body != nil && req.Body != http.NoBody {
		sending.source(watched)
	} else if req.Method == http.MethodGet || req.Method == http.MethodHead {
		sending = newWatch(a.receive, cancel)
		sending.begin()
	}
	resp, err := a.next.RoundTrip(watched)
	sending.end()
	if err != nil {
		cancel()
		return resp, sending.explain(err)
	}
	resp.Request = req
	if resp.Body == http.NoBody {
		cancel()
		return resp, nil
	}
	resp.Body = &attentiveBody{ReadCloser: resp.Body, cancel: cancel, watch: newWatch(a.receive, cancel)}
	return resp, nil
}

// watch is for one direction of a request.
type watch struct {
	silence time.Duration
	silent  atomic.Bool // for too long: the request was ended

	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

// newWatch returns a watch that ends a request by cancel. It has not begun.
func newWatch(silence time.Duration, cancel func()) *watch {
	w := &watch{silence: silence}
	w.timer = time.AfterFunc(silence, func() {
		w.silent.Store(true)
		cancel()
	})
	w.timer.Stop()
	return w
}

// begin starts to wait for the peer.
func (w *watch) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.timer.Reset(w.silence)
	}
}

// pause stops waiting.
func (w *watch) pause() { w.timer.Stop() }

// end stops waiting, for good.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.timer.Stop()
}

// explain returns that the peer was silent if that has ended the request, else
// err.
func (w *watch) explain(err error) error {
	if w.silent.Load() {
		return &silentError{w.silence}
	}
	return err
}

// source has w watch what req sends.
func (w *watch) source(req *http.Request) {
	req.Body = &watchedSource{req.Body, w}
	again := req.GetBody
	if again == nil {
		return
	}
	req.GetBody = func() (io.ReadCloser, error) {
		body, err := again()
		if err != nil {
			return nil, err
		}
		return &watchedSource{body, w}, nil
	}
}

// watchedSource is what is sent: between two reads, the peer is waited for.
type watchedSource struct {
	io.ReadCloser
	watch *watch
}

// Read implements [io.Reader].
func (s *watchedSource) Read(p []byte) (int, error) {
	s.watch.pause()
	n, err := s.ReadCloser.Read(p)
	if err == nil {
		s.watch.begin()
	}
	return n, err
}

// Close implements [io.Closer]. All has been sent, or no more will be.
func (s *watchedSource) Close() error {
	s.watch.pause()
	return s.ReadCloser.Close()
}

// attentiveBody is an answer: in a read, the peer is waited for.
type attentiveBody struct {
	io.ReadCloser
	cancel func()
	watch  *watch
}

// Read implements [io.Reader].
func (b *attentiveBody) Read(p []byte) (int, error) {
	b.watch.begin()
	n, err := b.ReadCloser.Read(p)
	b.watch.pause()
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.watch.explain(err)
	}
	return n, err
}

// Close implements [io.Closer]. It ends a read under way.
func (b *attentiveBody) Close() error {
	b.watch.end()
	err := b.ReadCloser.Close()
	b.cancel()
	return err
}
