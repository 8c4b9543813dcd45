// SPDX-License-Identifier: Apache-2.0

package printer

import "github.com/docker/cli/cli/command"

// Builder is a builder of buildx.
type Builder struct {
	Name, Driver string
	// Current says that builds use it.
	Current bool
	// Problem is why something is not known.
	Problem string
	Nodes   []Node
}

// Node is one BuildKit of a builder.
type Node struct {
	Endpoint, Status, Version string
	// Known says that it was asked for the exporter, Exporter its answer.
	Known, Exporter bool
}

// Builders writes a table of builders to standard output, and what is wrong
// with them to standard error.
func Builders(streams command.Streams, builders []Builder) {
	style := styleOf(streams.Out())
	var rows table
	rows.add(style.faint("NAME"), style.faint("DRIVER"), style.faint("ENDPOINT"), style.faint("STATUS"), style.faint("BUILDKIT"), style.faint("EXPORTER"))
	for _, b := range builders {
		name := printable(b.Name)
		if b.Current {
			name += "*"
		}
		for i, node := range b.Nodes {
			driver := or(b.Driver, printable(b.Driver))
			if i > 0 {
				name, driver = "", ""
			}
			rows.add(name, driver, or(node.Endpoint, printable(node.Endpoint)), or(node.Status, printable(node.Status)),
				or(node.Version, printable(node.Version)), node.exporter())
		}
	}
	rows.write(streams.Out(), "")
	for _, b := range builders {
		if b.Problem != "" {
			Warning(streams, "builder "+b.Name+": "+Line(b.Problem))
		}
	}
}

func (n Node) exporter() string {
	switch {
	case !n.Known:
		return "-"
	case n.Exporter:
		return "yes"
	}
	return "no"
}
