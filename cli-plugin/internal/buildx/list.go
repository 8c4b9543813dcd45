// SPDX-License-Identifier: Apache-2.0

package buildx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Listed is a builder as `buildx ls` shows it.
type Listed struct {
	Name    string `json:"Name"`
	Driver  string `json:"Driver"`
	Current bool   `json:"Current"`
	// Err is why nothing else is known of it.
	Err   string       `json:"Err"`
	Nodes []ListedNode `json:"Nodes"`
}

// ListedNode is one BuildKit of a builder. Of one that does not run only the
// first three are known.
type ListedNode struct {
	Name     string            `json:"Name"`
	Endpoint string            `json:"Endpoint"`
	Status   string            `json:"Status"`
	Version  string            `json:"Version"`
	Labels   map[string]string `json:"Labels"`
	Err      string            `json:"Err"`
}

// List lists the builders. It starts none.
func (p *Plugin) List(ctx context.Context) ([]Listed, error) {
	out, err := p.Ask(ctx, nil, "ls", "--format", "json")
	if err != nil {
		return nil, err
	}
	var all []Listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var one Listed
		switch err := decoder.Decode(&one); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("buildx ls: %w", err)
		}
		all = append(all, one)
	}
}
