// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/manifest-format/manifest-format/format"
	orasregistry "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Options change how a registry is spoken to. The zero value works: Docker's
// credentials, the system's certificate authorities.
type Options struct {
	// Credentials returns what to log in to host with; the zero Credential is
	// anonymous. If nil, [DockerCredentials] is used.
	Credentials func(ctx context.Context, host string) (Credential, error)
	// CAFile is a PEM file of certificate authorities to trust beside the
	// system's.
	CAFile string
	// CertsDir has a directory HOST[:PORT] per registry: *.crt are authorities
	// to trust, *.cert with *.key of the same name client certificates. If
	// empty, it is where Docker has it, /etc/docker/certs.d.
	CertsDir string
	// PlainHTTP allows HTTP without TLS, and only that, for any host.
	PlainHTTP bool
	// MountFrom names repositories, as [Repository.Name] does or without the
	// host, that have the blobs already. Those of other registries are passed
	// over. The repository itself may be among them: its blobs are then taken
	// to be there, without a look.
	MountFrom []string
	// Retries is how often a request is sent again that the registry was too
	// busy for, or that broke. If 0, 5; if less than 0, never.
	Retries int
	// MaxRetryWait is how long one request waits in all, between tries. A
	// registry that asks for a longer wait has the request fail at once. If 0
	// or less, 2 minutes.
	MaxRetryWait time.Duration
	// UserAgent is "manifest-format" when empty.
	UserAgent string
	// Transport replaces the network, below authentication and retries. No
	// certificate setting applies to it.
	Transport http.RoundTripper
	// Warn, if not nil, is told once of each warning that the registry sends,
	// of each long wait and of each silence. It is called from several goroutines.
	Warn func(text string)

	// silence, if not 0, replaces receiveSilence and sendSilence.
	silence time.Duration
}

// Credential is what to log in with: a user and a password, a refresh token
// (Docker's identity token), or an access token. The zero value is anonymous.
type Credential = auth.Credential

// Repository is one repository of a registry. It is safe for concurrent use
// and needs no closing.
type Repository struct {
	name   reference.Named
	host   string   // what is dialled
	origin *url.URL // of the registry, as requests are made for it
	base   string   // URL of the repository, without a final slash
	mounts mounts

	client  *auth.Client
	oras    *remote.Repository
	retries retryPolicy
	docs    documentCache
}

var (
	_ format.Store      = (*Repository)(nil)
	_ format.BlobCopier = (*Repository)(nil)

	_ content.ReferrersProvider = (*Repository)(nil)
)

// ParseReference takes NAME[:TAG][@DIGEST] apart as docker does: a name
// without a host is Docker Hub's, one without a slash is in library/. The
// reference is the digest if there is one, else the tag, else empty.
func ParseReference(s string) (name, ref string, err error) {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return "", "", fmt.Errorf("%q is no image name: %w%.0w", s, err, errdefs.ErrInvalidArgument)
	}
	switch r := named.(type) {
	case reference.Digested:
		ref = r.Digest().String()
	case reference.Tagged:
		ref = r.Tag()
	}
	return named.Name(), ref, nil
}

// Open returns the repository of that name, HOST/REPOSITORY, read as docker
// reads it. It does no network I/O; it fails if the name is none, or has a
// tag or a digest, or if a certificate cannot be read.
func Open(name string, o Options) (*Repository, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, fmt.Errorf("%q is no repository name: %w%.0w", name, err, errdefs.ErrInvalidArgument)
	}
	if !reference.IsNameOnly(named) {
		return nil, fmt.Errorf("%q is an image, not a repository%.0w", name, errdefs.ErrInvalidArgument)
	}
	if o.Credentials == nil {
		o.Credentials = DockerCredentials()
	}
	ref := orasregistry.Reference{Registry: reference.Domain(named), Repository: reference.Path(named)}
	if err := ref.ValidateRegistry(); err != nil {
		return nil, fmt.Errorf("%q is no registry host%.0w", ref.Registry, errdefs.ErrInvalidArgument)
	}
	transport, plain, err := newTransport(ref.Host(), o)
	if err != nil {
		return nil, err
	}
	client := newAuthClient(transport, o)
	origin := &url.URL{Scheme: "https", Host: ref.Host()}
	if plain {
		origin.Scheme = "http"
	}
	return &Repository{
		name:    named,
		host:    ref.Host(),
		origin:  origin,
		base:    origin.String() + "/v2/" + ref.Repository,
		mounts:  newMounts(named, o.MountFrom),
		client:  client,
		retries: newRetryPolicy(ref.Host(), o),
		oras: &remote.Repository{
			Client:               client,
			Reference:            ref,
			PlainHTTP:            plain,
			TagListMaxPages:      maxPages,
			ReferrerListMaxPages: maxReferrerPages,
			MaxMetadataBytes:     maxDocument,
			SkipReferrersGC:      true,
		},
	}, nil
}

// Name returns HOST/REPOSITORY, as a person would copy it.
func (r *Repository) Name() string { return r.name.Name() }

// Host returns the registry's host, with its port if it has one: "docker.io"
// for Docker Hub.
func (r *Repository) Host() string { return reference.Domain(r.name) }

// mounts are the repositories of the registry to mount blobs from.
type mounts struct {
	self bool     // the repository has them itself
	from []string // paths
}

// newMounts sorts names into those that can be mounted from and the rest.
func newMounts(self reference.Named, names []string) mounts {
	var m mounts
	host, path := reference.Domain(self), reference.Path(self)
	for _, name := range names {
		if rest, ok := strings.CutPrefix(name, host+"/"); ok {
			name = rest
		} else if first, _, ok := strings.Cut(name, "/"); ok && isHost(first) {
			continue
		}
		if name == path {
			m.self = true
		} else {
			m.from = append(m.from, name)
		}
	}
	return m
}

// isHost tells the host in front of a name from its first path component, by
// docker's rule.
func isHost(s string) bool {
	return s == "localhost" || strings.ContainsAny(s, ".:")
}
