// SPDX-License-Identifier: Apache-2.0

package converter

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/containerd"
	"github.com/manifest-format/manifest-format/format/containerd/containerdtest"
	"github.com/manifest-format/manifest-format/format/containerd/converter"
	"github.com/manifest-format/manifest-format/format/formattest"
)

const (
	name  = "registry.example.com/app:1"
	other = "registry.example.com/app:1-docker"
)

// daemon is containerd's own store.
type daemon struct{ containerdtest.Daemon }

// begin returns a context in a namespace of a new daemon.
func begin(t *testing.T) (context.Context, daemon) {
	t.Helper()
	ctx, d := containerdtest.Start(t)
	return ctx, daemon{d}
}

// put gives an image, which the collector is not run on, its name.
func (d daemon) put(ctx context.Context, t *testing.T, image formattest.Blob) {
	t.Helper()
	var write func(b formattest.Blob)
	write = func(b formattest.Blob) {
		for _, child := range b.Children {
			write(child)
		}
		if err := content.WriteBlob(ctx, d.Content, b.Desc.Digest.String(), strings.NewReader(string(b.Body)), b.Desc); err != nil {
			t.Fatal(err)
		}
	}
	write(image)
	if _, err := d.Images.Create(ctx, images.Image{Name: name, Target: image.Desc}); err != nil {
		t.Fatal(err)
	}
}

// connect serves a plugin, and connects to it.
func connect(t *testing.T, s *service) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	// What containerd has before every service.
	server := grpc.NewServer(grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if namespace, ok := namespaces.Namespace(ss.Context()); ok {
			ss = stream{ss, namespaces.WithNamespace(ss.Context(), namespace)}
		}
		return handler(srv, ss)
	}))
	if err := s.Register(server); err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return listener.Dial() }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s stream) Context() context.Context { return s.ctx }

func (d daemon) expectNoLease(ctx context.Context, t *testing.T) {
	t.Helper()
	if left, err := d.Leases.List(ctx); err != nil || len(left) > 0 {
		t.Errorf("leases are left: %v %v", left, err)
	}
}

func request() converter.Request {
	return converter.Request{Source: name, Destination: other, Profile: format.ProfileDocker()}
}

// attested is an image of two platforms, of which one has a zstd layer.
func attested() formattest.Blob {
	b := formattest.Builder{Format: format.OCI}
	amd := b.Manifest("linux/amd64", b.Layer(format.Gzip, "a"), b.Layer(format.Zstd, "b"))
	arm := b.Manifest("linux/arm64", b.Layer(format.Gzip, "a"))
	return b.Index(amd, arm, b.Attestation(false, amd, "https://slsa.dev/provenance/v1"))
}

// locally is the same conversion without a daemon.
func locally(t *testing.T, image formattest.Blob, o format.Options) (*format.Result, error) {
	t.Helper()
	s := formattest.NewStore()
	image.Put(s)
	o.NoReferrers, o.Partial = true, true
	return format.Convert(t.Context(), s, image.Desc, format.ProfileDocker(), o)
}

func TestConvert(t *testing.T) {
	ctx, d := begin(t)
	image := attested()
	d.put(ctx, t, image)
	conn := connect(t, newService(d.Services, Config{MaxConcurrentConversions: 1}))
	r := request()
	recompressed := false
	r.Options.Progress = func(p format.Progress) {
		recompressed = recompressed || p.Action == format.ActionRecompress && p.Path == "/manifests/0/layers/1" && p.Final
	}
	got, err := converter.Convert(ctx, conn, r)
	if err != nil {
		t.Fatal(err)
	}
	want, err := locally(t, image, format.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got.Losses) == 0 {
		t.Errorf("the result differs (-local +daemon):\n%s", diff)
	}
	if !recompressed {
		t.Error("told nothing of the layer that was recompressed")
	}
	if named, err := d.Images.Get(ctx, other); err != nil || named.Target.Digest != got.Root.Digest {
		t.Errorf("the image is %+v, %v", named, err)
	}
	d.expectNoLease(ctx, t)
	if _, err := converter.Convert(namespaces.WithNamespace(t.Context(), "elsewhere"), conn, request()); !errdefs.IsNotFound(err) {
		t.Errorf("in another namespace: %v", err)
	}
	if _, err := converter.Convert(t.Context(), conn, request()); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "namespace is required") {
		t.Errorf("in no namespace: %v", err)
	}
}

// TestConvertRefuses has the daemon say what the engine says here.
func TestConvertRefuses(t *testing.T) {
	ctx, d := begin(t)
	image := attested()
	d.put(ctx, t, image)
	conn := connect(t, newService(d.Services, Config{MaxConcurrentConversions: 1}))
	for name, o := range map[string]format.Options{
		"lossy":     {OnLoss: format.OnLossFail},
		"referrers": {Attestations: format.AttestationsReferrers},
		"words":     {OnLoss: "perhaps"},
		"zstd":      {Compression: format.Zstd},
	} {
		r := request()
		r.Options = o
		_, got := converter.Convert(ctx, conn, r)
		_, want := locally(t, image, o)
		if got == nil || want == nil || got.Error() != want.Error() || errdefs.Resolve(got) != errdefs.Resolve(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		var lost, would *format.LossError
		if errors.As(want, &lost) != errors.As(got, &would) || !cmp.Equal(lost, would) {
			t.Errorf("%s: of %v it has %v", name, lost, would)
		}
	}
	if _, err := d.Images.Get(ctx, other); !errdefs.IsNotFound(err) {
		t.Errorf("the image that was refused: %v", err)
	}
	d.expectNoLease(ctx, t)
}

// halting is a content store that writes nothing before its caller goes.
type halting struct {
	content.Store
	reached chan struct{}
}

func (h halting) Writer(ctx context.Context, _ ...content.WriterOpt) (content.Writer, error) {
	h.reached <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestConvertCalledOff has the clients go in the middle of one conversion, and
// of one that waits for it.
func TestConvertCalledOff(t *testing.T) {
	ctx, d := begin(t)
	d.put(ctx, t, attested())
	halted := halting{d.Content, make(chan struct{}, 16)}
	services := d.Services
	services.Content = halted
	s := newService(services, Config{MaxConcurrentConversions: 1})
	conn := connect(t, s)
	called, cancel := context.WithCancel(ctx)
	var calls sync.WaitGroup
	for _, destination := range []string{other, other + "-too"} {
		calls.Go(func() {
			r := request()
			r.Destination = destination
			if _, err := converter.Convert(called, conn, r); !errors.Is(err, context.Canceled) {
				t.Errorf("a conversion that was called off: %v", err)
			}
		})
	}
	<-halted.reached
	if held, err := d.Leases.List(ctx); err != nil || len(held) != 1 {
		t.Errorf("two conversions, of which one waits, have the leases %v, %v", held, err)
	}
	cancel()
	calls.Wait()
	// The turn is given back last.
	if err := s.turns.Acquire(ctx, 1); err != nil {
		t.Fatal(err)
	}
	d.expectNoLease(ctx, t)
	all, err := d.Images.List(ctx)
	if err != nil || len(all) != 1 {
		t.Errorf("there are the images %v, %v", all, err)
	}
}

// TestConvertAtOnce converts one image twice at the same time.
func TestConvertAtOnce(t *testing.T) {
	ctx, d := begin(t)
	d.put(ctx, t, attested())
	conn := connect(t, newService(d.Services, Config{MaxConcurrentConversions: 2}))
	results := make([]*format.Result, 4)
	var calls sync.WaitGroup
	for i := range results {
		calls.Go(func() {
			var err error
			if results[i], err = converter.Convert(ctx, conn, request()); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	for _, r := range results {
		if diff := cmp.Diff(results[0], r); diff != "" {
			t.Errorf("the results differ: %s", diff)
		}
	}
	d.expectNoLease(ctx, t)
}

// TestPlugin starts what is registered, as containerd does, where a conversion
// was cut off.
func TestPlugin(t *testing.T) {
	ctx, d := begin(t)
	for _, label := range []string{owner, "somebody"} {
		if _, err := d.Leases.Create(ctx, leases.WithRandomID(), leases.WithLabel(containerd.LabelOwner, label)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.DB.Update(func(tx *bolt.Tx) error { return metadata.NewNamespaceStore(tx).Create(ctx, "empty", nil) }); err != nil {
		t.Fatal(err)
	}
	instances := plugin.NewPluginSet()
	for typ, instance := range map[plugin.Type]any{plugins.MetadataPlugin: d.DB, plugins.LeasePlugin: d.Leases} {
		r := plugin.Registration{Type: typ, ID: "only", InitFn: func(*plugin.InitContext) (any, error) { return instance, nil }}
		if err := instances.Add(r.Init(plugin.NewContext(ctx, instances, nil))); err != nil {
			t.Fatal(err)
		}
	}
	registered := 0
	for _, r := range registry.Graph(func(*plugin.Registration) bool { return false }) {
		if r.URI() != "io.containerd.grpc.v1.manifest-format" {
			continue
		}
		registered++
		ic := plugin.NewContext(ctx, instances, nil)
		ic.Config = r.Config
		instance, err := r.Init(ic).Instance()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := instance.(*service); !ok {
			t.Errorf("it is a %T", instance)
		}
		ic.Config = &Config{MaxConcurrentConversions: 0}
		if _, err := r.Init(ic).Instance(); !errdefs.IsInvalidArgument(err) {
			t.Errorf("with nothing at once: %v", err)
		}
	}
	if registered != 1 {
		t.Errorf("%d plugins are registered", registered)
	}
	left, err := d.Leases.List(ctx)
	if err != nil || len(left) != 1 || left[0].Labels[containerd.LabelOwner] != "somebody" {
		t.Errorf("the leases are %v, %v", left, err)
	}
}
