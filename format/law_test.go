// SPDX-License-Identifier: Apache-2.0

package format_test

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"pgregory.net/rapid"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
)

// conversion is something to convert, as often as a law needs it.
type conversion struct {
	source  func() *formattest.Store
	root    ocispec.Descriptor
	profile format.Profile
	options format.Options
}

func conversionOf(image formattest.Blob, p format.Profile, o format.Options) conversion {
	fill := func() *formattest.Store {
		s := formattest.NewStore()
		image.Put(s)
		return s
	}
	return conversion{source: fill, root: image.Put(formattest.NewStore()), profile: p, options: o}
}

func (x conversion) run(tb rapid.TB, s *formattest.Store) *format.Result {
	tb.Helper()
	result, err := format.Convert(context.Background(), s, x.root, x.profile, x.options)
	if err != nil {
		tb.Fatalf("convert to %s: %v", x.profile.Name, err)
	}
	return result
}

// checkLaws holds the result of a conversion in s against what is true of all.
func checkLaws(tb rapid.TB, x conversion, s *formattest.Store, result *format.Result) {
	tb.Helper()
	if left := s.Unfinished(); len(left) > 0 {
		tb.Errorf("unfinished business: %q", left)
	}
	checkClosed(tb, s, result)
	checkDual(tb, x, s, result)
	checkIdempotent(tb, x, s, result)
	checkConcurrency(tb, x, result)
}

// checkClosed is the law that what was written is whole and named by the
// result, and that a document of the result that was written is read back.
func checkClosed(tb rapid.TB, s *formattest.Store, result *format.Result) {
	tb.Helper()
	named := map[digest.Digest]bool{}
	for _, root := range append(slices.Clone(result.Referrers), result.Root) {
		for node, err := range format.Walk(context.Background(), s, root) {
			if err != nil {
				tb.Fatalf("walking the result: %v", err)
			}
			named[node.Desc.Digest] = true
		}
	}
	for _, dgst := range s.Written() {
		if !named[dgst] {
			tb.Errorf("%s was written, but nothing names it", dgst)
		}
		if body, _ := s.Body(dgst); dgst.Algorithm().FromBytes(body) != dgst {
			tb.Errorf("%s is stored with another content", dgst)
		}
	}
}

// checkDual is the law that a check of a converted image finds nothing, but
// for what the target may refuse, nothing mends, and the conversion has noted.
func checkDual(tb rapid.TB, x conversion, s *formattest.Store, result *format.Result) {
	tb.Helper()
	report, err := format.Check(context.Background(), s, result.Root, x.profile)
	if err != nil {
		tb.Fatalf("check of the result: %v", err)
	}
	for _, f := range report.Findings {
		noted := slices.ContainsFunc(result.Notes, func(n format.Note) bool { return n.Rule == f.Rule })
		if f.Fixable || f.Severity == format.SeverityError || !noted {
			tb.Errorf("the result does not conform to %s: %+v", x.profile.Name, f)
		}
	}
}

// checkIdempotent is the law that a converted image needs no conversion.
func checkIdempotent(tb rapid.TB, x conversion, s *formattest.Store, result *format.Result) {
	tb.Helper()
	before := s.Digests()
	x.root = result.Root
	again := x.run(tb, s)
	if again.Root.Digest != result.Root.Digest || len(again.Changes) > 0 || len(again.Losses) > 0 {
		tb.Errorf("converting the result changes it: %+v", again)
	}
	if diff := cmp.Diff(before, s.Digests()); diff != "" {
		tb.Errorf("converting the result writes: %s", diff)
	}
}

// checkConcurrency is the law that the number of goroutines changes nothing:
// neither the digests, nor what is said, nor its order.
func checkConcurrency(tb rapid.TB, x conversion, result *format.Result) {
	tb.Helper()
	for _, x.options.Concurrency = range []int{1, 32} {
		if diff := cmp.Diff(result, x.run(tb, x.source())); diff != "" {
			tb.Errorf("concurrency %d: %s", x.options.Concurrency, diff)
		}
	}
}

// Docker to OCI to Docker is the identity on bytes, in every style: section 2.2.
func TestRoundTripStyles(t *testing.T) {
	for name, style := range formattest.Styles() {
		for _, f := range []format.Format{format.Docker, format.OCI} {
			t.Run(name+" "+string(f), func(t *testing.T) {
				b := formattest.Builder{Format: f, Style: style}
				layer := b.Layer(format.Gzip, "a=1")
				amd64 := b.Manifest("linux/amd64", layer, layer)
				checkRoundTrip(t, b.Index(amd64, b.Manifest("linux/arm64/v8", layer, b.Layer(format.Gzip, "b=2")), amd64))
			})
		}
	}
}

// checkRoundTrip converts an image to the other format and back.
func checkRoundTrip(tb rapid.TB, image formattest.Blob) {
	tb.Helper()
	there, back := format.ProfileOCI(), format.ProfileDocker()
	if t, _ := format.ParseMediaType(image.Desc.MediaType); t.Format == format.OCI {
		there, back = back, there
	}
	x := conversionOf(image, there, format.Options{OnLoss: format.OnLossFail})
	s := x.source()
	converted := x.run(tb, s)
	if converted.Root.Digest == image.Desc.Digest {
		tb.Errorf("nothing was converted")
	}
	checkLaws(tb, x, s, converted)
	x.root, x.profile = converted.Root, back
	if returned := x.run(tb, s); returned.Root.Digest != image.Desc.Digest {
		body, _ := s.Body(returned.Root.Digest)
		tb.Errorf("the way back ends elsewhere (-source +returned):\n%s", cmp.Diff(string(image.Body), string(body)))
	}
}

// drawImage draws an image. A plain one has nothing that cannot be brought
// back from the other format.
func drawImage(t *rapid.T, f format.Format, plain bool) formattest.Blob {
	styles := formattest.Styles()
	b := formattest.Builder{
		Format: f,
		Style:  styles[rapid.SampledFrom(slices.Sorted(maps.Keys(styles))).Draw(t, "style")],
	}
	compressions := []format.Compression{format.Gzip}
	if !plain {
		compressions = append(compressions, format.Uncompressed, format.Zstd)
		if rapid.Bool().Draw(t, "annotated") {
			b.Annotations = map[string]string{"größe": "<1>", "org.opencontainers.image.source": "https://example.com/世界"}
		}
	}
	var layers []formattest.Blob
	for i := range rapid.IntRange(1, 3).Draw(t, "layers in all") {
		layers = append(layers, b.Layer(rapid.SampledFrom(compressions).Draw(t, "compression"), "file="+strings.Repeat("x", i)))
	}
	platforms := []string{"linux/amd64", "linux/arm64/v8", "linux/arm/v7", "windows/amd64"}
	var manifests []formattest.Blob
	for range rapid.IntRange(1, 4).Draw(t, "manifests") {
		manifest := b.Manifest(rapid.SampledFrom(platforms).Draw(t, "platform"), rapid.SliceOfN(rapid.SampledFrom(layers), 0, 4).Draw(t, "layers")...)
		manifests = append(manifests, manifest)
		if !plain && rapid.Bool().Draw(t, "attested") {
			manifests = append(manifests, b.Attestation(rapid.Bool().Draw(t, "artifact"), manifest, "https://slsa.dev/provenance/v1", "https://spdx.dev/Document"))
		}
	}
	if !plain && rapid.Bool().Draw(t, "nested") {
		at := rapid.IntRange(0, len(manifests)).Draw(t, "from")
		manifests = append(slices.Clone(manifests[:at]), b.Index(manifests[at:]...))
	}
	if rapid.IntRange(0, 4).Draw(t, "alone") == 0 && len(manifests[0].Children) > 0 && manifests[0].Desc.Platform != nil {
		return manifests[0]
	}
	return b.Index(manifests...)
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom([]format.Format{format.OCI, format.Docker}).Draw(t, "format")
		checkRoundTrip(t, drawImage(t, f, true))
	})
}

// specifications are the profiles of the two formats, nothing else.
func specifications() []format.Profile {
	return []format.Profile{format.ProfileDocker(), format.ProfileOCI()}
}

func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		testLaws(t, rapid.SampledFrom(specifications()).Draw(t, "profile"))
	})
}

// The laws hold for every target, too.
func TestLawsForTargets(t *testing.T) {
	targets := format.Profiles()
	rapid.Check(t, func(t *rapid.T) {
		testLaws(t, rapid.SampledFrom(targets).Draw(t, "profile"))
	})
}

func testLaws(t *rapid.T, p format.Profile) {
	f := rapid.SampledFrom([]format.Format{format.OCI, format.Docker}).Draw(t, "format")
	o := format.Options{
		Attestations: rapid.SampledFrom(append([]format.Attestations{""}, p.Attestations...)).Draw(t, "attestations"),
		Annotations:  rapid.SampledFrom([]format.AnnotationsMode{"", format.AnnotationsLabels}).Draw(t, "annotations"),
		Verify:       rapid.Bool().Draw(t, "verify"),
	}
	x := conversionOf(drawImage(t, f, false), p, o)
	s := x.source()
	before := s.Digests()
	result, err := format.Convert(context.Background(), s, x.root, p, o)
	if err != nil {
		checkRefused(t, x, err)
		return
	}
	checkLaws(t, x, s, result)
	checkFailing(t, x, result, before)
}

// checkRefused is the law that what Convert refuses, a check finds fault with.
func checkRefused(tb rapid.TB, x conversion, refusal error) {
	tb.Helper()
	if x.profile.Kind == format.KindSpecification || !errors.Is(refusal, format.ErrNotFixable) {
		tb.Fatalf("convert to %s: %v", x.profile.Name, refusal)
	}
	if x.options.Attestations != "" {
		return // it may be what was asked for that cannot be
	}
	report, err := format.Check(context.Background(), x.source(), x.root, x.profile)
	if err != nil || report.OK() {
		tb.Errorf("convert to %s fails with %v, but a check says %+v, %v", x.profile.Name, refusal, report, err)
	}
}

// checkFailing is the law that nothing is lost in silence: a conversion that
// may lose nothing fails just when there are losses, and then writes nothing.
func checkFailing(tb rapid.TB, x conversion, result *format.Result, before []digest.Digest) {
	tb.Helper()
	x.options.OnLoss = format.OnLossFail
	s := x.source()
	_, err := format.Convert(context.Background(), s, x.root, x.profile, x.options)
	if (err != nil) != (len(result.Losses) > 0) {
		tb.Errorf("%d losses, but on-loss=fail ends with: %v", len(result.Losses), err)
	}
	if err != nil && !cmp.Equal(before, s.Digests()) {
		tb.Errorf("written in spite of losses: %s", s.Written())
	}
}

// The same layer in several manifests is read once, recompressed once, and
// written once.
func TestRecompressedOnce(t *testing.T) {
	b := formattest.Builder{Format: format.OCI}
	layer := b.Layer(format.Zstd, "shared=1")
	x := conversionOf(b.Index(b.Manifest("linux/amd64", layer, layer), b.Manifest("linux/arm64", layer)), format.ProfileDocker(), format.Options{})
	s := x.source()
	result := x.run(t, s)
	var to []ocispec.Descriptor
	for _, change := range result.Changes {
		if change.From.Digest == layer.Desc.Digest {
			to = append(to, change.To)
		}
	}
	if len(to) != 1 {
		t.Fatalf("the layer was changed %d times: %+v", len(to), result.Changes)
	}
	if reads, writes := s.Reads(layer.Desc.Digest), s.Writes(to[0].Digest); reads != 1 || writes != 1 {
		t.Errorf("the layer was read %d times and written %d times", reads, writes)
	}
}

// Recompression gives the same bytes with one core and with two, and whatever
// else is recompressed at the time.
func TestRecompressionIsDeterministic(t *testing.T) {
	b := formattest.Builder{Format: format.OCI}
	var noise strings.Builder
	for i := 0; noise.Len() < 5<<18; i++ {
		noise.WriteString(digest.FromString(noise.String()[max(0, noise.Len()-64):] + string(rune(i))).Encoded())
	}
	image := b.Index(
		b.Manifest("linux/amd64", b.Layer(format.Zstd, "other=1"), b.Layer(format.Uncompressed, "noise="+noise.String())),
		b.Manifest("linux/arm64", b.Layer(format.Zstd, "more=1")),
	)
	for _, p := range []struct {
		format.Profile
		format.Options
	}{
		{format.ProfileDocker(), format.Options{}},
		{format.ProfileOCI(), format.Options{Compression: format.Zstd}},
	} {
		digests := map[digest.Digest]bool{}
		for _, procs := range []int{1, 2} {
			for _, p.Options.Concurrency = range []int{1, 4} {
				was := runtime.GOMAXPROCS(procs)
				x := conversionOf(image, p.Profile, p.Options)
				digests[x.run(t, x.source()).Root.Digest] = true
				runtime.GOMAXPROCS(was)
			}
		}
		if len(digests) != 1 {
			t.Errorf("to %s: %d digests of one image: %v", p.Name, len(digests), digests)
		}
	}
}

// Many conversions at once, of one image in one store, agree. Run with -race.
func TestConcurrentConversions(t *testing.T) {
	b := formattest.Builder{Format: format.OCI, Annotations: map[string]string{"a": "b"}}
	base := b.Layer(format.Zstd, "base=1")
	amd64 := b.Manifest("linux/amd64", base, b.Layer(format.Uncompressed, "own=1"))
	x := conversionOf(b.Index(amd64, b.Manifest("linux/arm64", base), b.Attestation(false, amd64, "https://spdx.dev/Document")), format.ProfileDocker(), format.Options{})
	want := x.run(t, x.source())
	s := x.source()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			result, err := format.Convert(t.Context(), s, x.root, x.profile, x.options)
			if err != nil {
				t.Error(err)
				return
			}
			if diff := cmp.Diff(want, result); diff != "" {
				t.Error(diff)
			}
		})
	}
	group.Wait()
	checkLaws(t, x, s, want)
}

// What needs no conversion comes back as it came, the descriptor too.
func TestUnchangedRoot(t *testing.T) {
	for _, image := range []formattest.Blob{oci.Image("linux/amd64"), oci.Manifest("linux/amd64", oci.Layer(format.Gzip, "a=1"))} {
		x := conversionOf(image, format.ProfileOCI(), format.Options{})
		x.root.Annotations = map[string]string{ocispec.AnnotationRefName: "latest"}
		x.root.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
		result := x.run(t, x.source())
		if diff := cmp.Diff(x.root, result.Root); diff != "" {
			t.Error(diff)
		}
	}
}
