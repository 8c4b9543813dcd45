// SPDX-License-Identifier: Apache-2.0

package build

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/manifest-format/manifest-format/format"
)

// brief is an emission as a test writes it.
func brief(w *Wanted) string {
	text := w.Profile.Name + " " + strings.Join(w.Destinations(), " ")
	if w.kind == toStore {
		text += " in the store"
	}
	if o := w.options; o.Single || len(o.Platforms) > 0 || o.Attestations != "" || o.OnLoss != "" {
		text += fmt.Sprintf(" single=%v platforms=%d attestations=%s on-loss=%s", o.Single, len(o.Platforms), o.Attestations, o.OnLoss)
	}
	return text
}

func TestParse(t *testing.T) {
	docker := format.ProfileDocker()
	for _, tc := range []struct {
		line     string
		fallback *format.Profile
		want     []string
		args     string // of buildx
	}{
		{line: "-t a .", args: "-t a ."},
		{line: "-t a --push .", fallback: &docker, want: []string{"docker docker.io/library/a:latest"}, args: "-t a --push ."},
		{line: "--for docker -t a -t b:1 .", want: []string{"docker engine://a:latest engine://b:1"}, args: "-t a -t b:1 ."},
		{line: "--for docker .", want: []string{"docker engine://<none>"}, args: "."},
		{line: "--for oci -t a .", fallback: &docker, want: []string{"oci engine://a:latest"}, args: "-t a ."},
		{line: "--for=oci --load --push -t a .", want: []string{"oci docker.io/library/a:latest", "oci engine://a:latest"}, args: "--load --push -t a ."},
		{
			line: "--emit docker=r.example/a:1 --emit oci=oci-layout://x:1 .",
			want: []string{"docker r.example/a:1", "oci oci-layout://x:1"}, args: ".",
		},
		{
			line: "--emit docker=r.example/a,platform=linux/arm64,single=true,attestations=drop --on-loss fail .",
			want: []string{"docker r.example/a:latest single=true platforms=1 attestations=drop on-loss=fail"}, args: ".",
		},
		{
			line: "--for docker -t a --emit oci=r.example/a:1 .",
			want: []string{"docker engine://a:latest", "oci r.example/a:1"}, args: "-t a .",
		},
		{line: "--for docker -o type=registry,name=r.example/a .", want: []string{"docker r.example/a:latest"}, args: "-o type=registry,name=r.example/a ."},
		{
			line: "--for docker -o type=image,name=r.example/a,push-by-digest=true,push=true .",
			want: []string{"docker r.example/a"}, args: "-o type=image,name=r.example/a,push-by-digest=true,push=true .",
		},
		{line: "--for docker -t a -o type=oci,dest=f:1.tar .", want: []string{"docker archive://f:1.tar"}, args: "-t a -o type=oci,dest=f:1.tar ."},
		{line: "--for docker -t a -o type=oci,tar=false,dest=d .", want: []string{"docker oci-layout://d"}, args: "-t a -o type=oci,tar=false,dest=d ."},
		{line: "--for docker -t a -o type=docker .", want: []string{"docker engine://a:latest"}, args: "-t a -o type=docker ."},
		{line: "--for docker -t a -o type=image .", want: []string{"docker a:latest in the store"}, args: "-t a -o type=image ."},
		{line: "--for docker -t a -o type=image --push .", want: []string{"docker docker.io/library/a:latest"}, args: "-t a -o type=image --push ."},
		// No image, so nothing to emit: buildx's alone.
		{line: "-o out .", fallback: &docker, args: "-o out ."},
		{line: "--check .", fallback: &docker, args: "--check ."},
		{line: "--call=outline --for docker .", args: "--call=outline ."},
		{line: "-o type=manifest-format,for=oci .", fallback: &docker, args: "-o type=manifest-format,for=oci ."},
	} {
		r, err := Parse(strings.Fields(tc.line), tc.fallback)
		if err != nil {
			t.Errorf("%s: %v", tc.line, err)
			continue
		}
		var got []string
		for _, w := range r.Wanted {
			text := brief(w)
			if w.kind == toStore {
				text = strings.ReplaceAll(text, "engine://", "")
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.line, diff)
		}
		if args := strings.Join(r.Args.Words(), " "); args != tc.args {
			t.Errorf("%s: buildx would get %s", tc.line, args)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"--for none .":          `--for none: no such profile: "none"`,
		"--for= .":              `--for : no such profile: ""`,
		"--for docker --push .": "tag is needed when pushing to registry: add -t NAME",
		"--for docker -t A .":   `invalid tag "A": `,
		"--for docker -t a -o type=oci,tar=false .":                "--output type=oci,tar=false: dest is required",
		"--for docker -o out .":                                    "--for: no output of this build is an image",
		"--for docker --push=maybe -t a .":                         "--push=maybe: it is true or false",
		"--on-loss fail .":                                         "--on-loss is about an image for a profile: add --for PROFILE or --emit PROFILE=REF",
		"--for docker --on-loss never .":                           "--on-loss: there is warn, fail",
		"--for docker --attestations x .":                          "--attestations: there is keep, referrers, drop",
		"--for docker --attestations referrers -t a .":             "--attestations referrers: a docker engine holds no referrers: push the image, or say drop",
		"--emit docker .":                                          "--emit docker: not PROFILE=REF, such as docker=registry.example.com/app:1.0",
		"--emit docker= .":                                         "--emit docker=: not PROFILE=REF",
		"--emit aws=a .":                                           `--emit aws=a: no such profile: "aws"; there is aws-`,
		"--emit docker=A .":                                        "--emit docker=A: A: ",
		"--emit docker=a@sha256:" + strings.Repeat("0", 64) + " .": "a destination has a tag, not a digest",
		"--emit docker=a,platform=x/y/z/1 .":                       `not a platform, such as linux/arm64: "x/y/z/1"`,
		"--emit docker=a,single=maybe .":                           "single=maybe: it is true or false",
		"--emit docker=a,plattform=linux/arm64 .":                  `no attribute "plattform": there is annotations, attestations, on-loss, platform, registry.insecure, single`,
		"--emit docker=a --emit oci=a:latest .":                    "two emissions go to docker.io/library/a:latest: give each a name of its own",
		"--for docker -t a --push --emit oci=a .":                  "two emissions go to docker.io/library/a:latest",
		"-t a --emit docker=b .":                                   "--emit says what its own image is for; say what that of -t, --push and --load is for, too: --for PROFILE",
		"--for docker -o name=a .":                                 "--output name=a: it has no type",
		"--for":                                                    "flag needs an argument: --for",
	} {
		r, err := Parse(strings.Fields(line), nil)
		if err == nil {
			t.Errorf("%s: was read as %v", line, r)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

// What a builder with our exporter is asked for.
func TestOutputs(t *testing.T) {
	r, err := Parse(strings.Fields("--for docker -t r.example/a:1 -t r.example/a:2 -o type=registry,compression=zstd -o type=docker,dest=f.tar "+
		"--emit oci=r.example/b:1,platform=linux/arm64,single=true --attestations drop ."), nil)
	if err != nil {
		t.Fatal(err)
	}
	outputs, order := outputsFor(r.Wanted)
	var got []string
	for _, o := range outputs {
		got = append(got, o.String())
	}
	want := []string{
		`type=manifest-format,"emit.0.name=r.example/a:1,r.example/a:2",emit.0.for=docker,emit.0.unpack=false,emit.0.compression=zstd,` +
			`emit.0.attestations=drop,emit.1.name=r.example/b:1,emit.1.for=oci,emit.1.attestations=drop,emit.1.platform=linux/arm64,emit.1.single=true,push=true`,
		`type=docker,dest=f.tar,attestations=drop,manifest-format=docker,"name=r.example/a:1,r.example/a:2"`,
	}
	want[0] = strings.ReplaceAll(want[0], "emit.0.unpack=false,", "")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(order) != 3 || order[0].kind != toRegistry || order[1].Profile.Name != "oci" || order[2].kind != toFile {
		t.Errorf("the emissions are answered in the order %v", order)
	}
}

// A profile travels by name where the builder has the same, and else whole.
func TestProfileAttribute(t *testing.T) {
	ours := format.Profile{Name: "ours", Formats: []format.Format{format.Docker}}
	shadow := format.ProfileOCI()
	shadow.Index = format.IndexForbidden
	both, _ := format.LookupProfile("aws-lambda,docker-hub")
	for _, test := range []struct {
		profile format.Profile
		named   bool
	}{{format.ProfileDocker(), true}, {both, true}, {ours, false}, {shadow, false}} {
		text := profileAttribute(test.profile)
		if (text == test.profile.Name) != test.named {
			t.Errorf("%s travels as %s", test.profile.Name, text)
		}
		if test.named {
			continue
		}
		if p, err := format.ParseProfile([]byte(text)); err != nil || !cmp.Equal(p, test.profile) {
			t.Errorf("%s arrives as %+v, %v", test.profile.Name, p, err)
		}
	}
}
