// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"net/http"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	orasregistry "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// forPull and forPush return a context whose token, if the registry wants one,
// is for that on the repository.

func (r *Repository) forPull(ctx context.Context) context.Context {
	return auth.AppendRepositoryScope(ctx, r.oras.Reference, auth.ActionPull)
}

func (r *Repository) forPush(ctx context.Context) context.Context {
	return auth.AppendRepositoryScope(ctx, r.oras.Reference, auth.ActionPull, auth.ActionPush)
}

// forMount adds the repository of the same registry that a blob comes from.
func (r *Repository) forMount(ctx context.Context, path string) context.Context {
	from := orasregistry.Reference{Registry: r.oras.Reference.Registry, Repository: path}
	return auth.AppendRepositoryScope(r.forPush(ctx), from, auth.ActionPull)
}

// request sends a request without a body. The caller closes the response's.
func (r *Repository) request(ctx context.Context, method, url string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	for key, values := range header {
		req.Header[key] = values
	}
	return r.client.Do(req)
}

// named returns the repository's name with a tag or a digest, for a person.
func (r *Repository) named(ref string) string {
	if _, err := digest.Parse(ref); err == nil {
		return r.Name() + "@" + ref
	}
	return r.Name() + ":" + ref
}

// isTag reports whether ref could be a tag of the repository.
func (r *Repository) isTag(ref string) bool {
	_, err := reference.WithTag(r.name, ref)
	return err == nil
}
