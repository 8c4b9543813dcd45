// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
	"github.com/manifest-format/manifest-format/format/registry"
	"github.com/manifest-format/manifest-format/integration/scripts"
)

// update rewrites the expected output in testdata: go test ./plugins/verifier -update.
var update = flag.Bool("update", false, "rewrite the expected output of the scripts")

// TestMain lets the scripts run this test binary as the program.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"manifest-format-verifier": main})
}

// TestScripts runs testdata/*.txt, one behaviour or one bad input each. Beside
// testscript's own commands they have:
//
//	verify CODE NAME SAMPLE       run the program as containerd does, for an image of that
//	                              name; it must end with this code
//	exits CODE PROGRAM ARG...     run a program that must end with this code
//	registry NAME [tls] [USER:PASSWORD]
//	                              start a registry; $NAME is its host
//	push SAMPLE IMAGE             push a sample image into one without passwords
//	broken NAME FAULT             start a registry that has a fault, see faults
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("DOCKER_CONFIG", filepath.Join(env.WorkDir, ".docker"))
			env.Setenv("MANIFEST_FORMAT_VERIFIER", filepath.Join(env.WorkDir, "policy.json"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"verify":   cmdVerify,
			"exits":    scripts.Exits,
			"registry": scripts.Registry,
			"push":     cmdPush,
			"broken":   cmdBroken,
		},
	})
}

var (
	oci    = formattest.Builder{Format: format.OCI}
	docker = formattest.Builder{Format: format.Docker}
)

// samples are the images of the scripts.
var samples = map[string]func() formattest.Blob{
	"oci":     func() formattest.Blob { return oci.Image("linux/amd64", "linux/arm64") },
	"oci-one": func() formattest.Blob { return oci.Manifest("linux/amd64", oci.Layer(format.Gzip, "etc/motd=hello")) },
	"docker":  func() formattest.Blob { return docker.Image("linux/amd64", "linux/arm64") },
	"docker-one": func() formattest.Blob {
		return docker.Manifest("linux/amd64", docker.Layer(format.Gzip, "etc/motd=hello"))
	},
	// An index of one format around an image of the other.
	"mixed": func() formattest.Blob {
		return oci.Index(docker.Manifest("linux/amd64", docker.Layer(format.Gzip, "bin/app=amd64")))
	},
	"zstd":    func() formattest.Blob { return oci.Manifest("linux/amd64", oci.Layer(format.Zstd, "etc/motd=hello")) },
	"schema1": func() formattest.Blob { return served(format.MediaTypeDockerSchema1Signed) },
	"html":    func() formattest.Blob { return served("text/html\x1b[2J\n") },
	// What a registry has under another media type than its own.
	"mistyped": func() formattest.Blob { return served(format.MediaTypeDockerManifestList) },
}

// served is an OCI image that a registry serves as something else.
func served(mediaType string) formattest.Blob {
	b := oci.Manifest("linux/amd64", oci.Layer(format.Gzip, "etc/motd=hello"))
	b.Desc.MediaType = mediaType
	return b
}

func sample(ts *testscript.TestScript, name string) formattest.Blob {
	build, ok := samples[name]
	if !ok {
		ts.Fatalf("no sample %q", name)
	}
	return build()
}

func cmdVerify(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: verify CODE NAME SAMPLE")
	}
	image := sample(ts, args[2])
	// No more than containerd knows.
	body, err := json.Marshal(ocispec.Descriptor{MediaType: image.Desc.MediaType, Digest: image.Desc.Digest, Size: image.Desc.Size})
	ts.Check(err)
	file := ts.MkAbs("descriptor.json")
	ts.Check(os.WriteFile(file, body, 0o600))
	const script = `exec manifest-format-verifier -name "$1" -digest "$2" -stdin-media-type application/vnd.oci.descriptor.v1+json < "$3"`
	scripts.Exits(ts, false, []string{args[0], "sh", "-c", script, "sh", args[1], image.Desc.Digest.String(), file})
	if out := ts.ReadFile("stdout"); strings.Count(out, "\n") != 1 || len(out) > 1000 {
		ts.Fatalf("a verdict is one short line, not %q", out)
	}
}

func cmdPush(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: push SAMPLE IMAGE")
	}
	name, tag, err := registry.ParseReference(args[1])
	ts.Check(err)
	repo, err := registry.Open(name, registry.Options{Credentials: func(context.Context, string) (registry.Credential, error) {
		return registry.Credential{}, nil
	}})
	ts.Check(err)
	image := sample(ts, args[0])
	ctx := context.Background()
	ts.Check(writeBlobs(ctx, repo, image.Children))
	ts.Check(repo.PutRoot(ctx, image.Desc, image.Body, tag))
}

func writeBlobs(ctx context.Context, to content.Ingester, blobs []formattest.Blob) error {
	for _, blob := range blobs {
		if err := writeBlobs(ctx, to, blob.Children); err != nil {
			return err
		}
		desc := ocispec.Descriptor{MediaType: blob.Desc.MediaType, Digest: blob.Desc.Digest, Size: blob.Desc.Size}
		if err := content.WriteBlob(ctx, to, blob.Desc.Digest.String(), bytes.NewReader(blob.Body), desc); err != nil {
			return err
		}
	}
	return nil
}

// faults are what registries do.
var faults = map[string]http.HandlerFunc{
	"stalled": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	"busy": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	},
	"failing": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
	"closed": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
	},
	// Other content than it was asked for.
	"lying": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		fmt.Fprint(w, `{"schemaVersion":2}`)
	},
	// The sample "mistyped".
	"mistyped": func(w http.ResponseWriter, _ *http.Request) {
		image := samples["mistyped"]()
		w.Header().Set("Content-Type", image.Desc.MediaType)
		_, _ = w.Write(image.Body)
	},
}

func cmdBroken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || faults[args[1]] == nil {
		ts.Fatalf("usage: broken NAME FAULT")
	}
	server := httptest.NewServer(faults[args[1]])
	ts.Defer(server.Close)
	ts.Defer(server.CloseClientConnections)
	ts.Setenv(args[0], strings.TrimPrefix(server.URL, "http://"))
}
