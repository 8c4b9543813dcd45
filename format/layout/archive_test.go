// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
	"github.com/manifest-format/manifest-format/format/layout"
)

// file is one entry of a tar; what starts with "->" is a symbolic link.
type file struct{ name, body string }

func (f file) header() *tar.Header {
	if to, ok := strings.CutPrefix(f.body, "->"); ok {
		return &tar.Header{Typeflag: tar.TypeSymlink, Name: f.name, Linkname: to}
	}
	return &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.body)), Mode: 0o644}
}

// pack makes a tar. Headers are as given, then files.
func pack(t testing.TB, files []file, headers ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		h := f.header()
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.body[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// blobFile is where a layout has a blob.
func blobFile(b formattest.Blob) string { return "blobs/sha256/" + b.Desc.Digest.Encoded() }

// layoutFiles is an OCI layout with one image, called v1.
func layoutFiles(image formattest.Blob) []file {
	files := []file{
		{"oci-layout", `{"imageLayoutVersion":"1.0.0"}`},
		{"index.json", fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}`,
			image.Desc.MediaType, image.Desc.Digest, image.Desc.Size)},
		{blobFile(image), string(image.Body)},
	}
	for _, child := range image.Children {
		files = append(files, file{blobFile(child), string(child.Body)})
	}
	return files
}

// pipe hides that a reader can seek.
type pipe struct{ io.Reader }

func open(t testing.TB, r io.Reader) (*layout.Archive, error) {
	t.Helper()
	a, err := layout.ReadArchive(t.Context(), r)
	if err == nil {
		t.Cleanup(func() {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return a, err
}

func TestReadArchive(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	image := app("1")
	plain := pack(t, layoutFiles(image))
	inFile := func(body []byte) io.Reader {
		f, err := os.Create(filepath.Join(t.TempDir(), "a.tar"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if _, err := f.Write(append([]byte("before"), body...)); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(int64(len("before")), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		return f
	}
	compressed := func(c format.Compression) []byte {
		body, err := formattest.Compress(c, plain)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	go func() {
		_, _ = writer.Write(plain) // a failure is seen where it is read
		writer.Close()
	}()
	for name, r := range map[string]io.Reader{
		"in memory":        bytes.NewReader(plain),
		"stream":           pipe{bytes.NewReader(plain)},
		"file, from where": inFile(plain),
		"pipe":             reader,
		"gzip":             pipe{bytes.NewReader(compressed(format.Gzip))},
		"zstd":             inFile(compressed(format.Zstd)),
		"dots before names": bytes.NewReader(pack(t, dotted(layoutFiles(image)),
			&tar.Header{Typeflag: tar.TypeDir, Name: "./"}, &tar.Header{Typeflag: tar.TypeDir, Name: "./blobs/"},
			&tar.Header{Typeflag: tar.TypeDir, Name: "./blobs/"})),
		"other files": bytes.NewReader(pack(t, append(layoutFiles(image), file{"README", "x"}, file{strings.Repeat("x", 300), "x"}))),
	} {
		t.Run(name, func(t *testing.T) {
			a, err := open(t, r)
			if err != nil {
				t.Fatal(err)
			}
			for _, ref := range []string{"", "v1", image.Desc.Digest.String()} {
				got, err := a.Resolve(t.Context(), ref)
				if err != nil {
					t.Fatal(err)
				}
				want := image.Desc
				want.Platform = nil
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("resolve %q (-want +got):\n%s", ref, diff)
				}
			}
			sameImage(t, a, image)
			_, err = a.Resolve(t.Context(), "v2")
			wants{errdefs.ErrNotFound, "it has v1"}.check(t, err)
		})
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) != 0 {
		t.Errorf("left in TMPDIR: %v (%v)", left, err)
	}
}

func dotted(files []file) []file {
	var out []file
	for _, f := range files {
		out = append(out, file{"./" + f.name, f.body})
	}
	return out
}

func TestReadArchiveIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	for _, r := range []io.Reader{bytes.NewReader(pack(t, layoutFiles(app("1")))), pipe{bytes.NewReader(make([]byte, 10))}} {
		if _, err := layout.ReadArchive(ctx, r); !errors.Is(err, why) {
			t.Errorf("error %v, want %v", err, why)
		}
	}
}

func TestOpenArchive(t *testing.T) {
	dir := t.TempDir()
	_, err := layout.OpenArchive(t.Context(), dir)
	wants{errdefs.ErrInvalidArgument, "is a directory"}.check(t, err)
	_, err = layout.OpenArchive(t.Context(), filepath.Join(dir, "none.tar"))
	wants{errdefs.ErrNotFound, "none.tar"}.check(t, err)

	path := filepath.Join(dir, "a.tar")
	image := app("1")
	if err := os.WriteFile(path, pack(t, layoutFiles(image)), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := layout.OpenArchive(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	sameImage(t, a, image)
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if _, err := read(t, a, image.Desc); err == nil {
		t.Error("it can be read after Close")
	}
}

func TestReadArchiveRefuses(t *testing.T) {
	image := app("1")
	good := layoutFiles(image)
	plain := pack(t, good)
	compressed := func(c format.Compression) []byte {
		body, err := formattest.Compress(c, plain)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	with := func(headers ...*tar.Header) []byte { return pack(t, good, headers...) }
	plus := func(files ...file) []byte { return pack(t, append(files, good...)) }
	damaged := bytes.Clone(compressed(format.Gzip))
	damaged[len(damaged)/2] ^= 0xff
	large := bytes.Clone(plain)
	copy(large[124:], "77777777777\x00") // the size of the first file
	fixChecksum(large)
	tests := []struct {
		name  string
		body  []byte
		wants wants
	}{
		{"nothing", nil, wants{format.ErrCorrupt, "cut short, or no tar"}},
		{"text", []byte(strings.Repeat("hello\n", 500)), wants{format.ErrCorrupt, "no tar"}},
		{"an empty tar", pack(t, nil), wants{errdefs.ErrInvalidArgument, "neither an OCI layout nor what docker save writes"}},
		{"another tar", pack(t, []file{{"README", "x"}}), wants{errdefs.ErrInvalidArgument, "it has no oci-layout and no manifest.json"}},
		{"up", plus(file{"../x", ""}), wants{format.ErrCorrupt, `"../x" leads out of the archive`}},
		{"up inside", plus(file{"blobs/../../x", ""}), wants{format.ErrCorrupt, "leads out of the archive"}},
		{"absolute", plus(file{"/etc/passwd", ""}), wants{format.ErrCorrupt, `"/etc/passwd" leads out of the archive`}},
		{"symbolic link", plus(file{"x", "->blobs"}), wants{format.ErrCorrupt, `"x" is a link`}},
		{"symbolic link out", plus(file{"x", "->../../etc/passwd"}), wants{format.ErrCorrupt, `link "x" leads out`}},
		{"symbolic link to the root", plus(file{"x", "->/etc/passwd"}), wants{format.ErrCorrupt, `link "x" leads out`}},
		{"hard link", with(&tar.Header{Typeflag: tar.TypeLink, Name: "x", Linkname: "oci-layout"}), wants{format.ErrCorrupt, `"x" is neither a file nor a directory`}},
		{"character device", with(&tar.Header{Typeflag: tar.TypeChar, Name: "x"}), wants{format.ErrCorrupt, "neither a file"}},
		{"block device", with(&tar.Header{Typeflag: tar.TypeBlock, Name: "x"}), wants{format.ErrCorrupt, "neither a file"}},
		{"pipe", with(&tar.Header{Typeflag: tar.TypeFifo, Name: "x"}), wants{format.ErrCorrupt, "neither a file"}},
		{"oci-layout twice", plus(file{"oci-layout", ""}), wants{format.ErrAmbiguous, `has "oci-layout" twice`}},
		{"index.json twice", plus(file{"./index.json", "{}"}), wants{format.ErrAmbiguous, `has "index.json" twice`}},
		{"a blob twice", plus(file{"blobs//sha256/./" + image.Desc.Digest.Encoded(), "x"}), wants{format.ErrAmbiguous, "twice"}},
		{"larger than the archive", large, wants{format.ErrCorrupt, "cut short in \"oci-layout\""}},
		{"cut in a header", plain[:700], wants{format.ErrCorrupt, "cut short"}},
		{"cut in content", plain[:520], wants{format.ErrCorrupt, "cut short"}},
		{"cut between files", plain[:1024], wants{format.ErrCorrupt, `cut short before "index.json"`}},
		{"gzip cut short", compressed(format.Gzip)[:200], wants{format.ErrCorrupt, "unexpected EOF"}},
		{"gzip damaged", damaged, wants{format.ErrCorrupt, "archive: corrupt content"}},
		{"zstd cut short", compressed(format.Zstd)[:200], wants{format.ErrCorrupt, "unexpected EOF"}},
		{"no index", pack(t, good[:1]), wants{format.ErrCorrupt, `it has no "index.json"`}},
		{"another version", pack(t, []file{{"oci-layout", `{"imageLayoutVersion":"2.0.0"}`}, good[1]}), wants{errdefs.ErrNotImplemented, "2.0.0"}},
		{"index too large", pack(t, []file{good[0], {"index.json", emptyIndex + strings.Repeat(" ", 4<<20)}}), wants{format.ErrTooLarge, "index.json"}},
		{"index with names twice", pack(t, []file{good[0], {"index.json", `{"manifests":[],"manifests":[]}`}}), wants{format.ErrAmbiguous, "index.json"}},
		{"docker's manifest too large", pack(t, []file{{"manifest.json", "[" + strings.Repeat(" ", 4<<20) + "]"}}), wants{format.ErrTooLarge, "manifest.json"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, r := range []io.Reader{bytes.NewReader(test.body), pipe{bytes.NewReader(test.body)}} {
				_, err := open(t, r)
				test.wants.check(t, err)
			}
		})
	}
}

func TestArchiveOfTooManyFiles(t *testing.T) {
	_, err := open(t, bytes.NewReader(manyFiles(100_001)))
	wants{format.ErrTooLarge, "more than 100000 files"}.check(t, err)
}

func TestDecompressionBomb(t *testing.T) {
	bomb, err := formattest.Compress(format.Zstd, make([]byte, 129<<20))
	if err != nil {
		t.Fatal(err)
	}
	_, err = open(t, bytes.NewReader(bomb))
	wants{format.ErrTooLarge, "decompress it first"}.check(t, err)
}

// fixChecksum makes the first header of a tar right again.
func fixChecksum(b []byte) {
	copy(b[148:156], "        ")
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

// manyFiles is a tar of that many empty files.
func manyFiles(n int) []byte {
	block := make([]byte, 512)
	copy(block[124:], "00000000000\x00")
	block[156] = tar.TypeReg
	b := bytes.Repeat(block, n)
	for i := range n {
		name := strconv.Itoa(i)
		copy(b[512*i:], name)
		fixName(b[512*i:], name)
	}
	return append(b, make([]byte, 1024)...)
}

// fixName is fixChecksum for a header of an empty file, in fewer steps.
func fixName(header []byte, name string) {
	sum := int(8*' ' + 11*'0' + tar.TypeReg)
	for _, c := range []byte(name) {
		sum += int(c)
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

func TestSparseFilesAreRefused(t *testing.T) {
	block := make([]byte, 512, 2048)
	copy(block, "oci-layout")
	copy(block[124:], "00000000000\x00")
	copy(block[257:], "ustar  \x00")
	copy(block[483:], "77777777777\x00") // the size it would unpack to
	block[156] = tar.TypeGNUSparse
	fixChecksum(block)
	_, err := open(t, bytes.NewReader(append(block, make([]byte, 1024)...)))
	wants{format.ErrCorrupt, "sparse"}.check(t, err)
}

func TestArchiveComparesContent(t *testing.T) {
	image := app("1")
	files := layoutFiles(image)
	layer := image.Children[1]
	for n, f := range files {
		if f.name == blobFile(layer) {
			files[n].body = f.body[:20] + "#" + f.body[21:]
		}
		if f.name == blobFile(image) {
			files[n].body = strings.Replace(f.body, `"schemaVersion":2`, `"schemaVersion":3`, 1)
		}
	}
	a, err := open(t, bytes.NewReader(pack(t, files)))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []formattest.Blob{layer, image} {
		_, err = read(t, a, b.Desc)
		wants{format.ErrCorrupt, "its content is"}.check(t, err)
	}
	_, err = a.Referrers(t.Context(), image.Desc)
	wants{format.ErrCorrupt, "its content is"}.check(t, err)
	other := image.Children[0].Desc
	other.Size++
	_, err = a.ReaderAt(t.Context(), other)
	wants{format.ErrCorrupt, "its descriptor says"}.check(t, err)
	_, err = a.ReaderAt(t.Context(), ocispec.Descriptor{Digest: "sha256:../../../etc/passwd"})
	wants{errdefs.ErrInvalidArgument, "digest"}.check(t, err)
}

// A blob that is not there is not there; in an archive without an end it may
// have been.
func TestArchiveWithoutABlob(t *testing.T) {
	image := app("1")
	whole := pack(t, layoutFiles(image)[:3])
	for _, test := range []struct {
		body  []byte
		wants wants
	}{
		{whole, wants{errdefs.ErrNotFound, "has no blob"}},
		{whole[:len(whole)-1024], wants{format.ErrCorrupt, "cut short before"}},
	} {
		a, err := open(t, bytes.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		_, err = read(t, a, image.Children[0].Desc)
		test.wants.check(t, err)
	}
}

func TestArchiveReferrers(t *testing.T) {
	image := app("1")
	sbom := artifact(image.Desc, "application/spdx+json")
	a, _ := writeArchive(t, func(p place) {
		put(t, p, image, "v1")
		putBlob(t, p, sbom)
		if err := p.PutReferrer(t.Context(), sbom.Desc); err != nil {
			t.Fatal(err)
		}
	})
	got, err := a.Referrers(t.Context(), image.Desc)
	if err != nil || len(got) != 1 || got[0].Digest != sbom.Desc.Digest || got[0].ArtifactType != "application/spdx+json" {
		t.Errorf("referrers are %v (%v), want %s", got, err, sbom.Desc.Digest)
	}
}
