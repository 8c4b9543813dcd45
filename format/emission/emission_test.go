// SPDX-License-Identifier: Apache-2.0

package emission

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestResponseOrder puts eleven emissions of two outputs among other keys: they
// come back by number, not as text sorts, from a response and from the file
// that a client makes of it.
func TestResponseOrder(t *testing.T) {
	response := map[string]string{"containerimage.digest": "sha256:00", "manifest-format.x.0": "no", "manifest-format.1": "no"}
	file := map[string]any{"containerimage.digest": "sha256:00"}
	var want []string
	for output := range 2 {
		for n := range 11 {
			name := ResponseKey(output, n)
			want = append(want, name)
			encoded, err := Emission{Names: []string{name}}.Encode()
			if err != nil {
				t.Fatal(err)
			}
			response[name] = encoded
			object, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				t.Fatal(err)
			}
			file[name] = json.RawMessage(object)
		}
	}
	metadata, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	byResponse, err := FromResponse(response)
	if err != nil {
		t.Fatal(err)
	}
	byFile, err := FromMetadata(metadata)
	if err != nil {
		t.Fatal(err)
	}
	for from, emissions := range map[string][]Emission{"response": byResponse, "metadata file": byFile} {
		var got []string
		for _, e := range emissions {
			got = append(got, e.Names...)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", from, diff)
		}
	}
}

// TestBadResponse names the key that is broken.
func TestBadResponse(t *testing.T) {
	for value, part := range map[string]string{"***": "illegal base64", base64.StdEncoding.EncodeToString([]byte("{")): "JSON"} {
		_, err := FromResponse(map[string]string{ResponseKey(0, 3): value})
		if err == nil || !strings.Contains(err.Error(), ResponseKey(0, 3)) || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: got %v, want an error about %s that says %s", value, err, ResponseKey(0, 3), part)
		}
	}
}
