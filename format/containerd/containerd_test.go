// SPDX-License-Identifier: Apache-2.0

package containerd_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/containerd"
	"github.com/manifest-format/manifest-format/format/containerd/containerdtest"
	"github.com/manifest-format/manifest-format/format/formattest"
)

const (
	name  = "registry.example.com/app:1"
	other = "registry.example.com/app:1-docker"
)

// daemon is containerd's own store, and its images.
type daemon struct {
	containerdtest.Daemon
	*containerd.Store
}

// start returns a context in a namespace of a new daemon.
func start(t *testing.T) (context.Context, daemon) {
	t.Helper()
	ctx, d := containerdtest.Start(t)
	return ctx, daemon{d, containerd.New(d.Services)}
}

// pull puts an image there as a pull does, but for what is named in gone.
func (d daemon) pull(ctx context.Context, t *testing.T, image formattest.Blob, gone ...formattest.Blob) {
	t.Helper()
	lease, err := d.Leases.Create(ctx, leases.WithRandomID())
	if err != nil {
		t.Fatal(err)
	}
	var put func(b formattest.Blob)
	put = func(b formattest.Blob) {
		labels := map[string]string{}
		n := 0
		for _, child := range b.Children {
			if slices.ContainsFunc(gone, func(g formattest.Blob) bool { return g.Desc.Digest == child.Desc.Digest }) {
				continue
			}
			put(child)
			for _, prefix := range images.ChildGCLabels(child.Desc) {
				labels[prefix+string(rune('0'+n))] = child.Desc.Digest.String()
				n++
			}
		}
		err := content.WriteBlob(leases.WithLease(ctx, lease.ID), d.Content, b.Desc.Digest.String(), strings.NewReader(string(b.Body)), b.Desc, content.WithLabels(labels))
		if err != nil {
			t.Fatal(err)
		}
	}
	put(image)
	if _, err := d.Images.Create(ctx, images.Image{Name: name, Target: image.Desc}); err != nil {
		t.Fatal(err)
	}
	if err := d.Leases.Delete(ctx, lease); err != nil {
		t.Fatal(err)
	}
}

// collect deletes what nothing leads to, and returns what is left.
func (d daemon) collect(ctx context.Context, t *testing.T) []digest.Digest {
	t.Helper()
	if _, err := d.DB.GarbageCollect(ctx); err != nil {
		t.Fatal(err)
	}
	var left []digest.Digest
	if err := d.Content.Walk(ctx, func(info content.Info) error {
		left = append(left, info.Digest)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(left)
	return left
}

// expectWhole walks an image, layers and all, and returns what it is made of.
func (d daemon) expectWhole(ctx context.Context, t *testing.T, name string) []digest.Digest {
	t.Helper()
	image, err := d.Image(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	all := map[digest.Digest]bool{}
	for node, err := range format.Walk(ctx, d, image.Target) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := content.ReadBlob(ctx, d, node.Desc); err != nil {
			t.Errorf("%s of %s: %v", node.Path, name, err)
		}
		all[node.Desc.Digest] = true
	}
	return slices.Sorted(maps.Keys(all))
}

func (d daemon) expectNoLease(ctx context.Context, t *testing.T) {
	t.Helper()
	if left, err := d.Leases.List(ctx); err != nil || len(left) > 0 {
		t.Errorf("leases are left: %v %v", left, err)
	}
}

// twoPlatforms is an attested index.
func twoPlatforms(f format.Format) (index, amd, arm, attests formattest.Blob) {
	b := formattest.Builder{Format: f}
	amd = b.Manifest("linux/amd64", b.Layer(format.Gzip, "a"), b.Layer(format.Gzip, "b"))
	arm = b.Manifest("linux/arm64", b.Layer(format.Gzip, "a"), b.Layer(format.Gzip, "c"))
	if f == format.Docker {
		return b.Index(amd, arm), amd, arm, attests
	}
	attests = b.Attestation(false, amd, "https://slsa.dev/provenance/v1")
	return b.Index(amd, arm, attests), amd, arm, attests
}

func TestConvertSurvivesTheCollector(t *testing.T) {
	ctx, d := start(t)
	index, _, _, _ := twoPlatforms(format.OCI)
	d.pull(ctx, t, index)
	done, err := d.Convert(ctx, name, other, format.ProfileDocker(), containerd.ConvertOptions{Labels: map[string]string{"by": "test"}, ResultLabel: "is"})
	if err != nil {
		t.Fatal(err)
	}
	d.expectNoLease(ctx, t)
	if err := d.Images.Delete(ctx, name); err != nil {
		t.Fatal(err)
	}
	left := d.collect(ctx, t)
	if want := d.expectWhole(ctx, t, other); !slices.Equal(left, want) {
		t.Errorf("after the source is deleted there is\n%v\nwant\n%v", left, want)
	}
	image, err := d.Image(ctx, other)
	if err != nil || image.Target.Digest != done.Root.Digest || image.Labels["by"] != "test" || image.Labels["is"] != done.Root.Digest.String() {
		t.Errorf("the image is %+v, %v", image, err)
	}
	stage := format.NewStage(formattestStore(t, index), nil)
	want, err := format.Convert(ctx, stage, index.Desc, format.ProfileDocker(), format.Options{NoReferrers: true})
	if err != nil || want.Root.Digest != done.Root.Digest {
		t.Errorf("elsewhere it is %+v, %v", want, err)
	}
}

func formattestStore(t *testing.T, image formattest.Blob) *formattest.Store {
	t.Helper()
	s := formattest.NewStore()
	image.Put(s)
	return s
}

func TestConvertInPlace(t *testing.T) {
	ctx, d := start(t)
	index, _, _, _ := twoPlatforms(format.Docker)
	d.pull(ctx, t, index)
	for range 2 { // the second time, nothing is left to do
		if _, err := d.Convert(ctx, name, name, format.ProfileOCI(), containerd.ConvertOptions{}); err != nil {
			t.Fatal(err)
		}
		left := d.collect(ctx, t)
		if want := d.expectWhole(ctx, t, name); !slices.Equal(left, want) {
			t.Errorf("there is\n%v\nwant\n%v", left, want)
		}
	}
	before, err := d.Image(ctx, name)
	if err != nil || before.Target.MediaType != ocispec.MediaTypeImageIndex {
		t.Fatalf("the image is %+v, %v", before, err)
	}
	if _, err := d.Convert(ctx, name, name, format.ProfileOCI(), containerd.ConvertOptions{}); err != nil {
		t.Fatal(err)
	}
	after, err := d.Image(ctx, name)
	if err != nil || !after.UpdatedAt.Equal(before.UpdatedAt) {
		t.Errorf("an image that was right is updated: %+v, %v", after, err)
	}
}

// TestConvertLabelsWhatIsThere converts to documents that another client left
// without labels.
func TestConvertLabelsWhatIsThere(t *testing.T) {
	ctx, d := start(t)
	index, _, _, _ := twoPlatforms(format.OCI)
	d.pull(ctx, t, index)
	converted := formattestStore(t, index)
	result, err := format.Convert(ctx, converted, index.Desc, format.ProfileDocker(), format.Options{NoReferrers: true})
	if err != nil {
		t.Fatal(err)
	}
	held, err := d.Leases.Create(ctx, leases.WithRandomID())
	if err != nil {
		t.Fatal(err)
	}
	for node, err := range format.Walk(ctx, converted, result.Root) {
		if err != nil {
			t.Fatal(err)
		}
		if node.Body != nil {
			if err := content.WriteBlob(leases.WithLease(ctx, held.ID), d.Content, "bare-"+node.Desc.Digest.String(), strings.NewReader(string(node.Body)), node.Desc); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := d.Convert(ctx, name, other, format.ProfileDocker(), containerd.ConvertOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Leases.Delete(ctx, held), d.Images.Delete(ctx, name)); err != nil {
		t.Fatal(err)
	}
	d.collect(ctx, t)
	d.expectWhole(ctx, t, other)
}

func TestConvertWhatWasPulled(t *testing.T) {
	ctx, d := start(t)
	index, amd, arm, attests := twoPlatforms(format.OCI)
	d.pull(ctx, t, index, arm.Children[2], attests.Children[1])
	_, err := d.Convert(ctx, name, other, format.ProfileDocker(), containerd.ConvertOptions{})
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "only linux/amd64 is all there") || !strings.Contains(err.Error(), "linux/arm64 lacks 1 blob") {
		t.Errorf("all of what was pulled in part: %v", err)
	}
	d.expectNoLease(ctx, t)
	if _, err := d.Image(ctx, other); !errdefs.IsNotFound(err) {
		t.Errorf("the image that was refused: %v", err)
	}
	done, err := d.Convert(ctx, name, other, format.ProfileOCI(), containerd.ConvertOptions{Pulled: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(done.LeftOut) != 1 || done.LeftOut[0].Desc.Digest != arm.Desc.Digest {
		t.Errorf("left out: %+v", done.LeftOut)
	}
	if len(done.Losses) == 0 || done.Losses[0].Path != "/manifests/2" {
		t.Errorf("losses: %+v", done.Losses)
	}
	if all := d.expectWhole(ctx, t, other); !slices.Contains(all, amd.Desc.Digest) {
		t.Errorf("the image is %v", all)
	}
	o := containerd.ConvertOptions{Engine: format.Options{Platforms: []ocispec.Platform{platforms.MustParse("linux/amd64")}}}
	again, err := d.Convert(ctx, name, other, format.ProfileOCI(), o)
	if err != nil || again.Root.Digest != done.Root.Digest {
		t.Errorf("by its platform, it is %+v, %v", again, err)
	}
}

func TestAccepts(t *testing.T) {
	ctx, d := start(t)
	index, _, arm, attests := twoPlatforms(format.OCI)
	d.pull(ctx, t, index, arm, attests.Children[1]) // as a kubelet pulls
	for profile, want := range map[string]bool{"oci": true, "docker": false} {
		p, _ := format.LookupProfile(profile)
		if got, err := d.Accepts(ctx, index.Desc, p); err != nil || got != want {
			t.Errorf("%s accepts it: %v, %v", profile, got, err)
		}
	}
	d.expectNoLease(ctx, t)
	_, d = start(t)
	d.pull(ctx, t, index, arm.Children[2], index.Children[0].Children[2])
	if got, err := d.Accepts(ctx, index.Desc, format.ProfileOCI()); got || !errdefs.IsNotFound(err) {
		t.Errorf("of an image that is nowhere whole: %v, %v", got, err)
	}
}

func TestConvertThatFails(t *testing.T) {
	ctx, d := start(t)
	index, _, _, _ := twoPlatforms(format.OCI)
	d.pull(ctx, t, index)
	before := d.collect(ctx, t)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := d.Convert(canceled, name, other, format.ProfileDocker(), containerd.ConvertOptions{}); err == nil {
		t.Error("a conversion that was called off succeeded")
	}
	o := containerd.ConvertOptions{Engine: format.Options{OnLoss: format.OnLossFail}}
	if _, err := d.Convert(ctx, name, other, format.ProfileDocker(), o); !errors.Is(err, format.ErrLossy) {
		t.Errorf("with a loss: %v", err)
	}
	if _, err := d.Convert(ctx, "none", other, format.ProfileDocker(), o); !errdefs.IsNotFound(err) {
		t.Errorf("of no image: %v", err)
	}
	d.expectNoLease(ctx, t)
	if diff := cmp.Diff(before, d.collect(ctx, t)); diff != "" {
		t.Errorf("something is left: %s", diff)
	}
}

// TestPutMoved has somebody else move the image between its reading and its
// naming.
func TestPutMoved(t *testing.T) {
	ctx, d := start(t)
	index, amd, _, _ := twoPlatforms(format.OCI)
	d.pull(ctx, t, index)
	draft, err := d.Begin(ctx, containerd.DraftOptions{Owner: "test"})
	if err != nil {
		t.Fatal(err)
	}
	var moved *containerd.MovedError
	if err := draft.Put(ctx, name, amd.Desc, containerd.PutOptions{Was: amd.Desc.Digest}); !errors.As(err, &moved) || !errdefs.IsFailedPrecondition(err) {
		t.Errorf("of an image that was moved: %v", err)
	}
	if n, err := d.Sweep(ctx, "another"); n != 0 || err != nil {
		t.Errorf("swept %d leases of nobody: %v", n, err)
	}
	if n, err := d.Sweep(ctx, "test"); n != 1 || err != nil {
		t.Errorf("swept %d leases: %v", n, err)
	}
	if err := draft.Close(ctx); err != nil {
		t.Errorf("close after a sweep: %v", err)
	}
	names, err := d.Names(ctx, index.Desc)
	if err != nil || !slices.Equal(names, []string{name}) {
		t.Errorf("names are %v, %v", names, err)
	}
}

func TestOrigins(t *testing.T) {
	ctx, d := start(t)
	index, amd, _, _ := twoPlatforms(format.OCI)
	d.pull(ctx, t, index)
	layer := amd.Children[1].Desc.Digest
	key := "containerd.io/distribution.source.registry.example.com"
	info := content.Info{Digest: layer, Labels: map[string]string{key: "app,team/base"}}
	if _, err := d.Content.Update(ctx, info, "labels."+key); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][]string{"registry.example.com:5000": {"app", "team/base"}, "example.com": nil} {
		got, err := d.Origins(ctx, index.Desc, host)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("from %s come %v, %v", host, got, err)
		}
	}
}

// TestHold deletes an image while it is held.
func TestHold(t *testing.T) {
	ctx, d := start(t)
	index, _, _, _ := twoPlatforms(format.OCI)
	d.pull(ctx, t, index)
	all := d.collect(ctx, t)
	draft, err := d.Begin(ctx, containerd.DraftOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(draft.Hold(ctx, index.Desc), d.Images.Delete(ctx, name)); err != nil {
		t.Fatal(err)
	}
	if left := d.collect(ctx, t); !slices.Equal(left, all) {
		t.Errorf("of what is held there is %v", left)
	}
	if err := draft.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if left := d.collect(ctx, t); len(left) > 0 {
		t.Errorf("of what is held no more there is %v", left)
	}
}

// TestDraftHoldsWhatIsWritten runs the collector before anything is named.
func TestDraftHoldsWhatIsWritten(t *testing.T) {
	ctx, d := start(t)
	draft, err := d.Begin(ctx, containerd.DraftOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := formattest.Builder{Format: format.OCI}
	layer := b.Layer(format.Gzip, "a")
	for range 2 { // the second time it is there
		if err := content.WriteBlob(ctx, draft, "layer", strings.NewReader(string(layer.Body)), layer.Desc); err != nil {
			t.Fatal(err)
		}
		if left := d.collect(ctx, t); !slices.Equal(left, []digest.Digest{layer.Desc.Digest}) {
			t.Errorf("of what was written there is %v", left)
		}
	}
	if err := draft.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if left := d.collect(ctx, t); len(left) > 0 {
		t.Errorf("of what is held no more there is %v", left)
	}
}

// TestHoldLeasesWhatIsLoose holds an image whose manifest keeps no layer: they
// are leased one by one when they are written again.
func TestHoldLeasesWhatIsLoose(t *testing.T) {
	ctx, d := start(t)
	index, amd, _, _ := twoPlatforms(format.OCI)
	d.pull(ctx, t, index)
	var fields []string
	for n := range amd.Children {
		fields = append(fields, fmt.Sprintf("labels.containerd.io/gc.ref.content.l.%d", n))
	}
	if _, err := d.Content.Update(ctx, content.Info{Digest: amd.Desc.Digest}, fields...); err != nil {
		t.Fatal(err)
	}
	draft, err := d.Begin(ctx, containerd.DraftOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := draft.Hold(ctx, index.Desc); err != nil {
		t.Fatal(err)
	}
	for _, child := range append(slices.Clone(amd.Children), amd) {
		if _, err := draft.Writer(ctx, content.WithRef("again"), content.WithDescriptor(child.Desc)); !errdefs.IsAlreadyExists(err) {
			t.Fatalf("of what is there: %v", err)
		}
	}
	if err := d.Images.Delete(ctx, name); err != nil {
		t.Fatal(err)
	}
	left := d.collect(ctx, t)
	for _, child := range amd.Children {
		if !slices.Contains(left, child.Desc.Digest) {
			t.Errorf("%s is gone", child.Desc.Digest)
		}
	}
}
