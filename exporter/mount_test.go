// SPDX-License-Identifier: Apache-2.0

package exporter

import (
	"context"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// remembered is a store that knows one blob, and where it once was.
type remembered struct {
	content.Manager
	labels map[string]string
}

func (r remembered) Info(_ context.Context, d digest.Digest) (content.Info, error) {
	return content.Info{Digest: d, Labels: r.labels}, nil
}

func named(t *testing.T, name string) reference.Named {
	t.Helper()
	n, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestMountFromWhereItWasPushed shows which repository a blob is said to be in:
// the one that this build pushed it to if that is in the same registry, port
// and all, and otherwise what was remembered.
func TestMountFromWhereItWasPushed(t *testing.T) {
	const key = "containerd.io/distribution.source.registry.test"
	blob, other := digest.FromString("blob"), digest.FromString("other")
	remembers := map[string]string{key: "gone,stale", "kept": "yes"}
	for name, test := range map[string]struct {
		pushed, target string
		has            digest.Digest
		want           string
	}{
		"another repository":    {"registry.test:5000/a/app:1", "registry.test:5000/b/app", blob, "a/app"},
		"the same repository":   {"registry.test:5000/a/app", "registry.test:5000/a/app:2", blob, "gone,stale"},
		"another registry":      {"registry.test:5001/a/app", "registry.test:5000/b/app", blob, "gone,stale"},
		"another blob":          {"registry.test:5000/a/app", "registry.test:5000/b/app", other, "gone,stale"},
		"a registry by default": {"library/app", "me/app", blob, "library/app"},
	} {
		want := map[string]string{key: test.want, "kept": "yes"}
		if test.target == "me/app" {
			want = map[string]string{key: "gone,stale", "kept": "yes", "containerd.io/distribution.source.docker.io": "library/app"}
		}
		m := mounting{
			Manager: remembered{labels: remembers},
			target:  named(t, test.target),
			earlier: []pushedTo{{named(t, test.pushed), map[digest.Digest]bool{test.has: true}}},
		}
		info, err := m.Info(t.Context(), blob)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, info.Labels); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if remembers[key] != "gone,stale" {
		t.Error("the store's own labels were changed")
	}
}
