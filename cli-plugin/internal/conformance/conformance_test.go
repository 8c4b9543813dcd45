// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
)

type place struct{ *formattest.Store }

func (place) Referrers(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return nil, nil
}

// Sixty targets read each document once.
func TestReadOnce(t *testing.T) {
	s := formattest.NewStore()
	image := formattest.Builder{Format: format.Docker}.Image("linux/amd64", "linux/arm64")
	root := image.Put(s)
	a, err := Assess(t.Context(), place{s}, root, "app", format.Profiles(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Targets) < 60 {
		t.Errorf("%d targets", len(a.Targets))
	}
	for _, d := range s.Digests() {
		if n := s.Reads(d); n > 1 {
			t.Errorf("%s is read %d times", d, n)
		}
	}
}

func TestVerdicts(t *testing.T) {
	b := formattest.Builder{Format: format.OCI}
	image := b.Manifest("linux/arm64", b.Layer(format.Gzip, "a=1"))
	s := formattest.NewStore()
	root := image.Put(s)
	for name, want := range map[string]struct{ lenient, strict Verdict }{
		"ghcr":              {Accepted, Accepted},
		"azure-app-service": {Doubtful, Refused},    // of the platform
		"oracle-registry":   {Uncertain, Uncertain}, // nothing is known of OCI
		"aws-sagemaker":     {Doubtful, Refused},
		"gcp-cloud-run":     {Refused, Refused},
	} {
		p, _ := format.LookupProfile(name)
		for _, o := range []Options{{}, {Strict: true}} {
			a, err := Assess(t.Context(), place{s}, root, "app", []format.Profile{p}, o)
			if err != nil {
				t.Fatal(err)
			}
			expected := want.lenient
			if o.Strict {
				expected = want.strict
			}
			if got := a.Targets[0].Verdict; got != expected {
				t.Errorf("%s, %+v: %s, not %s", name, o, got, expected)
			}
			if failing := len(a.Failing()) > 0; failing != (expected == Refused) {
				t.Errorf("%s, %+v: fails: %t", name, o, failing)
			}
		}
	}
}

func TestFix(t *testing.T) {
	b := formattest.Builder{Format: format.OCI}
	s := formattest.NewStore()
	root := b.Image("linux/arm64", "linux/amd64").Put(s)
	find := func(name string) format.Profile {
		p, _ := format.LookupProfile(name)
		return p
	}
	for _, test := range []struct{ reference, profile, want string }{
		{"example.com/app:1", "aws-lambda", "manifest-format convert --for aws-lambda --platform linux/arm64 example.com/app:1 example.com/app:1"},
		{"example.com/app:1", "heroku", "manifest-format convert --for heroku --platform linux/amd64 example.com/app:1 example.com/app:1"},
		{"example.com/app:1", "docker", "manifest-format convert --for docker example.com/app:1 example.com/app:1"},
		{"oci-layout://my app:1", "docker", "manifest-format convert --for docker 'oci-layout://my app:1' 'oci-layout://my app:1'"},
		{"archive://a.tar:1", "docker", "manifest-format convert --for docker archive://a.tar:1 archive://a-docker.tar"},
		{"engine://app:1", "heroku", "manifest-format push --for heroku --platform linux/amd64 app:1"},
		{"engine://" + root.Digest.String(), "docker", "manifest-format push --for docker " + root.Digest.String() + " REF"},
		{"archive://-", "docker", "manifest-format convert --for docker archive://- archive://docker.tar"},
		{"example.com/app@" + root.Digest.String(), "docker", "manifest-format convert --for docker example.com/app@" + root.Digest.String() + " example.com/app:docker"},
	} {
		a, err := Assess(t.Context(), place{s}, root, test.reference, []format.Profile{find(test.profile)}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Targets[0].Fix; got != test.want {
			t.Errorf("%s for %s:\n%s, not\n%s", test.reference, test.profile, got, test.want)
		}
	}
}
