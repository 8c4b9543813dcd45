// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/containerd/errdefs"
	"github.com/manifest-format/manifest-format/format"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

const (
	maxErrorBody = 8 << 10
	maxErrorText = 300
)

// Error is a registry's refusal, or why it could not be asked. It is of one of
// containerd's errdefs classes, or [format.ErrCorrupt], by errors.Is.
type Error struct {
	// Ref is what was asked for: HOST/REPOSITORY, with :TAG or @DIGEST.
	Ref string
	// StatusCode is the response's, 0 if there was none.
	StatusCode int
	// Text is the reason, and what to do: one line.
	Text string

	class, cause error
}

// Error says what was asked for, then the reason. It is one line, without
// credentials.
func (e *Error) Error() string { return e.Ref + ": " + e.Text }

// Unwrap returns the class and the cause.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.class}
	}
	return []error{e.class, e.cause}
}

// refuse makes an error of a response that is not what was hoped for, and
// closes it. what names the thing asked for: "tag", "blob", ….
func (r *Repository) refuse(ref, what string, resp *http.Response) error {
	defer resp.Body.Close()
	answer := &errcode.ErrorResponse{Method: resp.Request.Method, URL: resp.Request.URL, StatusCode: resp.StatusCode}
	var body struct {
		Errors errcode.Errors `json:"errors"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, maxErrorBody)).Decode(&body) == nil {
		answer.Errors = body.Errors
	}
	e := r.answered(ref, what, answer)
	if wait, ok := retryAfter(resp, time.Now()); ok && wait >= time.Second && temporary(resp, nil) {
		e.Text += fmt.Sprintf("; it asks to wait %s", wait.Round(time.Second))
	}
	return e
}

// fail makes an error of one that a request ended with.
func (r *Repository) fail(ref, what string, err error) error {
	var (
		answer *errcode.ErrorResponse
		known  *Error
		source *sourceError
		login  *credentialError
		other  *elsewhereError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case errors.As(err, &source):
		return source.err
	case errors.As(err, &other):
		return &Error{Ref: ref, Text: other.Error(), class: errdefs.ErrFailedPrecondition, cause: other}
	case errors.As(err, &answer):
		return r.answered(ref, what, answer)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", ref, context.Canceled)
	case innermost(err) == context.DeadlineExceeded: //nolint:errorlint // the context's own: timeouts of net say that they are it, too
		return fmt.Errorf("%s: %w", ref, context.DeadlineExceeded)
	case errors.As(err, &login):
		return &Error{Ref: ref, Text: redact(login.Error()), class: errdefs.ErrUnauthenticated, cause: login}
	case errors.Is(err, errNoPassword):
		return &Error{Ref: ref, StatusCode: http.StatusUnauthorized, Text: r.loginHint(errNoPassword.Error()), class: errdefs.ErrUnauthenticated, cause: errNoPassword}
	case errors.Is(err, format.ErrCorrupt):
		return fmt.Errorf("%s: %w", ref, err)
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return &Error{Ref: ref, StatusCode: http.StatusUnauthorized, Text: r.loginHint("not logged in"), class: errdefs.ErrUnauthenticated, cause: err}
	case errors.Is(err, errdef.ErrTooManyPages):
		return &Error{Ref: ref, Text: "too many pages, without end", class: errdefs.ErrResourceExhausted, cause: err}
	case errors.Is(err, errdef.ErrNotFound):
		return &Error{Ref: ref, Text: "no such " + what, class: errdefs.ErrNotFound, cause: err}
	}
	text, class := r.unreachable(err)
	return &Error{Ref: ref, Text: text, class: class, cause: err}
}

// answered makes an error of what a registry, or its token server, said.
func (r *Repository) answered(ref, what string, a *errcode.ErrorResponse) *Error {
	e := &Error{Ref: ref, StatusCode: a.StatusCode, cause: a.Unwrap()}
	status := fmt.Sprintf("%d %s", a.StatusCode, http.StatusText(a.StatusCode))
	code := ""
	if len(a.Errors) > 0 {
		code = a.Errors[0].Code
	}
	said := saying(a.Errors)
	switch {
	case code == errcode.ErrorCodeDigestInvalid:
		e.Text, e.class = "the registry computed another digest than the content's name", format.ErrCorrupt
	case code == errcode.ErrorCodeSizeInvalid:
		e.Text, e.class = "the registry counted another size than the descriptor's", format.ErrCorrupt
	case a.StatusCode == http.StatusUnauthorized:
		e.Text, e.class = r.loginHint("access refused (401)"), errdefs.ErrUnauthenticated
	case a.StatusCode == http.StatusForbidden:
		e.Text, e.class = "access denied (403)"+said, errdefs.ErrPermissionDenied
	case code == errcode.ErrorCodeNameUnknown:
		e.Text, e.class = "no such repository", errdefs.ErrNotFound
	case a.StatusCode == http.StatusNotFound:
		e.Text, e.class = "no such "+what, errdefs.ErrNotFound
	case code == errcode.ErrorCodeManifestBlobUnknown:
		e.Text, e.class = "the registry lacks content that the manifest names"+said, errdefs.ErrFailedPrecondition
	case a.StatusCode == http.StatusTooManyRequests:
		e.Text, e.class = "too many requests (429), also after waiting"+said, errdefs.ErrResourceExhausted
	case a.StatusCode == http.StatusRequestEntityTooLarge:
		e.Text, e.class = "larger than the registry accepts (413)"+said, errdefs.ErrResourceExhausted
	case a.StatusCode == http.StatusMethodNotAllowed, a.StatusCode == http.StatusNotImplemented, code == errcode.ErrorCodeUnsupported:
		e.Text, e.class = "the registry does not support this ("+status+")"+said, errdefs.ErrNotImplemented
	case a.StatusCode >= http.StatusInternalServerError, a.StatusCode == http.StatusRequestTimeout:
		e.Text, e.class = "the registry answered "+status+said, errdefs.ErrUnavailable
	default:
		e.Text, e.class = "the registry answered "+status+said, errdefs.ErrInvalidArgument
	}
	return e
}

// unreachable says why a request got no answer.
func (r *Repository) unreachable(err error) (text string, class error) {
	var (
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("no such host: %s", dns.Name), errdefs.ErrUnavailable
	case errors.As(err, &authority):
		return "certificate of an unknown authority: name its CA with --tls-ca FILE", errdefs.ErrFailedPrecondition
	case errors.As(err, &verify):
		return "certificate not accepted: " + redact(verify.Err.Error()), errdefs.ErrFailedPrecondition
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/":
		return "the registry speaks plain HTTP, not HTTPS: allow that with --plain-http", errdefs.ErrFailedPrecondition
	case errors.As(err, &record):
		return "the registry does not speak TLS", errdefs.ErrFailedPrecondition
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: no registry listens at " + r.host, errdefs.ErrUnavailable
	case errors.Is(err, context.DeadlineExceeded): // as net and net/http class timeouts of their own
		return "no answer from " + r.host + " in time", errdefs.ErrUnavailable
	}
	return redact(withoutURL(err).Error()), errdefs.ErrUnavailable
}

// loginHint adds to text how to log in to the registry.
func (r *Repository) loginHint(text string) string {
	command := "docker login"
	if r.Host() != "docker.io" {
		command += " " + r.Host()
	}
	return text + ": log in with `" + command + "`"
}

// saying returns what the registry said, to be appended to a reason.
func saying(errs errcode.Errors) string {
	var said []string
	for _, e := range errs {
		text := e.Message
		if text == "" {
			text = strings.ToLower(strings.ReplaceAll(e.Code, "_", " "))
		}
		if text != "" {
			said = append(said, redact(text))
		}
	}
	if len(said) == 0 {
		return ""
	}
	return ": " + strings.Join(said, "; ")
}

// withoutURL takes off net/http's wrapping, which names the URL.
func withoutURL(err error) error {
	var wrapped *url.Error
	for errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err
}

// innermost returns the last of a chain of errors.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

var urlPattern = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>]+`)

// redact takes the user and the query out of every URL in text, and makes it
// one line of bounded length.
func redact(text string) string {
	return oneLine(urlPattern.ReplaceAllStringFunc(text, func(s string) string {
		s, _, _ = strings.Cut(s, "?")
		scheme, rest, _ := strings.Cut(s, "://")
		host, path, slash := strings.Cut(rest, "/")
		host = host[strings.LastIndexByte(host, '@')+1:]
		if slash {
			host += "/"
		}
		return scheme + "://" + host + path
	}))
}

// oneLine replaces what is not printable and cuts what is too long.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, text)), " ")
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "…"
	}
	return text
}
