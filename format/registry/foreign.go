// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"

	"github.com/containerd/errdefs"
	"github.com/manifest-format/manifest-format/format"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxRedirects is net/http's own limit, which a check of redirects replaces.
const maxRedirects = 10

// FetchForeign opens the content of a foreign layer at the first of desc.URLs
// that has it. No credentials are sent, to no host (CVE-2020-15157), whatever
// the options say; of them, Retries, MaxRetryWait, UserAgent, CAFile,
// Transport and Warn count. The reader fails with [format.ErrCorrupt] at the
// end of what is not of desc's size and digest; the caller closes it.
func FetchForeign(ctx context.Context, desc ocispec.Descriptor, o Options) (io.ReadCloser, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("foreign layer: %q is no digest: %w%.0w", desc.Digest, err, errdefs.ErrInvalidArgument)
	}
	if len(desc.URLs) == 0 {
		return nil, fmt.Errorf("foreign layer %s has no URLs%.0w", desc.Digest, errdefs.ErrNotFound)
	}
	var failures []error
	for _, address := range desc.URLs {
		body, err := fetchURL(ctx, address, desc, o)
		if err == nil {
			return body, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		failures = append(failures, err)
	}
	return nil, fmt.Errorf("foreign layer %s: %w", desc.Digest, failures[0])
}

// fetchURL requests one of a foreign layer's URLs.
func fetchURL(ctx context.Context, address string, desc ocispec.Descriptor, o Options) (io.ReadCloser, error) {
	target, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%s is no URL%.0w", redact(address), errdefs.ErrInvalidArgument)
	}
	if err := checkForeign(target); err != nil {
		return nil, err
	}
	network := o.Transport
	if network == nil {
		// No certificates of a registry: a client's certificate is a credential.
		network = &hostNetwork{caFile: o.CAFile}
	}
	client := &http.Client{
		Transport: newRetryPolicy(target.Host, o).transport(newAttentive(network, o)),
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) >= maxRedirects {
				return fmt.Errorf("stopped after %d redirects", maxRedirects)
			}
			if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
				return errors.New("redirected from https to http")
			}
			req.Header.Del("Referer")
			return checkForeign(req.URL)
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", userAgent(o))
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %s%.0w", redact(address), redact(withoutURL(err).Error()), errdefs.ErrUnavailable)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%s answered %s%.0w", redact(address), resp.Status, errdefs.ErrNotFound)
	}
	if resp.ContentLength >= 0 && resp.ContentLength != desc.Size {
		resp.Body.Close()
		return nil, fmt.Errorf("%s is %d bytes, not %d: %w", redact(address), resp.ContentLength, desc.Size, format.ErrCorrupt)
	}
	return &verifiedReader{
		ReadCloser: resp.Body, from: redact(address), want: desc.Digest, left: desc.Size,
		hash: desc.Digest.Algorithm().Hash(),
	}, nil
}

// checkForeign refuses a URL that is not of the web or that has a user in it.
func checkForeign(u *url.URL) error {
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return fmt.Errorf("%s is not a web address%.0w", redact(u.String()), errdefs.ErrInvalidArgument)
	case u.User != nil:
		return fmt.Errorf("%s has credentials in it, which are not used%.0w", redact(u.String()), errdefs.ErrInvalidArgument)
	}
	return nil
}

// verifiedReader reads what must be of a size and a digest.
type verifiedReader struct {
	io.ReadCloser
	from string
	want digest.Digest
	left int64
	hash hash.Hash
}

// Read implements [io.Reader].
func (r *verifiedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if int64(n) > r.left {
		return 0, fmt.Errorf("%s is longer than it should be: %w", r.from, format.ErrCorrupt)
	}
	r.left -= int64(n)
	r.hash.Write(p[:n])
	if err != io.EOF {
		return n, err
	}
	if r.left > 0 {
		return n, fmt.Errorf("%s is %d bytes too short: %w", r.from, r.left, format.ErrCorrupt)
	}
	if got := digest.NewDigest(r.want.Algorithm(), r.hash); got != r.want {
		return n, fmt.Errorf("%s has digest %s, not %s: %w", r.from, got, r.want, format.ErrCorrupt)
	}
	return n, io.EOF
}
