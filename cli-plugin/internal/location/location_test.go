// SPDX-License-Identifier: Apache-2.0

package location

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const someDigest = "sha256:0123456789012345678901234567890123456789012345678901234567890123"

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		in, want, pinned string
	}{
		{"alpine", "docker.io/library/alpine:latest", "docker.io/library/alpine@" + someDigest},
		{"alpine:3", "docker.io/library/alpine:3", "docker.io/library/alpine@" + someDigest},
		{"localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app@" + someDigest},
		{"ghcr.io/me/app:1@" + someDigest, "ghcr.io/me/app@" + someDigest, "ghcr.io/me/app@" + someDigest},
		{"oci-layout://app", "oci-layout://app", "oci-layout://app@" + someDigest},
		{"oci-layout:///tmp/app:1.0", "oci-layout:///tmp/app:1.0", "oci-layout:///tmp/app@" + someDigest},
		{"oci-layout://a:b/app", "oci-layout://a:b/app", "oci-layout://a:b/app@" + someDigest},
		{"oci-layout://app@" + someDigest, "oci-layout://app@" + someDigest, "oci-layout://app@" + someDigest},
		{"oci-layout://me@home/app:1", "oci-layout://me@home/app:1", "oci-layout://me@home/app@" + someDigest},
		{"archive://app.tar", "archive://app.tar", "archive://app.tar@" + someDigest},
		{"archive://-", "archive://-", "archive://-@" + someDigest},
		{"containerd://app", "containerd://docker.io/library/app:latest", "containerd://docker.io/library/app@" + someDigest},
		{"containerd://me/app:1", "containerd://docker.io/me/app:1", "containerd://docker.io/me/app@" + someDigest},
		{"containerd://ghcr.io/me/app", "containerd://ghcr.io/me/app:latest", "containerd://ghcr.io/me/app@" + someDigest},
		{"containerd://moby/localhost:5000/app:1", "containerd://moby/localhost:5000/app:1", "containerd://moby/localhost:5000/app@" + someDigest},
		{"containerd://k8s.io/app:1", "containerd://k8s.io/docker.io/library/app:1", "containerd://k8s.io/docker.io/library/app@" + someDigest},
		{"containerd://mirror.example.com/docker.io/library/app:1", "containerd://mirror.example.com/docker.io/library/app:1", "containerd://mirror.example.com/docker.io/library/app@" + someDigest},
		{"containerd://k8s.io/" + someDigest, "containerd://k8s.io/" + someDigest, "containerd://k8s.io/" + someDigest},
		{"containerd://buildkit/docker.io/library/app@" + someDigest, "containerd://buildkit/docker.io/library/app@" + someDigest, "containerd://buildkit/docker.io/library/app@" + someDigest},
		{"archive://-:1", "archive://-:1", "archive://-@" + someDigest},
		{"engine://app", "engine://app", "engine://app@" + someDigest},
		{"engine://docker.io/library/app:1", "engine://app:1", "engine://app@" + someDigest},
		{"engine://localhost:5000/app:1@" + someDigest, "engine://localhost:5000/app@" + someDigest, "engine://localhost:5000/app@" + someDigest},
		{"engine://" + someDigest, "engine://" + someDigest, "engine://" + someDigest},
		{"engine://c0ffee", "engine://c0ffee", "engine://c0ffee@" + someDigest},
	} {
		got, err := Parse(tc.in)
		if err != nil {
			t.Errorf("%s: %v", tc.in, err)
			continue
		}
		if got.String() != tc.want {
			t.Errorf("%s: got %s, want %s", tc.in, got, tc.want)
		}
		if pinned := got.Pinned(someDigest); pinned != tc.pinned {
			t.Errorf("%s: pinned %s, want %s", tc.in, pinned, tc.pinned)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		"", "App", "a b", "app:", "app@sha256:12", "https://ghcr.io/app", "engine://", "engine://App", "engine://app@sha256:12", "containerd://", "containerd://k8s.io/", "containerd://-x/ghcr.io/app", "containerd://App",
		"oci-layout://", "oci-layout://:1", "oci-layout://app:", "oci-layout://app@sha256:12", "archive://",
	} {
		if got, err := Parse(in); err == nil {
			t.Errorf("%q was read as %s", in, got)
		} else if got != nil {
			t.Errorf("%q: a location beside the error %v", in, err)
		}
	}
}

// What a location prints is read as the same location.
func TestParseRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.OneOf(
			rapid.StringMatching(`([a-z]{1,5}(\.[a-z]{1,3})?(:[0-9]{2,4})?/)?[a-z]{1,5}(:[a-z0-9.]{1,5})?`),
			rapid.StringMatching(`containerd://([a-z0-9]{1,3}/)?(k8s.io/)?([a-z]{1,3}[.:][0-9]{1,3}/)?[a-z]{1,3}(/[a-z]{1,3})?(:[a-z0-9.]{1,5})?`),
			rapid.StringMatching(`(oci-layout|archive|engine)://[-a-z./:@]{1,12}(:[a-z0-9.]{1,5})?`),
		).Draw(t, "in")
		first, err := Parse(in)
		if err != nil {
			t.Skip()
		}
		second, err := Parse(first.String())
		if err != nil {
			t.Fatalf("%s printed as %s: %v", in, first, err)
		}
		if first != second && first.String() != second.String() {
			t.Fatalf("%s was read as %#v, and what it prints as %#v", in, first, second)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"alpine:3", "oci-layout://a@b:c", "archive://-:1", "engine://a:1", "engine://sha256:c0ffee", "containerd://k8s.io/a", "x://", "a@" + someDigest} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		l, err := Parse(in)
		if (l == nil) != (err != nil) {
			t.Fatalf("%q: location %v and error %v", in, l, err)
		}
		if err != nil {
			return
		}
		again, err := Parse(l.String())
		if err != nil || again.String() != l.String() {
			t.Fatalf("%q: printed as %q, which is read as %v, %v", in, l, again, err)
		}
	})
}

// pipe is standard input that is no file.
type pipe struct{ io.Reader }

func (pipe) IsTerminal() bool       { return false }
func (pipe) File() (*os.File, bool) { return nil, false }

// A read of standard input ends with its context.
func TestReaderOfEnds(t *testing.T) {
	in, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	r := ReaderOf(ctx, pipe{in})
	why := errors.New("enough")
	time.AfterFunc(10*time.Millisecond, func() { cancel(why) })
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, why) {
		t.Errorf("Read ended with %v", err)
	}
}
