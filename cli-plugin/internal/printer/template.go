// SPDX-License-Identifier: Apache-2.0

package printer

import (
	"bytes"
	"fmt"
	"io"
	"text/template"

	"github.com/docker/cli/cli/command/formatter"
	"github.com/docker/cli/templates"
)

// ValidTemplate returns what is wrong with the value of a --format flag:
// empty, "json", or a Go template with docker's functions.
func ValidTemplate(format string) error {
	_, err := parseTemplate(format)
	return err
}

func parseTemplate(format string) (*template.Template, error) {
	if format == formatter.JSONFormatKey {
		format = formatter.JSONFormat
	}
	tmpl, err := templates.Parse(format)
	if err != nil {
		return nil, fmt.Errorf("--format: %w", err)
	}
	return tmpl, nil
}

// printTemplate writes v through the template that format is, and a newline,
// as docker does.
func printTemplate(out io.Writer, format string, v any) error {
	tmpl, err := parseTemplate(format)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := tmpl.Execute(&text, v); err != nil {
		return fmt.Errorf("--format: %w", err)
	}
	text.WriteByte('\n')
	_, err = text.WriteTo(out)
	return err
}
