// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command bench measures manifest-format beside its peers, on the same images,
// in the same run, before real registries on 127.0.0.1: time, CPU, memory,
// requests, and bytes each way. It prints a table for each shape of work, with
// the goals and whether they are met; docs/performance.md says how to read it.
//
//	bench [-scale 0.05] [-rounds 3] [-shapes REGEXP] [-tools REGEXP]
//
// The programs come from bin, which `make build tools` fills.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// The modes of this program other than to bench: as its first argument.
const (
	modeMeasure = "measure"
	modeLimit   = "limit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case modeMeasure:
			return measure(args[1:])
		case modeLimit:
			return limit(ctx, args[1:])
		}
	}
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	return engines.Main(ctx, o.bench)
}

// options are the command line's.
type options struct {
	scale  float64
	rounds int // 0 for what each shape says
	shapes []shape
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Float64Var(&o.scale, "scale", 1, "size of the layers, as a part of what the goals are about")
	flags.IntVar(&o.rounds, "rounds", 0, "how often each tool does each shape (default: enough for that shape)")
	named := flags.String("shapes", "", "only shapes whose name matches this regular expression")
	used := flags.String("tools", "", "only tools whose name matches this regular expression")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	names, err := regexp.Compile(*named)
	if err != nil {
		return o, err
	}
	tools, err := regexp.Compile(*used)
	if err != nil {
		return o, err
	}
	for _, s := range shapes {
		s.tools = slices.DeleteFunc(slices.Clone(s.tools), func(t tool) bool { return !tools.MatchString(t.name) })
		if names.MatchString(s.name) && len(s.tools) > 0 {
			o.shapes = append(o.shapes, s)
		}
	}
	if flags.NArg() > 0 || o.scale <= 0 || o.rounds < 0 || len(o.shapes) == 0 {
		flags.Usage()
		return o, fmt.Errorf("nothing to measure with %q", args)
	}
	return o, nil
}

// bench measures every shape.
func (o options) bench(tb engines.TB) {
	start := time.Now()
	b := newBench(tb, engines.Binary(tb, ours), o.scale, o.shapes)
	fmt.Fprintf(os.Stderr, "fixtures: %s\n", took(start))
	fmt.Fprintf(os.Stdout, "Measured on %d cores, at scale %g.\n", runtime.NumCPU(), o.scale)
	for _, s := range o.shapes {
		start := time.Now()
		rounds := s.rounds
		if o.rounds > 0 {
			rounds = o.rounds
		}
		results, err := b.measure(tb.Context(), s, rounds)
		if err != nil {
			tb.Fatalf("%s: %v", s.name, err)
		}
		results.print(os.Stdout, s, b.fixture(s).bytes, rounds)
		fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, took(start))
	}
}

// measure runs each tool of a shape once for what it sends and receives, which
// also warms the caches, and then in rounds for its time, each round in
// another order.
func (b *bench) measure(ctx context.Context, s shape, rounds int) (results, error) {
	all := results{}
	for _, t := range s.tools {
		_, sent, output, err := b.once(ctx, s, t, true)
		if err != nil {
			return nil, err
		}
		all[t.name] = &result{traffic: sent, output: output}
	}
	for i := range rounds {
		for j := range s.tools {
			t := s.tools[(i+j)%len(s.tools)]
			c, _, _, err := b.once(ctx, s, t, false)
			if err != nil {
				return nil, err
			}
			all[t.name].costs = append(all[t.name].costs, c)
		}
	}
	return all, nil
}
