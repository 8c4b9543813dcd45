// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/distribution/reference"
	dockercommand "github.com/docker/cli/cli/command"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/cli-plugin/internal/conversion"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/location"
	"github.com/manifest-format/manifest-format/cli-plugin/internal/printer"
	"github.com/manifest-format/manifest-format/format"
)

// route is where an image comes from and where it goes.
type route struct {
	source, destination location.Location
	// own says that the destination is named as the source is.
	own bool
}

// transfer brings an image from one place to the other, converted on the way,
// and prints what came of it: all that convert and push do.
func transfer(ctx context.Context, dockerCLI dockercommand.Cli, way route, o convertOptions) error {
	src, root, err := location.OpenImage(ctx, way.source, dockerCLI.In(), o.places)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := o.adapt(ctx, way, src); err != nil {
		return err
	}
	origin, err := location.OriginOf(ctx, way.source, src, root, way.destination)
	if err != nil {
		return err
	}
	if err := way.checkName(origin.Names); err != nil {
		return err
	}
	if o.inferred && !o.print.Quiet {
		printer.Note(dockerCLI, fmt.Sprintf("for %s, whose registry %s is in (--for names another target)", o.profile.Name, way.destination))
	}
	if o.print.Quiet {
		o.progress = printer.ProgressQuiet
	}
	display, err := printer.NewDisplay(dockerCLI.Err(), o.progress)
	if err != nil {
		return err
	}
	o.engine.Progress = display.Update
	o.print.OnStderr = location.IsStream(way.destination) && !o.dryRun
	t := transport{
		route: way, origin: origin, display: display,
		job: conversion.Job{Source: src, Root: root, Profile: o.profile, Options: o.engine, Part: location.HoldsPart(way.source), Unpacked: o.unpacked},
	}
	if push, is := display.(*printer.Push); is && !o.dryRun {
		push.Begin(repositoryIn(way.destination))
	}
	var done printer.Conversion
	if o.dryRun {
		done, err = t.dry(ctx, o)
	} else {
		done, err = t.write(ctx, dockerCLI, o)
	}
	display.Close()
	if err != nil {
		return o.refused(dockerCLI, way.source, root, err)
	}
	return done.Print(dockerCLI, o.print)
}

// refused is the error of a conversion that failed, with what it would have
// lost printed.
func (o *convertOptions) refused(dockerCLI dockercommand.Cli, source location.Location, root ocispec.Descriptor, err error) error {
	var lossy *format.LossError
	if errors.As(err, &lossy) {
		refusal := printer.Refusal{DryRun: o.dryRun, Source: root, Losses: lossy.Losses}
		err = errors.Join(err, refusal.Print(dockerCLI, o.print))
	}
	return explain(source, err)
}

// hexadecimal is what an ID is made of, and what a name may be.
var hexadecimal = regexp.MustCompile(`^[0-9a-f]+$`)

// checkName says that the source was found by the start of its ID, and not by
// a name that it could be pushed under.
func (r route) checkName(names []string) error {
	in, is := r.source.(location.Engine)
	if !is || !r.own || !hexadecimal.MatchString(in.Name) || slices.Contains(names, r.destination.String()) {
		return nil
	}
	return unnamed(in.Name)
}

// adapt makes the options those for the two places: an engine may keep no layer
// compressed, and no index.
func (o *convertOptions) adapt(ctx context.Context, way route, src location.Source) error {
	o.engine.NoReferrers = !location.HoldsReferrers(way.destination)
	if o.profile.Name == "" && location.KeepsUnpacked(src) {
		o.profile = format.ProfileDocker() // as docker push has it
	}
	one, err := location.TakesOne(ctx, way.destination, o.places)
	switch {
	case err != nil:
		return err
	case one && o.engine.Index:
		return fmt.Errorf("%s: this engine's store keeps no index: leave out --index", way.destination)
	case one:
		o.engine.Single, o.notes = true, []format.Note{noManifests}
	case location.KeepsUnpacked(src):
		o.unpacked = true
	}
	return nil
}

// noManifests is said of an engine that an image was written to.
var noManifests = format.Note{
	Rule: "engine-store",
	Text: "this engine's store keeps no manifests: an image gets its format when it is pushed, as manifest-format push does",
}

// transport is one image on its way.
type transport struct {
	route

	origin  location.Origin
	job     conversion.Job
	display printer.Display
}

// dry converts in memory, and looks at the destination without touching it.
func (t transport) dry(ctx context.Context, o convertOptions) (printer.Conversion, error) {
	if err := location.Probe(t.destination, t.origin, o.places); err != nil {
		return printer.Conversion{}, err
	}
	result, err := t.job.Dry(ctx)
	if err != nil {
		return printer.Conversion{}, err
	}
	result.Notes = append(result.Notes, o.notes...)
	return printer.Conversion{Reference: t.destination.Pinned(result.Root.Digest), DryRun: true, Result: result}, nil
}

// write converts and writes.
func (t transport) write(ctx context.Context, dockerCLI dockercommand.Cli, o convertOptions) (printer.Conversion, error) {
	var done printer.Conversion
	dst, err := location.OpenDestination(ctx, t.destination, t.origin, dockerCLI.Out(), o.places)
	if err != nil {
		return done, err
	}
	_, t.job.Ordered = t.destination.(location.Archive)
	push, isPush := t.display.(*printer.Push)
	t.job.Check = func(ctx context.Context, image content.Provider, result *format.Result) error {
		// A template that fails does so before anything is written.
		done = printer.Conversion{Reference: t.destination.Pinned(result.Root.Digest), Result: result}
		if err := done.Try(o.print); err != nil || !isPush {
			return err
		}
		return expect(ctx, push, image, result)
	}
	if o.foreign == foreignFetch {
		t.job.Foreign = o.places.FetchForeign
	}
	if done.Result, err = t.job.Into(ctx, dst); err != nil {
		return done, err
	}
	if isPush {
		push.End(tagOf(t.destination), done.Root)
	}
	done.Notes = append(done.Notes, o.notes...)
	done.Reference, err = location.Reference(ctx, t.destination, dst, done.Root.Digest)
	return done, err
}

// expect shows the layers that are going to be pushed.
func expect(ctx context.Context, push *printer.Push, image content.Provider, result *format.Result) error {
	for node, err := range format.Walk(ctx, image, result.Root) {
		if err != nil {
			return err
		}
		if node.Type.Kind == format.KindLayer {
			push.Expect(node.Path, node.Desc)
		}
	}
	return nil
}

// repositoryIn is the repository of a destination, and tagOf its tag: both are
// empty for what is no registry's.
func repositoryIn(l location.Location) string {
	if at, ok := l.(location.Registry); ok {
		return at.Ref.Name()
	}
	return ""
}

func tagOf(l location.Location) string {
	if at, ok := l.(location.Registry); ok {
		if tagged, ok := at.Ref.(reference.Tagged); ok {
			return tagged.Tag()
		}
	}
	return ""
}
