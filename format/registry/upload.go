// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// cancelTimeout bounds the wait for a registry that is told to forget an
// upload; one that does not hear of it forgets it some day.
const cancelTimeout = 3 * time.Second

// upload is an upload session of a registry, for one blob.
type upload struct {
	repo *Repository
	ref  string
	// location is where the next request of the session goes.
	location *url.URL
	// token is the Authorization that the session was opened with, for a
	// stream that can not be sent twice.
	token string
}

// startUpload opens a session. ctx has the scopes.
func (r *Repository) startUpload(ctx context.Context, ref string) (*upload, error) {
	resp, err := r.request(ctx, http.MethodPost, r.base+"/blobs/uploads/", nil)
	if err != nil {
		return nil, r.fail(ref, "repository", err)
	}
	if resp.StatusCode != http.StatusAccepted {
		return nil, r.refuse(ref, "repository", resp)
	}
	return r.newUpload(ref, resp)
}

// mount asks for a blob to be linked from the repository of that path. A
// registry that does not do so opens an upload session, which is returned, or
// refuses: then there is neither a session nor an error.
func (r *Repository) mount(ctx context.Context, desc ocispec.Descriptor, path string) (mounted bool, _ *upload, _ error) {
	ref := r.named(desc.Digest.String())
	query := url.Values{"mount": {desc.Digest.String()}, "from": {path}}
	resp, err := r.request(r.forMount(ctx, path), http.MethodPost, r.base+"/blobs/uploads/?"+query.Encode(), nil)
	if err != nil {
		err = r.fail(ref, "blob", err)
		if errdefs.IsUnauthorized(err) || errdefs.IsPermissionDenied(err) {
			// No token for both repositories: perhaps there is one without
			// the other.
			return false, nil, nil
		}
		return false, nil, err
	}
	switch {
	case resp.StatusCode == http.StatusCreated:
		return true, nil, resp.Body.Close()
	case resp.StatusCode == http.StatusAccepted:
		u, err := r.newUpload(ref, resp)
		return false, u, err
	case resp.StatusCode < http.StatusInternalServerError && resp.StatusCode != http.StatusTooManyRequests:
		return false, nil, resp.Body.Close()
	}
	return false, nil, r.refuse(ref, "blob", resp)
}

// newUpload returns the session that a response of 202 opens.
func (r *Repository) newUpload(ref string, resp *http.Response) (*upload, error) {
	u := &upload{repo: r, ref: ref, token: resp.Request.Header.Get("Authorization")}
	return u, u.advance(resp)
}

// advance closes a response and goes to the location that it names.
func (u *upload) advance(resp *http.Response) error {
	resp.Body.Close()
	location, err := resp.Location()
	if err != nil {
		return &Error{Ref: u.ref, Text: "the registry named no place for the upload", class: errdefs.ErrFailedPrecondition, cause: err}
	}
	from := u.repo.origin
	if !sameHost(from, location) {
		return u.repo.fail(u.ref, "upload", &elsewhereError{location.Host})
	}
	// Some registries leave out the port that they were called at
	// (https://github.com/oras-project/oras-go/issues/177), and one behind a
	// proxy that ends TLS may think that it was called without.
	location.Scheme, location.Host, location.User = from.Scheme, from.Host, nil
	u.location = location
	return nil
}

// elsewhereError is a registry's wish to have content sent to another host.
type elsewhereError struct{ host string }

// Error implements error.
func (e *elsewhereError) Error() string {
	return "the registry wants the content sent to another host, " + e.host + ", which could be anyone's"
}

// checkRedirect refuses a redirect that would have content sent to another
// host, or without TLS: a blob, a manifest or a token request.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	from, to := via[0].URL, req.URL
	samePort := effectivePort(from) == effectivePort(to) || from.Port() == "" && to.Port() == ""
	if !sameHost(from, to) || !samePort || from.Scheme == "https" && to.Scheme != "https" {
		return &elsewhereError{to.Scheme + "://" + to.Host}
	}
	return nil
}

// sameHost reports whether to is of the host and port of from, or of no port.
func sameHost(from, to *url.URL) bool {
	return strings.EqualFold(from.Hostname(), to.Hostname()) && (to.Port() == "" || effectivePort(from) == effectivePort(to))
}

// effectivePort returns the port of u, stated or not.
func effectivePort(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}

// put sends the whole blob, or nothing if body is nil, and ends the session.
// The request is sent again for a fresh token, not for a fault: the session may
// have taken part of the blob.
func (u *upload) put(ctx context.Context, d digest.Digest, body *blobBody) (*http.Response, error) {
	target := *u.location
	query := target.Query()
	query.Set("digest", d.String())
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(once(ctx), http.MethodPut, target.String(), nil)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/octet-stream")
		if req.ContentLength = body.size; body.size > 0 {
			req.GetBody = body.open
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
	resp, err := u.repo.client.Do(req)
	if err != nil && body != nil && body.err() != nil {
		return nil, &sourceError{body.err()}
	}
	return resp, err
}

// patch streams r, of unknown length, into the session.
func (u *upload) patch(ctx context.Context, r io.Reader) error {
	req, err := http.NewRequestWithContext(once(ctx), http.MethodPatch, u.location.String(), r)
	if err != nil {
		return err
	}
	req.ContentLength = -1
	req.Header.Set("Content-Type", "application/octet-stream")
	if u.token != "" {
		req.Header.Set("Authorization", u.token)
	}
	resp, err := u.repo.client.Do(req)
	if err != nil {
		return u.repo.fail(u.ref, "upload", err)
	}
	if resp.StatusCode != http.StatusAccepted {
		return u.repo.refuse(u.ref, "upload", resp)
	}
	return u.advance(resp)
}

// close names the blob that has been streamed and ends the session.
func (u *upload) close(ctx context.Context, desc ocispec.Descriptor) error {
	more := u.repo.retries.request()
	for attempt := 0; ; attempt++ {
		resp, err := u.put(ctx, desc.Digest, nil)
		if err == nil && resp.StatusCode == http.StatusCreated {
			return resp.Body.Close()
		}
		if !temporary(resp, err) || !more.pause(ctx, attempt, resp, err) {
			return u.repo.ended(ctx, u.ref, resp, err)
		}
		if resp != nil {
			resp.Body.Close()
		}
		// It may have been the answer alone that was lost.
		if there, err := u.repo.hasBlob(ctx, desc); err != nil || there {
			return err
		}
	}
}

// cancel tells the registry to forget the upload, also if ctx is done. It is
// done in good faith: there is nothing to do if it fails.
func (u *upload) cancel(ctx context.Context) {
	ctx, stop := context.WithTimeout(once(context.WithoutCancel(ctx)), cancelTimeout)
	defer stop()
	ctx = u.repo.forPush(ctx)
	for wait := 10 * time.Millisecond; ; wait *= 2 {
		resp, err := u.repo.request(ctx, http.MethodDelete, u.location.String(), nil)
		if err != nil {
			return
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestedRangeNotSatisfiable {
			return
		}
		// distribution refuses a location from before what it has since been
		// sent, and what broke off may still be arriving. It tells the present
		// location.
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if resp, err = u.repo.request(ctx, http.MethodGet, u.location.String(), nil); err != nil {
			return
		}
		if u.advance(resp) != nil {
			return
		}
	}
}

// hasBlob reports whether the repository has the blob.
func (r *Repository) hasBlob(ctx context.Context, desc ocispec.Descriptor) (bool, error) {
	ref := r.named(desc.Digest.String())
	resp, err := r.request(ctx, http.MethodHead, r.base+"/blobs/"+desc.Digest.String(), nil)
	if err != nil {
		return false, r.fail(ref, "blob", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		if resp.ContentLength >= 0 && desc.Size > 0 && resp.ContentLength != desc.Size {
			return false, r.corrupt(ref, "the registry has it with %d bytes, not %d", resp.ContentLength, desc.Size)
		}
		return true, nil
	case http.StatusNotFound:
		return false, nil
	}
	return false, r.refuse(ref, "blob", resp)
}

// sourceError is a failure to read what is being uploaded.
type sourceError struct{ err error }

// Error implements error.
func (e *sourceError) Error() string { return e.err.Error() }

// Unwrap returns the reason.
func (e *sourceError) Unwrap() error { return e.err }
