// SPDX-License-Identifier: Apache-2.0

package exporter

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
	distribution "github.com/distribution/reference"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/util/resolver"
	resolverconfig "github.com/moby/buildkit/util/resolver/config"

	"github.com/manifest-format/manifest-format/format/registry"
)

// openRepository opens the repository of a name as BuildKit would: with the
// daemon's settings for the registry, and the session's credentials.
func (i *instance) openRepository(e *emitted, named distribution.Named, sessionID string) (*registry.Repository, error) {
	hosts, scope := i.store.hosts, resolver.ScopeType{Push: true}
	if e.insecure {
		yes := true
		hosts = resolver.NewRegistryConfig(map[string]resolverconfig.RegistryConfig{
			distribution.Domain(named): {Insecure: &yes, PlainHTTP: &yes},
		})
		scope.Insecure = true
	}
	resolved, err := resolver.DefaultPool.GetResolver(hosts, named.Name(), scope, i.sessions, session.NewGroup(sessionID)).HostsFunc(distribution.Domain(named))
	if err != nil {
		return nil, err
	}
	for _, host := range resolved {
		if !host.Capabilities.Has(docker.HostCapabilityPush) {
			continue // a mirror
		}
		spec, err := reference.Parse(named.Name())
		if err != nil {
			return nil, err
		}
		return registry.Open(named.Name(), registry.Options{
			Credentials: func(context.Context, string) (registry.Credential, error) { return registry.Credential{}, nil },
			PlainHTTP:   host.Scheme == "http",
			Transport:   sessionTransport{host: host, spec: spec},
			UserAgent:   "buildkit manifest-format",
		})
	}
	return nil, fmt.Errorf("%s: no host of this registry takes a push", distribution.Domain(named))
}

// maxAuthTries is how often a request is made anew after a registry asked who
// makes it: once without a token, once with one, once with a fresh one.
const maxAuthTries = 3

// sessionTransport sends requests to a registry as BuildKit sends its own.
type sessionTransport struct {
	host docker.RegistryHost
	spec reference.Spec
}

// RoundTrip implements [http.RoundTripper].
func (t sessionTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, err := docker.ContextWithRepositoryScope(req.Context(), t.spec, true)
	if err != nil {
		return nil, err
	}
	var responses []*http.Response
	for {
		try := req.Clone(ctx)
		if len(responses) > 0 && req.Body != nil && req.Body != http.NoBody {
			if req.GetBody == nil {
				return responses[len(responses)-1], nil
			}
			if try.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
		if isRegistry(try.URL, t.host) {
			if err := t.authorize(ctx, try); err != nil {
				return nil, err
			}
		}
		resp, err := t.send(try)
		if err != nil || resp.StatusCode != http.StatusUnauthorized || t.host.Authorizer == nil || len(responses) == maxAuthTries {
			return resp, err
		}
		responses = append(responses, resp)
		if err := t.host.Authorizer.AddResponses(ctx, responses); err != nil {
			// No more to be had: the registry's own answer says it best.
			return resp, nil //nolint:nilerr // the answer is the error
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
		resp.Body.Close()
	}
}

// maxAnswer is read of a refusal, so that its connection can be used again.
const maxAnswer = 64 << 10

// authorize adds what BuildKit would to a request for its registry.
func (t sessionTransport) authorize(ctx context.Context, req *http.Request) error {
	for key, values := range t.host.Header {
		req.Header[key] = append(req.Header[key], values...)
	}
	if t.host.Authorizer == nil {
		return nil
	}
	return t.host.Authorizer.Authorize(ctx, req)
}

// isRegistry reports whether u is the registry's own, which its credentials go to.
func isRegistry(u *url.URL, host docker.RegistryHost) bool { return u.Host == host.Host }

// send makes one request, with the registry's own TLS settings.
func (t sessionTransport) send(req *http.Request) (*http.Response, error) {
	if t.host.Client == nil || t.host.Client.Transport == nil {
		return http.DefaultTransport.RoundTrip(req)
	}
	return t.host.Client.Transport.RoundTrip(req)
}
