// SPDX-License-Identifier: Apache-2.0

package exporter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	cacheconfig "github.com/moby/buildkit/cache/config"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/util/compression"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/emission"
)

// anyName stands for the name that the frontend gave the image.
const anyName = "*"

// spec is what one emission is asked to be.
type spec struct {
	commit  containerimage.ImageCommitOpts
	profile format.Profile
	options format.Options
	// asked is the compression of the attributes, nil for BuildKit's default.
	asked *compression.Config

	name              string // names with commas between them, or anyName
	push              bool
	pushByDigest      bool
	insecure          bool
	unpack            bool
	store             bool
	nameCanonical     bool
	danglingPrefix    string
	danglingEmptyOnly bool
	tar               bool
	meta              map[string][]byte
}

// newSpec reads the attributes of one emission, which checkAttribute has seen.
// It contacts nothing: a slip is told before the build starts.
func newSpec(ctx context.Context, typ string, attrs map[string]string) (*spec, error) {
	s := &spec{store: true, tar: true, meta: map[string][]byte{}}
	s.commit.RefCfg = cacheconfig.RefConfig{Compression: compression.New(compression.Default)}
	// BuildKit's exporters of archives leave out what is for the inside of an
	// image only; a client asks for its provenance in that way.
	s.commit.ForceInlineAttestations = !isArchive(typ)
	rest, err := s.commit.Load(ctx, withoutEmptyBools(attrs))
	if err != nil {
		return nil, err
	}
	if _, ok := attrs[string(exptypes.OptKeyLayerCompression)]; ok {
		asked := s.commit.RefCfg.Compression
		s.asked = &asked
	}
	for key, value := range rest {
		if slices.Contains(clientAttributes, key) {
			continue
		}
		if err := s.set(key, value); err != nil {
			return nil, fmt.Errorf("%s: attribute %s=%q: %w", typ, key, value, err)
		}
	}
	s.name = s.commit.ImageName
	if err := s.chooseProfile(typ, attrs[profileKey(typ)]); err != nil {
		return nil, err
	}
	s.options.NoReferrers = typ == client.ExporterDocker || typ == client.ExporterOCI && !s.tar
	return s, s.validate(typ)
}

// isArchive reports whether a type is exported to the client.
func isArchive(typ string) bool {
	return typ == client.ExporterOCI || typ == client.ExporterDocker
}

// withoutEmptyBools makes "true" of a switch without a value, as BuildKit's
// image exporter takes some of them.
func withoutEmptyBools(attrs map[string]string) map[string]string {
	out := make(map[string]string, len(attrs))
	for key, value := range attrs {
		switch exptypes.ImageExporterOptKey(key) {
		case exptypes.OptKeyOCITypes, exptypes.OptKeyOCIArtifact, exptypes.OptKeyForceInlineAttestations,
			exptypes.OptKeyPreferNondistLayers, exptypes.OptKeyRewriteTimestamp:
			if value == "" {
				value = "true"
			}
		}
		out[key] = value
	}
	return out
}

// set takes one attribute that BuildKit's Load has left.
func (s *spec) set(key, value string) error {
	switches := map[string]*bool{
		string(exptypes.OptKeyPush):              &s.push,
		string(exptypes.OptKeyPushByDigest):      &s.pushByDigest,
		string(exptypes.OptKeyInsecure):          &s.insecure,
		string(exptypes.OptKeyUnpack):            &s.unpack,
		string(exptypes.OptKeyStore):             &s.store,
		string(exptypes.OptKeyNameCanonical):     &s.nameCanonical,
		string(exptypes.OptKeyDanglingEmptyOnly): &s.danglingEmptyOnly,
		keyTar:                                   &s.tar,
		emission.AttrSingle:                      &s.options.Single,
	}
	if target, ok := switches[key]; ok {
		*target = true
		if value == "" {
			return nil
		}
		var err error
		if *target, err = strconv.ParseBool(value); err != nil {
			return errors.New("it is true or false")
		}
		return nil
	}
	switch key {
	case string(exptypes.OptKeyDanglingPrefix):
		s.danglingPrefix = value
	case string(exptypes.OptKeyLayerCompression), string(exptypes.OptKeyForceCompression), string(exptypes.OptKeyCompressionLevel),
		emission.AttrFor, emission.AttrManifestFormat:
		// Read elsewhere.
	case emission.AttrAttestations:
		return oneOf(&s.options.Attestations, value, format.AttestationsKeep, format.AttestationsReferrers, format.AttestationsDrop)
	case emission.AttrOnLoss:
		return oneOf(&s.options.OnLoss, value, format.OnLossWarn, format.OnLossFail)
	case emission.AttrAnnotations:
		return oneOf(&s.options.Annotations, value, format.AnnotationsDrop, format.AnnotationsLabels)
	case emission.AttrPlatform:
		return s.setPlatforms(value)
	default:
		s.meta[key] = []byte(value)
	}
	return nil
}

// oneOf sets target to one of the words.
func oneOf[T ~string](target *T, value string, words ...T) error {
	if value == "" || slices.Contains(words, T(value)) {
		*target = T(value)
		return nil
	}
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	return fmt.Errorf("it is one of %s", strings.Join(list, ", "))
}

// setPlatforms reads platforms with commas between them.
func (s *spec) setPlatforms(value string) error {
	for name := range strings.SplitSeq(value, ",") {
		p, err := platforms.Parse(strings.TrimSpace(name))
		if err != nil {
			return fmt.Errorf("%q is no platform, such as linux/arm64", name)
		}
		s.options.Platforms = append(s.options.Platforms, p)
	}
	return nil
}

// chooseProfile reads the profile, and sets what of BuildKit's own attributes
// says the same. Without a profile they choose it.
func (s *spec) chooseProfile(typ, text string) error {
	docker := s.commit.OCITypes != nil && !*s.commit.OCITypes
	switch {
	case text == "" && docker:
		s.profile = format.ProfileDocker()
	case text == "":
		s.profile = format.ProfileOCI()
	default:
		var err error
		if s.profile, err = parseProfile(text); err != nil {
			return fmt.Errorf("%s: attribute %s: %w", typ, profileKey(typ), err)
		}
		if s.commit.OCITypes != nil && docker != (s.profile.Target(format.OCI) == format.Docker) {
			return fmt.Errorf("%s: %s=%t contradicts %s=%s: leave it out, the profile knows", typ, exptypes.OptKeyOCITypes, !docker, profileKey(typ), s.profile.Name)
		}
	}
	// Committed as OCI, whatever it becomes: the other way refuses attestations,
	// and leaves annotations in documents that have none.
	committed := true
	s.commit.OCITypes = &committed
	s.chooseCompression()
	return nil
}

// parseProfile reads a profile's name, several with commas between them, or the
// profile itself.
func parseProfile(text string) (format.Profile, error) {
	if strings.HasPrefix(text, "{") {
		p, err := format.ParseProfile([]byte(text))
		if err != nil {
			return p, fmt.Errorf("not a profile: %w", err)
		}
		return p, nil
	}
	var all []format.Profile
	for name := range strings.SplitSeq(text, ",") {
		p, ok := format.LookupProfile(name)
		if !ok {
			return p, fmt.Errorf("no such profile, %q: this builder has what `manifest-format profiles` of its version lists", name)
		}
		all = append(all, p)
	}
	return format.CombineProfiles(all...)
}

// chooseCompression has new layers compressed as the profile takes them, if it
// does not take what was asked for.
func (s *spec) chooseCompression() {
	if s.accepts(s.commit.RefCfg.Compression.Type) {
		return
	}
	for _, t := range []compression.Type{compression.Gzip, compression.Zstd, compression.Uncompressed} {
		if s.accepts(t) {
			s.commit.RefCfg.Compression = compression.New(t).SetForce(s.commit.RefCfg.Compression.Force)
			return
		}
	}
}

// accepts reports whether the profile takes layers as BuildKit compresses them.
func (s *spec) accepts(t compression.Type) bool {
	var c format.Compression
	switch t {
	case compression.Uncompressed:
		c = format.Uncompressed
	case compression.Zstd:
		c = format.Zstd
	default: // eStargz is gzip to whoever does not know it
		c = format.Gzip
	}
	return s.profile.Accepts(s.profile.Target(format.OCI), c)
}

// validate refuses what contradicts itself.
func (s *spec) validate(typ string) error {
	if s.pushByDigest && !s.push {
		return fmt.Errorf("%s: %s needs %s=true", typ, exptypes.OptKeyPushByDigest, exptypes.OptKeyPush)
	}
	if isArchive(typ) && s.push {
		return fmt.Errorf("%s: an archive is not pushed: use type=%s or type=%s", typ, client.ExporterImage, emission.ExporterType)
	}
	if s.name == "" {
		if s.push && s.danglingPrefix == "" {
			return fmt.Errorf("%s: %s=true needs %s=REFERENCE", typ, exptypes.OptKeyPush, exptypes.OptKeyName)
		}
		return nil
	}
	if s.name == anyName {
		return nil
	}
	for name := range strings.SplitSeq(s.name, ",") {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return fmt.Errorf("%s: %s=%q: %w", typ, exptypes.OptKeyName, name, err)
		}
		if s.pushByDigest && !reference.IsNameOnly(named) {
			return fmt.Errorf("%s: %s=%q has a tag, and %s pushes none", typ, exptypes.OptKeyName, name, exptypes.OptKeyPushByDigest)
		}
	}
	return nil
}

// disjoint refuses two emissions under one name: the last to be pushed would
// win, and nobody knows which that is.
func disjoint(typ string, specs []*spec) error {
	owner := map[string]*spec{}
	for _, s := range specs {
		if s.name == "" || s.name == anyName || s.pushByDigest {
			continue
		}
		for name := range strings.SplitSeq(s.name, ",") {
			named, err := reference.ParseNormalizedNamed(name)
			if err != nil {
				return fmt.Errorf("%s: %s=%q: %w", typ, exptypes.OptKeyName, name, err)
			}
			full := reference.TagNameOnly(named).String()
			if other := owner[full]; other != nil && other != s {
				return fmt.Errorf("%s: two emissions have the name %s", typ, full)
			}
			owner[full] = s
		}
	}
	return nil
}
