// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"oras.land/oras-go/v2/registry/remote/retry"
)

const (
	defaultRetries = 5
	defaultWait    = 2 * time.Minute
	firstBackoff   = 250 * time.Millisecond
	// longWait is a wait that a person should be told of.
	longWait = 2 * time.Second
)

// retryPolicy says whether and when a request is sent again. It makes a
// [patience] for each request.
type retryPolicy struct {
	host    string
	retries int
	budget  time.Duration
	warn    func(string)
}

// newRetryPolicy reads the policy from the options.
func newRetryPolicy(host string, o Options) retryPolicy {
	p := retryPolicy{host: host, retries: o.Retries, budget: o.MaxRetryWait, warn: o.Warn}
	if p.retries == 0 {
		p.retries = defaultRetries
	}
	if p.budget <= 0 {
		p.budget = defaultWait
	}
	return p
}

// request returns the patience for one request.
func (p retryPolicy) request() *patience { return &patience{policy: p} }

// transport returns an oras-go transport that keeps to the policy.
func (p retryPolicy) transport(network http.RoundTripper) *retry.Transport {
	return &retry.Transport{Base: network, Policy: func() retry.Policy { return p.request() }}
}

// patience is what is left to one request. It is not safe for concurrent use.
type patience struct {
	policy retryPolicy
	waited time.Duration
}

// Retry implements oras-go's retry policy: how long to wait, or less than 0
// for no more.
func (p *patience) Retry(attempt int, resp *http.Response, err error) (time.Duration, error) {
	retries := p.policy.retries
	var silent *silentError
	if errors.As(err, &silent) {
		retries = min(retries, silenceRetries)
	}
	if attempt >= retries || !temporary(resp, err) {
		return -1, nil
	}
	wait := min(firstBackoff<<min(attempt, 10), 30*time.Second)
	wait = wait/2 + rand.N(wait)
	if asked, ok := retryAfter(resp, time.Now()); ok {
		// Not one moment early, and not all clients in the same moment.
		wait = asked + rand.N(firstBackoff)
	}
	if p.waited+wait > p.policy.budget {
		return -1, nil
	}
	p.waited += wait
	if (wait >= longWait || silent != nil) && p.policy.warn != nil {
		reason := "connection broke"
		switch {
		case silent != nil:
			reason = silent.Error()
		case resp != nil:
			reason = fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
		}
		p.policy.warn(fmt.Sprintf("%s: %s, trying again in %s", p.policy.host, reason, wait.Round(time.Second)))
	}
	return wait, nil
}

// pause waits before the next attempt. It returns false if there is to be
// none, be it that ctx is done.
func (p *patience) pause(ctx context.Context, attempt int, resp *http.Response, err error) bool {
	wait, _ := p.Retry(attempt, resp, err)
	if wait < 0 {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// retryAfter reads the header of RFC 9110, section 10.2.3: seconds, or a date.
func retryAfter(resp *http.Response, now time.Time) (time.Duration, bool) {
	if resp == nil {
		return 0, false
	}
	value := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil && seconds >= 0 {
		return time.Duration(seconds) * time.Second, true
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(date.Sub(now), 0), true
	}
	return 0, false
}

// temporary tells a fault that may pass from one that will not.
func temporary(resp *http.Response, err error) bool {
	if err != nil {
		return !permanent(err)
	}
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// permanent tells a transport error that another try will not mend. HTTP/2's
// errors have no exported types, so the list is of what is final, not of what
// is worth a try.
func permanent(err error) bool {
	var (
		dns       *net.DNSError
		verify    *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		source    *sourceError
		other     *elsewhereError
	)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, http.ErrSchemeMismatch):
		return true
	case errors.As(err, &dns):
		return dns.IsNotFound
	}
	return errors.As(err, &verify) || errors.As(err, &authority) || errors.As(err, &record) ||
		errors.As(err, &alert) || errors.As(err, &source) || errors.As(err, &other)
}

// onceKey marks the context of a request that must not be replayed as it is.
type onceKey struct{}

// once returns a context whose requests are sent once, whatever happens.
func once(ctx context.Context) context.Context {
	return context.WithValue(ctx, onceKey{}, true)
}

// isOnce reports whether ctx is of [once].
func isOnce(ctx context.Context) bool { return ctx.Value(onceKey{}) != nil }
