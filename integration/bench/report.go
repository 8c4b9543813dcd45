// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// result is what one tool took for one shape.
type result struct {
	costs   []cost // one per round
	traffic traffic
	output  int64 // bytes of the layers at the destination
}

// results are those of a shape, by the tool's name.
type results map[string]*result

func wallOf(c cost) float64 { return c.Wall.Seconds() }
func cpuOf(c cost) float64  { return c.CPU.Seconds() }
func rssOf(c cost) float64  { return float64(c.RSS) }

func (r *result) median(of func(cost) float64) float64 {
	var values []float64
	for _, c := range r.costs {
		values = append(values, of(c))
	}
	return median(values)
}

// median is of at least one value.
func median(values []float64) float64 {
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

// ratio compares the times of two tools: the median of the ratios of each
// round, in which both found the machine alike.
func (r results) ratio(name, to string) (float64, bool) {
	a, b := r[name], r[to]
	if a == nil || b == nil {
		return 0, false
	}
	var ratios []float64
	for i := range min(len(a.costs), len(b.costs)) {
		ratios = append(ratios, wallOf(a.costs[i])/wallOf(b.costs[i]))
	}
	return median(ratios), true
}

// fastest is the time of the best round.
func (r *result) fastest() float64 {
	return wallOf(slices.MinFunc(r.costs, func(a, b cost) int { return int(a.Wall - b.Wall) }))
}

// print writes a shape's table, in Markdown, and what became of its goals.
func (r results) print(w io.Writer, s shape, size int64, rounds int) {
	fmt.Fprintf(w, "\n### "+s.title+"\n\n", megabytes(size))
	fmt.Fprintf(w, "Medians of %d rounds. The ratio is that of the times, to %s.\n\n", rounds, s.reference)
	fmt.Fprintln(w, "| tool | ratio | wall s | best s | CPU s | peak RSS | requests | up | down |")
	fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, t := range s.tools {
		one := r[t.name]
		if one == nil {
			continue
		}
		ratio := "–"
		if value, ok := r.ratio(t.name, s.reference); ok {
			ratio = fmt.Sprintf("%.2f", value)
		}
		fmt.Fprintf(w, "| %s | %s | %.3f | %.3f | %.3f | %s | %d | %s | %s |\n", t.name, ratio,
			one.median(wallOf), one.fastest(), one.median(cpuOf), megabytes(int64(one.median(rssOf))),
			one.traffic.Requests, megabytes(one.traffic.Up), megabytes(one.traffic.Down))
	}
	fmt.Fprintln(w)
	for _, g := range s.goals {
		value, ok := g.value(r)
		if !ok {
			continue
		}
		bound, verdict := "at most", "met"
		if g.strict {
			bound = "under"
		}
		if !g.met(value) {
			verdict = "missed"
		}
		fmt.Fprintf(w, "- %s: %.4g, goal %s %.4g: **%s**\n", g.text, value, bound, g.most, verdict)
	}
}

// megabytes says a number of bytes for a person.
func megabytes[T int64 | uint64](n T) string {
	switch {
	case n >= 100e6:
		return fmt.Sprintf("%.0f MB", float64(n)/1e6)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f kB", float64(n)/1e3)
}

// took says how long something took, for a person who waits.
func took(since time.Time) string { return time.Since(since).Round(10 * time.Millisecond).String() }
