// SPDX-License-Identifier: Apache-2.0

//go:build linux

package integration

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// TestConversions converts images on which other converters fail, and has a
// checker that shares nothing with the product read the results.
func TestConversions(t *testing.T) {
	d := startDaemons(t)
	for _, f := range fixtures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			repo := newRepository(t, "app")
			f.make(t, repo)
			if source := repo.documents(t, "oci"); !strings.Contains(source, f.trap) {
				t.Fatalf("no %s in the fixture:\n%s", f.trap, source)
			}
			convertFixture(t, f, repo)
			if f.trap == zstdLayer {
				d.refuse(t, repo, "oci")
			}
			expectPeersRead(t, d, f, repo, "docker")
			expectPeersRead(t, d, f, repo, "back")
		})
	}
}

// convertFixture converts the tag oci to docker, and that to back.
func convertFixture(t *testing.T, f fixture, repo repository) {
	t.Helper()
	result := convert(t, "docker", repo.ref("oci"), repo.ref("docker"))
	docker := check(t, repo, "docker", "docker")
	var lost []string
	for _, loss := range result.Losses {
		lost = append(lost, loss.Path)
	}
	for _, path := range f.losses {
		if !slices.Contains(lost, path) {
			t.Errorf("%s is lost, and not listed as a loss", path)
		}
	}
	if len(f.losses) == 0 && len(lost) > 0 {
		t.Errorf("lost %+v", result.Losses)
	}
	if docker.root != result.Root.Digest || len(docker.images) != 2 {
		t.Errorf("the tag is at %s with the images %v, the result is %s", docker.root, docker.images, result.Root.Digest)
	}
	for platform, image := range docker.images {
		if got := docker.referring[image]; got != f.statements {
			t.Errorf("%d statements refer to the image for %s, want %d", got, platform, f.statements)
		}
	}

	again := convert(t, "docker", repo.ref("docker"), repo.ref("docker-again"))
	if again.Root.Digest != docker.root || len(again.Changes) > 0 {
		t.Errorf("what is Docker already became %s by %+v", again.Root.Digest, again.Changes)
	}

	back := convert(t, "oci", repo.ref("docker"), repo.ref("back"))
	oci := check(t, repo, "back", "oci")
	if len(back.Losses) > 0 {
		t.Errorf("on the way back %+v was lost", back.Losses)
	}
	if diff := cmp.Diff(docker.configs, oci.configs); diff != "" {
		t.Errorf("the configs changed on the way back: %s", diff)
	}
	if original := repo.digestOf(t, "oci"); f.identity != (oci.root == original) {
		t.Errorf("to Docker and back gives %s, it was %s", oci.root, original)
	}
}

// TestCheckerBites has the checker read what another converter makes of the
// fixtures, which research found to be damaged.
func TestCheckerBites(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]string{"attest": "not Docker V2.2", "zstd": "a layer is "} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := newRepository(t, "app")
			f := fixtures[slices.IndexFunc(fixtures, func(f fixture) bool { return f.name == name })]
			f.make(t, repo)
			engines.NewHome(t, registry.Addr).Run(t, "regctl", "image", "mod", "--to-docker", "--create", "docker", repo.ref("oci"))
			found := faultsOf(t, repo)
			if !strings.Contains(found, fault) {
				t.Errorf("the checker found no %q but %q", fault, found)
			}
		})
	}
}

// faultsOf returns what the checker finds wrong with the tag docker.
func faultsOf(t *testing.T, repo repository) string {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		check(r, repo, "docker", "docker")
	}()
	<-done
	return r.faults.String()
}

// recorder keeps what would fail a test.
type recorder struct {
	testing.TB
	faults strings.Builder
}

// Errorf keeps the message.
func (r *recorder) Errorf(message string, args ...any) {
	fmt.Fprintf(&r.faults, message+"\n", args...)
}

// Fatalf ends the goroutine of the check, as a test's own does.
func (r *recorder) Fatalf(message string, args ...any) {
	r.Errorf(message, args...)
	runtime.Goexit()
}
