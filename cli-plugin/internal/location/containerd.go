// SPDX-License-Identifier: Apache-2.0

package location

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/containerd/v2/pkg/identifiers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format/containerd"
)

// Environment variables that ctr and nerdctl read too.
const (
	envContainerdAddress   = "CONTAINERD_ADDRESS"
	envContainerdNamespace = "CONTAINERD_NAMESPACE"
)

// kubernetesNamespace is the one namespace in use that looks like a host.
const kubernetesNamespace = "k8s.io"

// Containerd is an image in a containerd.
type Containerd struct {
	// Namespace is empty for the one in CONTAINERD_NAMESPACE, or else "default".
	Namespace string
	// Name is the image's, verbatim.
	Name string
}

func (Containerd) sealed() {}

// String implements [Location].
func (c Containerd) String() string {
	if c.Namespace == "" {
		return SchemeContainerd + c.Name
	}
	return SchemeContainerd + c.Namespace + "/" + c.Name
}

// Pinned implements [Location].
func (c Containerd) Pinned(d digest.Digest) string {
	if isDigest(c.Name) {
		return Containerd{c.Namespace, d.String()}.String()
	}
	name, _, _ := strings.Cut(c.Name, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	c.Name = name + "@" + d.String()
	return c.String()
}

// namespace is the one that counts.
func (c Containerd) namespace() string {
	return cmp.Or(c.Namespace, os.Getenv(envContainerdNamespace), namespaces.Default)
}

// parseContainerd reads [NAMESPACE/]NAME. The first part is a namespace where
// what follows it names a registry's host, and it is no host itself: k8s.io is
// none, though it looks like one. Names are read as docker reads them, which
// is how ctr, nerdctl and Kubernetes write them; what can be none, such as the
// sha256:… that Kubernetes also has, is taken verbatim.
func parseContainerd(s string) (Location, error) {
	name := strings.TrimPrefix(s, SchemeContainerd)
	var namespace string
	if first, rest, ok := strings.Cut(name, "/"); ok && (first == kubernetesNamespace || !isHost(first)) {
		host, _, more := strings.Cut(rest, "/")
		if first == kubernetesNamespace || more && isHost(host) || isDigest(rest) {
			namespace, name = first, rest
		}
	}
	if namespace != "" {
		if err := identifiers.Validate(namespace); err != nil {
			return nil, fmt.Errorf("%s: the namespace %q: %w", s, namespace, err)
		}
	}
	if name == "" {
		return nil, fmt.Errorf("%s: no image after the scheme", s)
	}
	if isDigest(name) {
		return Containerd{namespace, name}, nil
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s, err)
	}
	return Containerd{namespace, reference.TagNameOnly(named).String()}, nil
}

// isHost reports whether a part of a name is a registry's host, as docker
// tells it.
func isHost(s string) bool {
	return strings.ContainsAny(s, ".:") || s == "localhost"
}

// open connects to containerd. The caller closes the client.
func (c Containerd) open(ctx context.Context, o Options) (context.Context, *client.Client, error) {
	address := cmp.Or(o.ContainerdAddress, os.Getenv(envContainerdAddress), defaults.DefaultAddress)
	// The client would try for ten seconds, and not say why it failed.
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(address, "unix://"))
	if err == nil {
		err = conn.Close()
	}
	var daemon *client.Client
	if err == nil {
		daemon, err = client.New(address, client.WithTimeout(connectLimit))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: cannot reach containerd: %w; name its socket with --containerd or %s, and be root or whoever it lets in", c, err, envContainerdAddress)
	}
	return namespaces.WithNamespace(ctx, c.namespace()), daemon, nil
}

// connectLimit is how long containerd gets to answer the first time.
const connectLimit = 10 * time.Second

func imagesOf(daemon *client.Client) *containerd.Store {
	return containerd.New(containerd.Services{
		Content: daemon.ContentStore(), Images: daemon.ImageService(), Leases: daemon.LeasesService(),
	})
}

// containerdSource is an image in a containerd.
type containerdSource struct {
	*containerd.Store
	io.Closer
	at Containerd
}

func (c Containerd) source(ctx context.Context, o Options) (Source, error) {
	_, daemon, err := c.open(ctx, o)
	if err != nil {
		return nil, err
	}
	return containerdSource{imagesOf(daemon), daemon, c}, nil
}

func (s containerdSource) in(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, s.at.namespace())
}

// ReaderAt implements [content.Provider].
func (s containerdSource) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	return s.Store.ReaderAt(s.in(ctx), desc)
}

// Resolve implements [Source].
func (s containerdSource) Resolve(ctx context.Context) (ocispec.Descriptor, error) {
	image, err := s.find(ctx)
	return image.Target, err
}

// find looks the image up. A name with a digest that containerd does not have
// as a name is any image of that digest.
func (s containerdSource) find(ctx context.Context) (images.Image, error) {
	image, err := s.Image(s.in(ctx), s.at.Name)
	if err == nil {
		return image, nil
	}
	if _, after, ok := strings.Cut(s.at.Name, "@"); ok && errdefs.IsNotFound(err) {
		found, other := s.ByDigest(s.in(ctx), digest.Digest(after))
		if other == nil {
			return found, nil
		}
		err = other
	}
	if errdefs.IsNotFound(err) {
		err = fmt.Errorf("%w, in the namespace %s; another namespace stands before the whole name, as in %sk8s.io/docker.io/library/app:1",
			err, s.at.namespace(), SchemeContainerd)
	}
	return images.Image{}, fmt.Errorf("%s: %w", s.at, err)
}

// Names implements [Source]: what ends in a tag.
func (s containerdSource) Names(ctx context.Context, image ocispec.Descriptor) ([]string, error) {
	if isTagged(s.at.Name) {
		return []string{s.at.Name}, nil
	}
	all, err := s.Store.Names(s.in(ctx), image)
	return slices.DeleteFunc(all, func(name string) bool { return !isTagged(name) }), err
}

// isTagged reports whether a name of containerd's has a tag and no digest.
func isTagged(name string) bool {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return false
	}
	_, tagged := named.(reference.Tagged)
	_, digested := named.(reference.Digested)
	return tagged && !digested
}

// Referrers implements [Source]: containerd keeps none that it could find.
func (containerdSource) Referrers(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return nil, nil
}

// Origins implements [Mountable].
func (s containerdSource) Origins(ctx context.Context, root ocispec.Descriptor, host string) ([]string, error) {
	origins, err := s.Store.Origins(s.in(ctx), root, host)
	for i, repository := range origins {
		origins[i] = path.Join(host, repository)
	}
	return origins, err
}

// containerdDestination is a containerd that is connected to, and leased from,
// when it is first written to.
type containerdDestination struct {
	at      Containerd
	from    Origin
	options Options

	mu     sync.Mutex
	daemon *client.Client
	draft  *containerd.Draft
}

func (d *containerdDestination) open(ctx context.Context) (context.Context, *containerd.Draft, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.draft != nil {
		return namespaces.WithNamespace(ctx, d.at.namespace()), d.draft, nil
	}
	ctx, daemon, err := d.at.open(ctx, d.options)
	if err != nil {
		return nil, nil, err
	}
	draft, err := imagesOf(daemon).Begin(ctx, containerd.DraftOptions{Owner: "manifest-format"})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", d.at, err), daemon.Close())
	}
	d.daemon, d.draft = daemon, draft
	if _, here := d.neighbour(); here {
		err = draft.Hold(ctx, d.from.Root)
	}
	return ctx, draft, err
}

// neighbour is the source if it is in the same namespace.
func (d *containerdDestination) neighbour() (from Containerd, here bool) {
	from, here = d.from.Location.(Containerd)
	return from, here && from.namespace() == d.at.namespace()
}

// Writer implements [content.Ingester].
func (d *containerdDestination) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	ctx, draft, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	return draft.Writer(ctx, opts...)
}

// Abort removes what an unfinished Writer left.
func (d *containerdDestination) Abort(ctx context.Context, ref string) error {
	ctx, draft, err := d.open(ctx)
	if err != nil {
		return err
	}
	return draft.Abort(ctx, ref)
}

// Put implements [Destination].
func (d *containerdDestination) Put(ctx context.Context, root ocispec.Descriptor, body []byte, _ []ocispec.Descriptor) error {
	ctx, draft, err := d.open(ctx)
	if err != nil {
		return err
	}
	if err := content.WriteBlob(ctx, draft, "manifest-format-"+root.Digest.String(), bytes.NewReader(body), root); err != nil {
		return err
	}
	var o containerd.PutOptions
	if from, here := d.neighbour(); here && from.Name == d.at.Name {
		o.Was = d.from.Root.Digest // what is converted in place, nobody else may have moved
	}
	return draft.Put(ctx, d.at.Name, root, o)
}

// Close implements [Destination].
func (d *containerdDestination) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.draft == nil {
		return nil
	}
	ctx := namespaces.WithNamespace(context.Background(), d.at.namespace())
	return errors.Join(d.draft.Close(ctx), d.daemon.Close())
}
