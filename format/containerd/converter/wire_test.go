// SPDX-License-Identifier: Apache-2.0

package converter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/manifest-format/manifest-format/format"
	v1 "github.com/manifest-format/manifest-format/format/containerd/converter/v1"
)

// serve returns a connection to a server in this process.
func serve(t *testing.T, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	register(server)
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

// answering is a server that answers with f.
func answering(t *testing.T, f Func) *grpc.ClientConn {
	t.Helper()
	return serve(t, func(s *grpc.Server) { Register(s, f) })
}

// fill gives every field of a value something that it is not by default, so
// that a field that does not travel is found when it is added.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8:
		v.SetUint(uint64(*n % 100))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, key, n)
		fill(t, value, n)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	case reflect.Interface: // an error
		v.Set(reflect.ValueOf(errors.New("why")))
	case reflect.Func: // cannot travel
	default:
		t.Fatalf("a %s is new here", v.Type())
	}
}

var asText = cmp.Comparer(func(a, b error) bool { return a.Error() == b.Error() })

func TestEverythingTravels(t *testing.T) {
	var sent Request
	var result format.Result
	var step format.Progress
	n := 0
	for _, v := range []any{&sent, &result, &step} {
		fill(t, reflect.ValueOf(v).Elem(), &n)
	}
	sent.Profile = format.ProfileDocker()
	var got Request
	conn := answering(t, func(_ context.Context, r Request) (*format.Result, error) {
		got = r
		r.Options.Progress(step)
		return &result, nil
	})
	var seen []format.Progress
	sent.Options.Progress = func(p format.Progress) { seen = append(seen, p) }
	answer, err := Convert(t.Context(), conn, sent)
	if err != nil {
		t.Fatal(err)
	}
	// The daemon's own to choose, and what it has none of.
	sent.Options.Partial, sent.Options.NoReferrers, sent.Options.Concurrency = false, false, 0
	result.Referrers = []ocispec.Descriptor{}
	if diff := cmp.Diff(sent, got, cmpopts.IgnoreFields(format.Options{}, "Progress")); diff != "" {
		t.Errorf("the request differs (-sent +got):\n%s", diff)
	}
	if diff := cmp.Diff(&result, answer); diff != "" {
		t.Errorf("the result differs (-sent +got):\n%s", diff)
	}
	if diff := cmp.Diff([]format.Progress{step}, seen, asText); diff != "" {
		t.Errorf("the progress differs (-sent +got):\n%s", diff)
	}
}

func TestNothingIsNil(t *testing.T) {
	conn := answering(t, func(context.Context, Request) (*format.Result, error) { return &format.Result{}, nil })
	got, err := Convert(t.Context(), conn, Request{Source: "a", Destination: "b", Profile: format.ProfileOCI()})
	if err != nil {
		t.Fatal(err)
	}
	want := &format.Result{Referrers: []ocispec.Descriptor{}, Changes: []format.Change{}, Losses: []format.Loss{}, Notes: []format.Note{}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("an empty result differs (-want +got):\n%s", diff)
	}
}

func TestErrorsTravel(t *testing.T) {
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: "sha256:aa", Size: 3, Platform: &ocispec.Platform{OS: "linux"}}
	at := func(err error) error { return &format.Error{Op: "convert", Path: "/manifests/1", Desc: desc, Err: err} }
	var many []format.Loss
	for i := range 5000 {
		many = append(many, format.Loss{Rule: "annotations", Path: fmt.Sprintf("/manifests/%d", i), What: "annotation", Value: strings.Repeat("v", 100), Why: "none there"})
	}
	for name, sent := range map[string]error{
		"lossy":        at(&format.LossError{Losses: many[:2]}),
		"very lossy":   at(&format.LossError{Losses: many}),
		"not fixable":  at(fmt.Errorf("%w: as it is", format.ErrNotFixable)),
		"corrupt":      at(fmt.Errorf("%w: a layer", format.ErrCorrupt)),
		"not found":    at(fmt.Errorf("of the image, only linux/amd64 is all there%.0w", errdefs.ErrNotFound)),
		"with more":    fmt.Errorf("%w\ndelete the lease x: gone", at(format.ErrSigned)),
		"no place":     fmt.Errorf("app:1: no such image in containerd%.0w", errdefs.ErrNotFound),
		"no class":     errors.New("disk is on fire"),
		"any bytes":    at(fmt.Errorf("%w: \xff\xfe", format.ErrAmbiguous)),
		"unavailable":  fmt.Errorf("not yet%.0w", errdefs.ErrUnavailable),
		"no format":    at(fmt.Errorf("%w: zstd", format.ErrNoEquivalent)),
		"interrupted":  at(context.Canceled),
		"precondition": fmt.Errorf("somebody moved it%.0w", errdefs.ErrFailedPrecondition),
	} {
		t.Run(name, func(t *testing.T) {
			conn := answering(t, func(context.Context, Request) (*format.Result, error) { return nil, sent })
			_, got := Convert(t.Context(), conn, Request{Source: "a", Destination: "b", Profile: format.ProfileOCI()})
			if got == nil || got.Error() != strings.ToValidUTF8(sent.Error(), "\uFFFD") {
				t.Fatalf("it says %q, want %q", got, sent)
			}
			if errdefs.Resolve(got) != errdefs.Resolve(sent) {
				t.Errorf("its class is %v, want %v", errdefs.Resolve(got), errdefs.Resolve(sent))
			}
			for _, kind := range kinds {
				if errors.Is(got, kind.err) != errors.Is(sent, kind.err) {
					t.Errorf("%v: it is %t", kind.err, errors.Is(got, kind.err))
				}
			}
			var before, after *format.Error
			if errors.As(sent, &before) != errors.As(got, &after) {
				t.Fatalf("it is %T, of %T", got, sent)
			}
			if before != nil {
				if diff := cmp.Diff(*before, *after, cmpopts.IgnoreFields(format.Error{}, "Err")); diff != "" {
					t.Errorf("its place differs (-sent +got):\n%s", diff)
				}
			}
			var lost, would *format.LossError
			if errors.As(sent, &lost) && (!errors.As(got, &would) || !cmp.Equal(lost, would)) {
				t.Errorf("of %d losses it has %+v", len(lost.Losses), would)
			}
		})
	}
}

func TestNoConverter(t *testing.T) {
	conn := serve(t, func(*grpc.Server) {})
	_, err := Convert(t.Context(), conn, Request{Source: "a", Destination: "b", Profile: format.ProfileOCI()})
	if !errors.Is(err, ErrNoConverter) {
		t.Errorf("a server without the service: %v", err)
	}
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	conn := answering(t, func(context.Context, Request) (*format.Result, error) {
		t.Error("it was converted")
		return &format.Result{}, nil
	})
	for profile, want := range map[string]string{
		"none-such":          `no such profile in this containerd: "none-such"`,
		"":                   `no such profile in this containerd: ""`,
		`{"name":"a","b":1}`: `not a profile as this containerd knows them`,
	} {
		stream, err := v1.NewConverterClient(conn).Convert(t.Context(), &v1.ConvertRequest{Source: "a", Destination: "b", Profile: profile})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		if got := failed(err, nil); !errdefs.IsInvalidArgument(got) || !strings.Contains(got.Error(), want) {
			t.Errorf("%s: %v, want %s", profile, got, want)
		}
	}
	if _, err := Convert(t.Context(), conn, Request{Source: "a", Profile: format.ProfileOCI()}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("without a destination: %v", err)
	}
}

// TestProfileByName takes the daemon's own.
func TestProfileByName(t *testing.T) {
	var got format.Profile
	conn := answering(t, func(_ context.Context, r Request) (*format.Result, error) {
		got = r.Profile
		return &format.Result{}, nil
	})
	stream, err := v1.NewConverterClient(conn).Convert(t.Context(), &v1.ConvertRequest{Source: "a", Destination: "b", Profile: "docker"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil || !cmp.Equal(got, format.ProfileDocker()) {
		t.Errorf("it is %+v, %v", got, err)
	}
}

// TestProgressDoesNotWait has a client that listens to nothing while a
// conversion tells of far more than the connection holds.
func TestProgressDoesNotWait(t *testing.T) {
	listen := make(chan struct{})
	conn := answering(t, func(_ context.Context, r Request) (*format.Result, error) {
		for i := range 100_000 {
			r.Options.Progress(format.Progress{Action: format.ActionRecompress, Path: fmt.Sprintf("/layers/%d", i%3), Done: int64(i), Final: i >= 99_997})
		}
		close(listen)
		return &format.Result{}, nil
	})
	stopped := false
	final := map[string]int64{}
	_, err := Convert(t.Context(), conn, Request{
		Source: "a", Destination: "b", Profile: format.ProfileOCI(),
		Options: format.Options{Progress: func(p format.Progress) {
			if !stopped {
				stopped = true
				<-listen
			}
			if p.Final {
				final[p.Path] = p.Done
			}
		}},
	})
	want := map[string]int64{"/layers/0": 99_999, "/layers/1": 99_997, "/layers/2": 99_998}
	if diff := cmp.Diff(want, final); err != nil || diff != "" {
		t.Errorf("%v, the last steps are (-want +got):\n%s", err, diff)
	}
}
