// SPDX-License-Identifier: Apache-2.0

package buildx

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The types of outputs of BuildKit that are images.
const (
	TypeImage    = "image"
	TypeRegistry = "registry"
	TypeOCI      = "oci"
	TypeDocker   = "docker"
)

// Output is what a build's --output says, or is to say. Its keys are BuildKit's,
// in lower case.
type Output struct {
	Type string
	// Dest is a file or a directory; "-" is standard output.
	Dest  string
	Attrs []Attribute
}

// Attribute is one key of an output with its value.
type Attribute struct{ Key, Value string }

// stdout is the destination that is standard output.
const stdout = "-"

// ParseOutput reads the value of --output. As buildx has it, one word without
// an attribute is a directory, or "-", a tar on standard output.
func ParseOutput(s string) (Output, error) {
	fields, err := ParseFields(s)
	if err != nil {
		return Output{}, fmt.Errorf("--output %s: %w", s, err)
	}
	if len(fields) == 1 && fields[0].Value == "" && !strings.Contains(s, "=") {
		if s == stdout {
			return Output{Type: "tar", Dest: stdout}, nil
		}
		return Output{Type: "local", Dest: s}, nil
	}
	var o Output
	for _, field := range fields {
		field.Key = strings.ToLower(strings.TrimSpace(field.Key))
		switch field.Key {
		case "type":
			o.Type = field.Value
		case "dest":
			o.Dest = field.Value
		default:
			o.Attrs = append(o.Attrs, field)
		}
	}
	if o.Type == "" {
		return Output{}, fmt.Errorf("--output %s: it has no type", s)
	}
	return o, nil
}

// ParseFields reads key=value pairs with commas between them. A pair with
// commas in it stands in quotes.
func ParseFields(s string) ([]Attribute, error) {
	r := csv.NewReader(strings.NewReader(s))
	record, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("not key=value pairs with commas between them: %w", err)
	}
	var fields []Attribute
	for _, field := range record {
		key, value, _ := strings.Cut(field, "=")
		fields = append(fields, Attribute{key, value})
	}
	return fields, nil
}

// String is the output as --output takes it.
func (o Output) String() string {
	record := []string{"type=" + o.Type}
	if o.Dest != "" {
		record = append(record, "dest="+o.Dest)
	}
	for _, a := range o.Attrs {
		record = append(record, a.Key+"="+a.Value)
	}
	var b strings.Builder
	w := csv.NewWriter(&b)
	if err := w.Write(record); err != nil {
		panic(err) // a strings.Builder takes everything
	}
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// Get is the value of an attribute.
func (o Output) Get(key string) string {
	for _, a := range o.Attrs {
		if a.Key == key {
			return a.Value
		}
	}
	return ""
}

// Is reports whether an attribute is there and not false.
func (o Output) Is(key string) bool {
	for _, a := range o.Attrs {
		if a.Key == key {
			on, err := strconv.ParseBool(a.Value)
			return on || err != nil
		}
	}
	return false
}

// With returns the output with an attribute set.
func (o Output) With(key, value string) Output {
	o = o.Without(key)
	o.Attrs = append(o.Attrs, Attribute{key, value})
	return o
}

// Without returns the output without some attributes.
func (o Output) Without(keys ...string) Output {
	o.Attrs = slices.DeleteFunc(slices.Clone(o.Attrs), func(a Attribute) bool { return slices.Contains(keys, a.Key) })
	return o
}

// IsDirectory reports whether an output of type oci or docker is a directory.
func (o Output) IsDirectory() bool {
	for _, a := range o.Attrs {
		if a.Key == "tar" {
			tar, err := strconv.ParseBool(a.Value)
			return err == nil && !tar
		}
	}
	return false
}

// OnStdout reports whether the output is written to standard output.
func (o Output) OnStdout() bool {
	switch o.Type {
	case TypeOCI:
		return !o.IsDirectory() && (o.Dest == "" || o.Dest == stdout)
	case "tar":
		return o.Dest == "" || o.Dest == stdout
	case TypeDocker:
		return o.Dest == stdout
	}
	return false
}
