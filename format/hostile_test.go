// SPDX-License-Identifier: Apache-2.0

package format_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
)

var ociImages = formattest.Builder{Format: format.OCI}

// put stores an OCI image manifest with a config of any content.
func put(s *formattest.Store, config string, layers []formattest.Blob, extra string) ocispec.Descriptor {
	c := s.Put(ocispec.MediaTypeImageConfig, []byte(config))
	var listed []string
	for _, l := range layers {
		l.Put(s)
		listed = append(listed, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d%s}`, l.Desc.MediaType, l.Desc.Digest, l.Desc.Size, extra))
		extra = ""
	}
	return s.Put(ocispec.MediaTypeImageManifest, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[%s]%s}`,
		ocispec.MediaTypeImageManifest, c.MediaType, c.Digest, c.Size, strings.Join(listed, ","), extra))
}

const noLayers = `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`

// A diff ID that is none is refused: it must neither crash nor be skipped.
func TestDiffIDsAreDigests(t *testing.T) {
	for _, id := range []string{"foo", "", "sha256:12", "md5:00"} {
		s := formattest.NewStore()
		config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[%q]}}`, id)
		root := put(s, config, []formattest.Blob{ociImages.Layer(format.Zstd, "a=1")}, "")
		_, err := format.Convert(t.Context(), s, root, format.ProfileDocker(), format.Options{})
		var e *format.Error
		if !errors.Is(err, format.ErrCorrupt) || !errors.As(err, &e) || e.Path != "/config/rootfs/diff_ids/0" {
			t.Errorf("diff ID %q: got %v, want ErrCorrupt at it", id, err)
		}
	}
}

// Who pulls one platform has the index, and not what is attested of the image.
func TestMissingAttestationIsALoss(t *testing.T) {
	s := formattest.NewStore()
	image := ociImages.Manifest("linux/amd64", ociImages.Layer(format.Gzip, "a=1"))
	attestation := ociImages.Attestation(false, image, "https://spdx.dev/Document")
	root := ociImages.Index(image, attestation).Put(s)
	if err := s.Delete(t.Context(), attestation.Desc.Digest); err != nil {
		t.Fatal(err)
	}
	platform := []ocispec.Platform{{OS: "linux", Architecture: "amd64"}}
	for _, p := range specifications() {
		result, err := format.Convert(t.Context(), s, root, p, format.Options{Platforms: platform})
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
		} else if len(result.Losses) != 1 || result.Losses[0].Path != "/manifests/1" {
			t.Errorf("%s: losses %v, want the attestation", p.Name, result.Losses)
		}
	}
	if _, err := format.Convert(t.Context(), s, root, format.ProfileDocker(), format.Options{}); !errdefs.IsNotFound(err) {
		t.Errorf("of all platforms: got %v, want it not found", err)
	}
}

// What an artifact carries is no filesystem, whatever its type says: `oras
// push` calls any file a layer.
func TestArtifactPayloads(t *testing.T) {
	s := formattest.NewStore()
	zipped, err := formattest.Compress(format.Gzip, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	file := s.Put(ocispec.MediaTypeImageLayer, zipped)
	empty := s.Put(ocispec.MediaTypeEmptyJSON, []byte("{}"))
	root := s.Put(ocispec.MediaTypeImageManifest, fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,"artifactType":"a/b","config":{"mediaType":%q,"digest":%q,"size":2},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		ocispec.MediaTypeImageManifest, empty.MediaType, empty.Digest, file.MediaType, file.Digest, file.Size))
	if err := format.Copy(t.Context(), formattest.NewStore(), s, root, format.CopyOptions{}); err != nil {
		t.Errorf("copy: %v", err)
	}
	if _, err := format.Convert(t.Context(), s, root, format.ProfileOCI(), format.Options{Verify: true}); err != nil {
		t.Errorf("verify: %v", err)
	}
	s.PutAs(file.Digest, []byte("another"))
	if _, err := format.Convert(t.Context(), s, root, format.ProfileOCI(), format.Options{Verify: true}); !errors.Is(err, format.ErrCorrupt) {
		t.Errorf("verify of another payload: got %v, want ErrCorrupt", err)
	}
}

func TestVerifyReadsStatements(t *testing.T) {
	for _, p := range specifications() {
		s := formattest.NewStore()
		image := ociImages.Manifest("linux/amd64", ociImages.Layer(format.Gzip, "a=1"))
		attestation := ociImages.Attestation(false, image, "https://spdx.dev/Document")
		root := ociImages.Index(image, attestation).Put(s)
		statement := attestation.Children[1].Desc
		s.PutAs(statement.Digest, bytes.Repeat([]byte("x"), int(statement.Size)))
		if _, err := format.Convert(t.Context(), s, root, p, format.Options{Verify: true}); !errors.Is(err, format.ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", p.Name, err)
		}
	}
}

func TestForeignHereAndHeldThere(t *testing.T) {
	s, dst := formattest.NewStore(), formattest.NewStore()
	held := ociImages.Layer(format.Gzip, "a=1")
	foreign := held
	foreign.Desc.MediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
	root := ociImages.Index(ociImages.Manifest("linux/amd64", foreign), ociImages.Manifest("linux/arm64", held)).Put(s)
	if err := format.Copy(t.Context(), dst, s, root, format.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, ok := dst.Body(held.Desc.Digest); !ok {
		t.Error("the layer that is held was not copied")
	}
}

func TestTwoSizesOfOneBlob(t *testing.T) {
	s := formattest.NewStore()
	layer := ociImages.Layer(format.Gzip, "a=1")
	longer := layer
	longer.Desc.Size += 5
	root := ociImages.Index(ociImages.Manifest("linux/amd64", layer), ociImages.Manifest("linux/arm64", longer)).Put(s)
	if err := format.Copy(t.Context(), formattest.NewStore(), s, root, format.CopyOptions{}); !errors.Is(err, format.ErrCorrupt) {
		t.Errorf("copy: got %v, want ErrCorrupt", err)
	}
	if _, err := format.Convert(t.Context(), s, root, format.ProfileOCI(), format.Options{Verify: true}); !errors.Is(err, format.ErrCorrupt) {
		t.Errorf("verify: got %v, want ErrCorrupt", err)
	}
}

// A manifest that is there for two platforms keeps what speaks of it when one
// of them is left.
func TestAttestationOfTwoPlatforms(t *testing.T) {
	s := formattest.NewStore()
	first := ociImages.Manifest("linux/arm/v7", ociImages.Layer(format.Gzip, "a=1"))
	second := first
	second.Desc.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	attestation := ociImages.Attestation(false, first, "https://spdx.dev/Document")
	for _, index := range []formattest.Blob{ociImages.Index(first, second, attestation), ociImages.Index(second, first, attestation)} {
		root := index.Put(s)
		result, err := format.Convert(t.Context(), s, root, format.ProfileOCI(), format.Options{Platforms: []ocispec.Platform{{OS: "linux", Architecture: "arm", Variant: "v7"}}})
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := s.Body(result.Root.Digest); !bytes.Contains(body, []byte("attestation-manifest")) {
			t.Errorf("the attestation is gone: %s", body)
		}
	}
}

func TestFlattenKeepsPlatforms(t *testing.T) {
	s := formattest.NewStore()
	v6 := ociImages.Manifest("linux/arm/v6", ociImages.Layer(format.Gzip, "a=1"))
	v7 := v6
	v7.Desc.Platform = &ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}
	root := ociImages.Index(v6, v7, ociImages.Index(ociImages.Manifest("linux/amd64", ociImages.Layer(format.Gzip, "a=2")))).Put(s)
	result, err := format.Convert(t.Context(), s, root, format.ProfileDocker(), format.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := s.Body(result.Root.Digest); !bytes.Contains(body, []byte(`"v7"`)) {
		t.Errorf("linux/arm/v7 is gone: %s", body)
	}
}

// An artifact in the index that refers to an image says so when that changes.
func TestSubjectInTheIndex(t *testing.T) {
	s := formattest.NewStore()
	docker := formattest.Builder{Format: format.Docker}
	image := docker.Manifest("linux/amd64", docker.Layer(format.Gzip, "a=1"))
	image.Put(s)
	empty := s.Put(ocispec.MediaTypeEmptyJSON, []byte("{}"))
	artifact := s.Put(ocispec.MediaTypeImageManifest, fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,"artifactType":"a/b","config":{"mediaType":%q,"digest":%q,"size":2},"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":%d}}`,
		ocispec.MediaTypeImageManifest, empty.MediaType, empty.Digest, image.Desc.MediaType, image.Desc.Digest, image.Desc.Size))
	root := s.Put(ocispec.MediaTypeImageIndex, fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,"artifactType":"x/y","manifests":[{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":"linux","architecture":"amd64"}},{"mediaType":%q,"digest":%q,"size":%d}]}`,
		ocispec.MediaTypeImageIndex, image.Desc.MediaType, image.Desc.Digest, image.Desc.Size, artifact.MediaType, artifact.Digest, artifact.Size))
	result, err := format.Convert(t.Context(), s, root, format.ProfileOCI(), format.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Notes) != 1 || result.Notes[0].Path != "/manifests/1/subject" {
		t.Errorf("notes %v, want one of the subject", result.Notes)
	}
	if result, err = format.Convert(t.Context(), s, root, format.ProfileOCI(), format.Options{Single: true}); err != nil {
		t.Fatal(err)
	}
	if len(result.Losses) != 2 {
		t.Errorf("losses %v, want the index's artifactType and the artifact", result.Losses)
	}
}

// What many annotations cost grows with their number, not with its square.
func TestManyAnnotations(t *testing.T) {
	var many strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&many, `,"io.containers.estargz.%d":""`, i)
	}
	extra := `,"annotations":{` + many.String()[1:] + `}`
	for name, convert := range map[string]func(*formattest.Store) error{
		"labels": func(s *formattest.Store) error {
			_, err := format.Convert(t.Context(), s, put(s, noLayers, nil, extra), format.ProfileDocker(), format.Options{Annotations: format.AnnotationsLabels})
			return err
		},
		"stale": func(s *formattest.Store) error {
			layer := ociImages.Layer(format.Zstd, "a=1")
			config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[%q]}}`, layer.DiffID)
			_, err := format.Convert(t.Context(), s, put(s, config, []formattest.Blob{layer}, extra), format.ProfileOCI(), format.Options{Compression: format.Gzip})
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		done := make(chan error, 1)
		go func() { done <- convert(formattest.NewStore()) }()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case <-ctx.Done():
			t.Errorf("%s: not done in a minute", name)
		}
		cancel()
	}
}

func TestLabelsThatAreNone(t *testing.T) {
	s := formattest.NewStore()
	root := put(s, `{"architecture":"amd64","os":"linux","config":{"Labels":["precious"]},"rootfs":{"type":"layers","diff_ids":[]}}`, nil, `,"annotations":{"k":"v"}`)
	_, err := format.Convert(t.Context(), s, root, format.ProfileDocker(), format.Options{Annotations: format.AnnotationsLabels})
	if !errors.Is(err, format.ErrAmbiguous) {
		t.Errorf("got %v, want ErrAmbiguous", err)
	}
}

// A failed recompression leaves neither goroutines nor an ingestion, through a
// Stage or without one.
func TestFailedRecompressionLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	noise := make([]byte, 8<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise) // it never fails
	layer := ociImages.Layer(format.Zstd, "a="+string(noise))
	for i := range 20 {
		src, dst := formattest.NewStore(), formattest.NewStore()
		root := ociImages.Manifest("linux/amd64", layer).Put(src)
		dst.FailAt(2, errors.New("disk full"), formattest.OpWrite)
		if _, err := format.Convert(t.Context(), format.NewStage(src, dst), root, format.ProfileDocker(), format.Options{}); err == nil {
			t.Fatal("no error")
		}
		if left := dst.Unfinished(); len(left) > 0 {
			t.Fatalf("run %d leaves %v", i, left)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+5; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

func TestCanceledIsAnError(t *testing.T) {
	s := formattest.NewStore()
	root := ociImages.Image("linux/amd64").Put(s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, convertErr := format.Convert(ctx, s, root, format.ProfileDocker(), format.Options{})
	copyErr := format.Copy(ctx, formattest.NewStore(), s, root, format.CopyOptions{})
	for _, err := range []error{convertErr, copyErr} {
		var e *format.Error
		if !errors.As(err, &e) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v (%T), want an *Error over Canceled", err, err)
		}
	}
}

// Check and Convert agree on what is nothing.
func TestDualAtTheEdges(t *testing.T) {
	s := formattest.NewStore()
	config := s.Put(format.MediaTypeDockerConfig, []byte(noLayers))
	annotated := s.Put(format.MediaTypeDockerManifest, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[],"annotations":{}}`,
		format.MediaTypeDockerManifest, config.MediaType, config.Digest, config.Size))
	empty := s.Put(format.MediaTypeDockerManifestList, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[]}`, format.MediaTypeDockerManifestList))
	foreign := ociImages.Layer(format.Zstd, "a=1")
	foreign.Desc.MediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
	for name, tc := range map[string]struct {
		root    ocispec.Descriptor
		fixable bool
	}{
		"no annotations":     {annotated, true},
		"no images":          {empty, false},
		"foreign zstd layer": {ociImages.Manifest("linux/amd64", foreign).Put(s), false},
	} {
		report, err := format.Check(t.Context(), s, tc.root, format.ProfileDocker())
		if err != nil {
			t.Fatal(err)
		}
		fixable := true
		for _, f := range report.Findings {
			fixable = fixable && f.Fixable
		}
		if report.OK() || fixable != tc.fixable {
			t.Errorf("%s: findings %v, want them fixable: %t", name, report.Findings, tc.fixable)
		}
		if _, err := format.Convert(t.Context(), s, tc.root, format.ProfileDocker(), format.Options{}); (err == nil) != tc.fixable {
			t.Errorf("%s: Convert says %v", name, err)
		}
	}
}
