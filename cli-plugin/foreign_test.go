// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
)

// TestForeignLayers converts an image with a layer that is elsewhere: it is
// fetched from its URL when that is asked for, and never otherwise.
func TestForeignLayers(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	builder := formattest.Builder{Format: format.OCI}
	layer := builder.Layer(format.Gzip, "etc/motd=hello")
	var fetched atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		_, _ = w.Write(layer.Body)
	}))
	defer server.Close()
	image := edited(builder.Manifest("linux/amd64", layer), func(doc map[string]any) {
		first := doc["layers"].([]any)[0].(map[string]any)
		first["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
		first["urls"] = []string{server.URL + "/layer"}
	})
	image.Children = image.Children[:1] // the config alone
	source := filepath.Join(t.TempDir(), "source")
	if err := writeSample(source, "", image); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		choice string
		want   int32
	}{{"keep", 0}, {"fetch", 1}} {
		result := filepath.Join(t.TempDir(), tc.choice)
		cmd := exec.CommandContext(t.Context(), program, "convert", "--for", "docker", "--foreign-layers", tc.choice, "oci-layout://"+source, "oci-layout://"+result)
		cmd.Args[0] = "manifest-format"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", tc.choice, err, out)
		}
		blob := filepath.Join(result, "blobs", "sha256", layer.Desc.Digest.Encoded())
		if _, err := os.Stat(blob); (err == nil) != (tc.want == 1) || fetched.Load() != tc.want {
			t.Errorf("%s: fetched %d times, the layer: %v", tc.choice, fetched.Load(), err)
		}
	}
}
