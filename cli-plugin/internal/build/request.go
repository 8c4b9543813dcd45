// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"fmt"
	"slices"

	"github.com/distribution/reference"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/buildx"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/profiles"
	"github.com/manifest-format/manifest-format/format"
)

// The flags that are ours.
const (
	FlagFor          = "for"
	FlagEmit         = "emit"
	FlagAttestations = "attestations"
	FlagOnLoss       = "on-loss"
	FlagFormat       = "format"
)

// OwnFlags are the flags that buildx does not have. Each takes a value.
var OwnFlags = []string{FlagFor, FlagEmit, FlagAttestations, FlagOnLoss, FlagFormat}

// Request is what a command line asks for.
type Request struct {
	// Wanted are the emissions. With none, the build is buildx's alone.
	Wanted []*Wanted
	// Args is the command line for buildx, without what is ours.
	Args buildx.Args
	// Quiet prints the results and nothing else.
	Quiet bool
	// Format is how to print the result.
	Format string

	// rest are outputs that are no images. They are buildx's.
	rest         []buildx.Output
	metadataFile string
	iidFile      string
}

// Wanted is one image that a build is to emit.
type Wanted struct {
	Profile format.Profile
	// Names are what the image is called where it goes, with tags, or without
	// if it is pushed by its digest.
	Names []reference.Named

	kind kind
	// file is where an archive or a layout goes.
	file location.Location
	// context is the docker context of the engine to load it into.
	context string
	options format.Options
	// output is the --output that it comes from, for its attributes.
	output buildx.Output
	// fromEmit says that --emit asks for it, and no --output.
	fromEmit bool
}

// OnStdout reports whether an image, or another output of the build, goes to
// standard output.
func (r *Request) OnStdout() bool {
	return slices.ContainsFunc(r.Wanted, func(w *Wanted) bool { return w.kind == toFile && location.IsStream(w.file) }) ||
		slices.ContainsFunc(r.rest, buildx.Output.OnStdout)
}

// kind is what sort of place an emission goes to.
type kind int

const (
	toRegistry kind = iota
	toEngine        // loaded into it
	toFile          // an archive or a layout
	toStore         // that of the builder, where it has one
)

// Parse reads the command line of `build`. fallback is the profile for -t where
// the command line names none, nil for none.
func Parse(words []string, fallback *format.Profile) (*Request, error) {
	args, err := buildx.Scan(words, OwnFlags...)
	if err != nil {
		return nil, err
	}
	p := parser{args: args, r: &Request{
		Args: args.Without(OwnFlags...), Format: args.Value(FlagFormat),
		metadataFile: args.Value("metadata-file"), iidFile: args.Value("iidfile"),
	}}
	if err := p.parse(fallback); err != nil {
		return nil, err
	}
	return p.r, nil
}

// parser makes a request of a command line.
type parser struct {
	args buildx.Args
	r    *Request

	profile    *format.Profile
	shared     format.Options
	push, load bool
	outputs    []buildx.Output
	names      []reference.Named
}

func (p *parser) parse(fallback *format.Profile) error {
	if err := p.own(fallback); err != nil {
		return err
	}
	emits := p.args.Values(FlagEmit)
	if p.profile == nil && len(emits) == 0 {
		return p.unused()
	}
	if call := p.args.Value("call"); (call != "" && call != "build") || p.args.Value("check") != "" || p.args.Value("print") != "" {
		// Such a build makes no image.
		return nil
	}
	if err := p.buildx(); err != nil {
		return err
	}
	if err := p.tagged(len(emits) > 0); err != nil {
		return err
	}
	for _, text := range emits {
		w, err := parseEmit(text, p.shared)
		if err != nil {
			return fmt.Errorf("--%s %s: %w", FlagEmit, text, err)
		}
		p.r.Wanted = append(p.r.Wanted, w)
	}
	for _, w := range p.r.Wanted {
		if w.kind == toEngine && w.options.Attestations == format.AttestationsReferrers {
			return fmt.Errorf("--%s %s: a docker engine holds no referrers: push the image, or say %s",
				FlagAttestations, format.AttestationsReferrers, format.AttestationsDrop)
		}
	}
	return distinct(p.r.Wanted)
}

// own reads our flags.
func (p *parser) own(fallback *format.Profile) error {
	p.profile = fallback
	if name := p.args.Value(FlagFor); len(p.args.Values(FlagFor)) > 0 {
		profile, err := lookup(name)
		if err != nil {
			return fmt.Errorf("--%s %s: %w", FlagFor, name, err)
		}
		p.profile = &profile
	}
	if err := setAttestations(&p.shared, p.args.Value(FlagAttestations)); err != nil {
		return fmt.Errorf("--%s: %w", FlagAttestations, err)
	}
	if err := setOnLoss(&p.shared, p.args.Value(FlagOnLoss)); err != nil {
		return fmt.Errorf("--%s: %w", FlagOnLoss, err)
	}
	var err error
	p.r.Quiet, err = p.args.Is("quiet")
	return err
}

// unused refuses our flags where there is no profile that they are about.
func (p *parser) unused() error {
	for _, flag := range []string{FlagAttestations, FlagOnLoss, FlagFormat} {
		if len(p.args.Values(flag)) > 0 {
			return fmt.Errorf("--%s is about an image for a profile: add --%s PROFILE or --%s PROFILE=REF", flag, FlagFor, FlagEmit)
		}
	}
	return nil
}

// buildx reads what buildx is asked for.
func (p *parser) buildx() error {
	var err error
	if p.push, err = p.args.Is("push"); err != nil {
		return err
	}
	if p.load, err = p.args.Is("load"); err != nil {
		return err
	}
	for _, text := range p.args.Values("output") {
		o, err := buildx.ParseOutput(text)
		if err != nil {
			return err
		}
		p.outputs = append(p.outputs, o)
	}
	p.names, err = parseNames(p.args.Values("tag"))
	return err
}

// parseNames reads names as docker reads them: app is
// docker.io/library/app:latest.
func parseNames(texts []string) ([]reference.Named, error) {
	var names []reference.Named
	for _, text := range texts {
		named, err := parseName(text)
		if err != nil {
			return nil, err
		}
		names = appendName(names, reference.TagNameOnly(named))
	}
	return names, nil
}

func parseName(text string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return nil, fmt.Errorf("invalid tag %q: %w", text, err)
	}
	if _, ok := named.(reference.Digested); ok {
		return nil, fmt.Errorf("invalid tag %q: the digest comes out of the build", text)
	}
	return named, nil
}

// appendName adds a name that is not there yet.
func appendName(names []reference.Named, name reference.Named) []reference.Named {
	if slices.ContainsFunc(names, func(n reference.Named) bool { return n.String() == name.String() }) {
		return names
	}
	return append(names, name)
}

// distinct refuses two emissions with one destination: the last would win, and
// nobody knows which that is.
func distinct(all []*Wanted) error {
	seen := map[string]bool{}
	for _, w := range all {
		for _, destination := range w.Destinations() {
			if seen[destination] {
				return fmt.Errorf("two emissions go to %s: give each a name of its own", destination)
			}
			seen[destination] = true
		}
	}
	return nil
}

// Destinations are the places that the emission goes to, as a person names
// them.
func (w *Wanted) Destinations() []string {
	if w.kind == toFile {
		return []string{w.file.String()}
	}
	if w.kind == toRegistry {
		return w.names()
	}
	all := []string{}
	for _, name := range w.Names {
		all = append(all, schemeEngine+reference.FamiliarString(name))
	}
	if len(all) == 0 {
		all = append(all, schemeEngine+"<none>")
	}
	return all
}

// schemeEngine stands before what an engine calls an image.
const schemeEngine = "engine://"

// names are the names in full.
func (w *Wanted) names() []string {
	names := []string{}
	for _, name := range w.Names {
		names = append(names, name.String())
	}
	return names
}

// lookup finds a profile: by its name, in a file, or several at once.
func lookup(name string) (format.Profile, error) {
	known, err := profiles.Load(".")
	if err != nil {
		return format.Profile{}, err
	}
	return known.Find(name)
}

var errNoName = errors.New("tag is needed when pushing to registry: add -t NAME")
