// SPDX-License-Identifier: Apache-2.0

package buildx

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
)

// DriverDocker is the driver of the builder that is in the engine itself.
const DriverDocker = "docker"

// Builder is a builder as `buildx inspect` shows it.
type Builder struct {
	Name, Driver string
	Nodes        []Node
}

// Node is one BuildKit of a builder.
type Node struct {
	Name, Endpoint string
	// Error is why nothing else is known of it.
	Error string
	// Labels are its default worker's.
	Labels map[string]string
}

// Has reports whether every node has a label, whatever its value.
func (b *Builder) Has(label string) bool {
	for _, node := range b.Nodes {
		if _, ok := node.Labels[label]; !ok {
			return false
		}
	}
	return len(b.Nodes) > 0
}

// labelSnapshotter is on every worker but that of an engine with its own image
// store. buildx looks for it too.
const labelSnapshotter = "org.mobyproject.buildkit.worker.snapshotter"

// ExportsOCI reports whether every node can export an OCI layout: an engine
// with its own image store cannot.
func (b *Builder) ExportsOCI() bool { return b.Driver != DriverDocker || b.Has(labelSnapshotter) }

// Inspect starts a builder if it does not run and says what it is. An empty
// name is the builder that buildx would use.
func (p *Plugin) Inspect(ctx context.Context, progress io.Writer, name string) (*Builder, error) {
	args := []string{"inspect", "--bootstrap"}
	if name != "" {
		args = append(args, name)
	}
	out, err := p.Ask(ctx, progress, args...)
	if err != nil {
		return nil, err
	}
	b, err := parseBuilder(out)
	if err != nil {
		return nil, err
	}
	for _, node := range b.Nodes {
		if node.Error != "" {
			return nil, fmt.Errorf("builder %s: %s: %s", b.Name, node.Name, node.Error)
		}
	}
	return b, nil
}

// parseBuilder reads what `buildx inspect` prints: fields, then those of each
// node after an empty line, each beginning with its name, and lists of a node
// with a heading and indented.
func parseBuilder(out []byte) (*Builder, error) {
	b := &Builder{}
	var list map[string]string
	inNodes := false
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			if list != nil {
				list[key] = value
			}
			continue
		}
		list = nil
		switch {
		case line == "Nodes:":
			inNodes = true
		case !inNodes:
			b.set(key, value)
		case key == "Name":
			b.Nodes = append(b.Nodes, Node{Name: value, Labels: map[string]string{}})
		case len(b.Nodes) > 0:
			list = b.Nodes[len(b.Nodes)-1].set(key, value)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("buildx inspect: %w", err)
	}
	if b.Name == "" {
		return nil, fmt.Errorf("buildx inspect named no builder: %q", out)
	}
	return b, nil
}

func (b *Builder) set(key, value string) {
	switch key {
	case "Name":
		b.Name = value
	case "Driver":
		b.Driver = value
	case "Error":
		b.Nodes = append(b.Nodes, Node{Name: b.Name, Error: value})
	}
}

// set takes a field of a node. If it is the heading of a list it returns the
// map that the list goes into.
func (n *Node) set(key, value string) map[string]string {
	switch key {
	case "Endpoint":
		n.Endpoint = value
	case "Error":
		n.Error = value
	case "Labels":
		return n.Labels
	}
	return nil
}
