// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	dockercommand "github.com/docker/cli/cli/command"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/engine"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/printer"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/profiles"
	"github.com/manifest-format/manifest-format/format"
)

// choice is a flag that takes one of a few words.
type choice[T ~string] struct {
	value *T
	of    []T
}

func (c choice[T]) String() string {
	if c.value == nil {
		return ""
	}
	return string(*c.value)
}

func (c choice[T]) Type() string { return "string" }

func (c choice[T]) Set(s string) error {
	if !slices.Contains(c.of, T(s)) {
		return fmt.Errorf("there is %s", join(c.of, ", "))
	}
	*c.value = T(s)
	return nil
}

// addChoice adds a flag that takes one of the words, and completes to them.
// The flag's value before is its default.
func addChoice[T ~string](cmd *cobra.Command, value *T, name, usage string, of ...T) {
	addCompleted(cmd, choice[T]{value, of}, name, fmt.Sprintf(`%s ("%s")`, usage, join(of, `", "`)), words(of)...)
}

// addCompleted adds a flag that completes to the words given.
func addCompleted(cmd *cobra.Command, value pflag.Value, name, usage string, words ...string) {
	cmd.Flags().Var(value, name, usage)
	if err := cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is there: it was added a line above
	}
}

// profileFlag is a flag that takes a profile: the name of one, a file, or
// several with commas between them. Where it is repeated, all are meant at once.
type profileFlag struct{ profile *format.Profile }

func (f profileFlag) String() string {
	if f.profile == nil {
		return ""
	}
	return f.profile.Name
}

func (f profileFlag) Type() string { return "profile" }

func (f profileFlag) Set(s string) error {
	known, err := profiles.Load(".")
	if err != nil {
		return err
	}
	p, err := known.Find(s)
	if err != nil {
		return err
	}
	if f.profile.Name != "" {
		if p, err = format.CombineProfiles(*f.profile, p); err != nil {
			return err
		}
	}
	*f.profile = p
	return nil
}

// inferProfile returns the profile of the registry that a destination is in.
func inferProfile(destination string) (format.Profile, error) {
	known, err := profiles.Load(".")
	if err != nil {
		return format.Profile{}, err
	}
	place, err := location.Parse(destination)
	if err != nil {
		return format.Profile{}, err
	}
	if at, ok := place.(location.Registry); ok {
		if p, ok := known.ForHost(reference.Domain(at.Ref)); ok {
			return p, nil
		}
	}
	return format.Profile{}, errors.New("say what the image is for: --for oci, --for docker, or one that `manifest-format profiles` lists")
}

// addProfileFlag adds --for.
func addProfileFlag(cmd *cobra.Command, value pflag.Value, usage string) {
	cmd.Flags().Var(value, "for", usage)
	if err := cmd.RegisterFlagCompletionFunc("for", completeProfile); err != nil {
		panic(err) // the flag is there: it was added a line above
	}
}

// profileNames are the names of all profiles, then their aliases; none if one
// cannot be read.
func profileNames() []string {
	known, err := profiles.Load(".")
	if err != nil {
		return nil
	}
	return known.Names()
}

// completeProfile offers the names of profiles, behind a comma too, and files.
func completeProfile(_ *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	before := toComplete[:strings.LastIndex(toComplete, ",")+1]
	known, err := profiles.Load(".")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var offers []string
	for _, p := range known.All() {
		for _, name := range append([]string{p.Name}, p.Aliases...) {
			offers = append(offers, before+name+"\t"+p.Title)
		}
	}
	return offers, cobra.ShellCompDirectiveDefault
}

// platformFlag is a repeatable flag that takes platforms, also several with
// commas between them, as buildx has it.
type platformFlag struct{ list *[]ocispec.Platform }

func (f platformFlag) String() string {
	if f.list == nil {
		return ""
	}
	var names []string
	for _, p := range *f.list {
		names = append(names, platforms.FormatAll(p))
	}
	return strings.Join(names, ",")
}

func (f platformFlag) Type() string { return "platform" }

func (f platformFlag) Set(s string) error {
	for name := range strings.SplitSeq(s, ",") {
		p, err := platforms.Parse(strings.TrimSpace(name))
		if err != nil {
			return fmt.Errorf("not a platform, such as linux/arm64: %q", name)
		}
		*f.list = append(*f.list, p)
	}
	return nil
}

// commonPlatforms are offered by completion; any other is accepted too.
var commonPlatforms = []string{
	"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/ppc64le", "linux/riscv64", "linux/s390x", "windows/amd64",
}

// addPlaceFlags adds the flags on how places are reached.
func addPlaceFlags(set *pflag.FlagSet, options *location.Options) {
	set.StringVar(&options.CAFile, "tls-ca", "", "PEM file of a CA to trust, beside the system's, for registries")
	set.StringVar(&options.ContainerdAddress, "containerd", "", "Socket of containerd, for containerd:// (default $CONTAINERD_ADDRESS, or containerd's own)")
	set.BoolVar(&options.PlainHTTP, "plain-http", false, "Speak to registries without TLS")
}

// reached returns options that have what a registry warns of printed, and that
// know docker's engine. Nothing asks docker for it before an image is there:
// other commands work without docker's contexts in order.
func reached(dockerCLI dockercommand.Cli, options location.Options) location.Options {
	options.Warn = func(text string) { printer.Warning(dockerCLI, text) }
	options.Engine = sync.OnceValues(func() (*engine.Engine, error) { return engine.Open(dockerCLI, "") })
	return options
}

// completeImage offers the schemes and leaves the rest to the person: to list
// a registry's images takes credentials and a network.
func completeImage(n int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var found []string
		for _, scheme := range []string{location.SchemeLayout, location.SchemeArchive, location.SchemeContainerd, location.SchemeEngine} {
			if strings.HasPrefix(scheme, toComplete) {
				found = append(found, scheme)
			}
		}
		return found, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
}

// completePush offers what the engine has, as docker push does, then schemes.
func completePush(dockerCLI dockercommand.Cli) cobra.CompletionFunc {
	schemes := completeImage(1)
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 || strings.Contains(toComplete, "://") {
			return schemes(cmd, args, toComplete)
		}
		e, err := engine.Open(dockerCLI, "")
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names, err := e.All(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var found []string
		for _, name := range names {
			if ref, err := reference.ParseNormalizedNamed(name); err == nil && strings.HasPrefix(reference.FamiliarString(ref), toComplete) {
				found = append(found, reference.FamiliarString(ref))
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

func words[T ~string](of []T) []string {
	list := make([]string, len(of))
	for i, w := range of {
		list[i] = string(w)
	}
	return list
}

func join[T ~string](of []T, between string) string { return strings.Join(words(of), between) }
