// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"

	"github.com/manifest-format/manifest-format/integration/engines"
)

// shape is a piece of work that every tool does.
type shape struct {
	name, title string
	// rounds is how often each tool does it, unless the command line says.
	rounds int
	tools  []tool
	// reference is the tool that the others are compared with.
	reference string
	// place makes a place for one run and says where it reads and writes.
	place func(b *bench, tb engines.TB, w *wire, t tool) (src, dst string)
	goals []goal
}

// goal is what the issues ask for.
type goal struct {
	text   string
	most   float64
	strict bool // less than most, not equal to it
	value  func(r results) (float64, bool)
}

// met reports whether a value reaches the goal.
func (g goal) met(value float64) bool {
	return value < g.most || value == g.most && !g.strict
}

// layerBytes is less than any layer and more than all documents of the shapes.
const layerBytes = 64 << 10

var shapes = []shape{
	{
		name: "in-place", title: "In place: OCI to Docker V2.2 in one repository, 4 platforms, %s of layers",
		rounds: 21, reference: regctl.name, place: (*bench).inPlace,
		tools: []tool{manifestFormat, theLimit, regctl, skopeo, orasCopy, craneCopy},
		goals: []goal{atMostRequests(12), noLayers, underTimeOf(regctl.name, 0.6)},
	},
	{
		name: "mounts", title: "To another repository of the registry: 4 platforms, %s of layers",
		rounds: 11, reference: regctl.name, place: (*bench).otherRepository,
		tools: []tool{manifestFormat, theLimit, regctl, skopeo, orasCopy, craneCopy, imagetools},
		goals: []goal{atMostRequests(60), noLayers, underTimeOf(regctl.name, 0.6)},
	},
	{
		name: "registries", title: "From registry to registry: 4 platforms, %s of layers",
		rounds: 7, reference: orasTen, place: (*bench).otherRegistry,
		tools: []tool{manifestFormat, theLimit, regctl, skopeo, orasCopy, craneCopy, imagetools},
		goals: []goal{atMostTimeOf(orasTen, 1)},
	},
	{
		name: "zstd", title: "From zstd to gzip, registry to registry: one layer, %s of zstd",
		rounds: 3, reference: skopeoGzip.name, place: (*bench).recompressed,
		tools: []tool{manifestFormat, theLimit, skopeoGzip, regctlGzip},
		goals: []goal{atMostTimeOf(skopeoGzip.name, 1), {
			text: "output ÷ skopeo's", most: 1,
			value: func(r results) (float64, bool) {
				mine, theirs := r[ours], r[skopeoGzip.name]
				if mine == nil || theirs == nil {
					return 0, false
				}
				return float64(mine.output) / float64(theirs.output), true
			},
		}},
	},
	{
		name: "start-up", title: "Start-up: a small image of 2 platforms, %s of layers",
		rounds: 21, reference: "crane manifest", place: (*bench).small,
		tools: readers,
		goals: []goal{{
			text: "CPU ms of inspect and convert --dry-run together", most: 60, strict: true,
			value: func(r results) (float64, bool) {
				first, second := r[inspecting], r[dryRunning]
				if first == nil || second == nil {
					return 0, false
				}
				return 1000 * (first.median(cpuOf) + second.median(cpuOf)), true
			},
		}},
	},
	{
		name: building, title: "Export of a build that is done: one platform, %s of layers",
		rounds: 15, reference: stockExporter, place: (*bench).built,
		tools: exports, goals: buildGoals,
	},
	{
		name: converting, title: "Inside a containerd: Docker V2.2 to OCI, 4 platforms, %s of layers",
		rounds: 11, reference: ctrConvert, place: (*bench).held,
		tools: converters, goals: []goal{atMostTimeOf(ctrConvert, 1.25)},
	},
}

func atMostRequests(n float64) goal {
	return goal{text: "requests", most: n, value: func(r results) (float64, bool) {
		if r[ours] == nil {
			return 0, false
		}
		return float64(r[ours].traffic.Requests), true
	}}
}

var noLayers = goal{
	text: "kB up and down together, so no layer byte", most: layerBytes / 1000, strict: true,
	value: func(r results) (float64, bool) {
		if r[ours] == nil {
			return 0, false
		}
		return float64(r[ours].traffic.Up+r[ours].traffic.Down) / 1000, true
	},
}

func underTimeOf(peer string, ratio float64) goal {
	g := atMostTimeOf(peer, ratio)
	g.strict = true
	return g
}

func atMostTimeOf(peer string, ratio float64) goal {
	return goal{text: "time ÷ " + peer, most: ratio, value: func(r results) (float64, bool) {
		return r.ratio(ours, peer)
	}}
}

// inPlace gives each run a repository of its own, with the blobs in it.
func (b *bench) inPlace(tb engines.TB, w *wire, t tool) (src, dst string) {
	repo, err := b.image.linkInto(tb.Context(), b.fresh("in-place"))
	if err != nil {
		tb.Fatalf("%v", err)
	}
	src = repo.at(b.via(tb, w, b.source.Addr), fixtureTag)
	if t.outcome == isCopy {
		return src, repo.at(hostOf(src), "copy")
	}
	return src, src
}

// otherRepository gives each run a repository that is not there yet.
func (b *bench) otherRepository(tb engines.TB, w *wire, _ tool) (src, dst string) {
	host := b.via(tb, w, b.source.Addr)
	return b.image.repo.at(host, fixtureTag), host + "/" + b.fresh("mounts") + ":new"
}

// otherRegistry gives each run a registry with nothing in it.
func (b *bench) otherRegistry(tb engines.TB, w *wire, _ tool) (src, dst string) {
	return b.between(tb, w, b.image)
}

// recompressed is otherRegistry for the image in zstd.
func (b *bench) recompressed(tb engines.TB, w *wire, _ tool) (src, dst string) {
	return b.between(tb, w, b.zstd)
}

func (b *bench) between(tb engines.TB, w *wire, m *image) (src, dst string) {
	empty := engines.StartRegistry(tb, engines.RegistryOptions{})
	return m.repo.at(b.via(tb, w, b.source.Addr), fixtureTag), b.via(tb, w, empty.Addr) + "/bench/new:new"
}

// small is for tools that write nothing.
func (b *bench) small(tb engines.TB, w *wire, _ tool) (src, dst string) {
	src = b.tiny.repo.at(b.via(tb, w, b.source.Addr), fixtureTag)
	return src, src
}

// via is the address at which a run reaches a registry: through a counting
// proxy, or directly if w is nil.
func (b *bench) via(tb engines.TB, w *wire, addr string) string {
	if w == nil {
		return addr
	}
	return w.proxy(tb, addr)
}

// fresh is the name of a repository that is not there yet.
func (b *bench) fresh(name string) string {
	b.count++
	return fmt.Sprintf("bench/%s-%d", name, b.count)
}
