// SPDX-License-Identifier: Apache-2.0

// Command reference writes docs/reference: a page for each command of
// manifest-format with what its --help says, so that the two cannot differ.
// Run it in the repository's folder, as `make docs` does.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "reference: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	generated, err := pages(ctx, ".")
	if err != nil {
		return err
	}
	folder := filepath.Join("docs", "reference")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	written, err := filepath.Glob(filepath.Join(folder, "*.md"))
	if err != nil {
		return err
	}
	// Pages of commands that are no more.
	for _, path := range written {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(generated)) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(generated[name]), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pages makes the pages of docs/reference, by file name, from the sources in root.
func pages(ctx context.Context, root string) (_ map[string]string, err error) {
	dir, err := os.MkdirTemp("", "manifest-format-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program := filepath.Join(dir, "manifest-format")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cli-plugin")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build manifest-format: %w\n%s", err, output)
	}
	generated := map[string]string{}
	return generated, describe(ctx, program, nil, generated)
}

var (
	commandList = regexp.MustCompile(`(?m)^(?:Management )?Commands:\n((?:  .*\n)+)`)
	commandLine = regexp.MustCompile(`(?m)^  ([a-z-]+)  +(.*)$`)
)

// describe adds the page of the command that path names, and of those below it.
func describe(ctx context.Context, program string, path []string, generated map[string]string) error {
	help := exec.CommandContext(ctx, program, append(slices.Clone(path), "--help")...)
	// A default that names the home folder must not name that of whoever runs this.
	help.Env = []string{"HOME=~"}
	var stderr bytes.Buffer
	help.Stderr = &stderr
	out, err := help.Output()
	if err != nil {
		return fmt.Errorf("%s --help: %w\n%s", strings.Join(path, " "), err, stderr.Bytes())
	}
	var page strings.Builder
	fmt.Fprintf(&page, "# %s\n\n", strings.Join(append([]string{"manifest-format"}, path...), " "))
	fmt.Fprintf(&page, "<!-- written by `make docs` -->\n\n```text\n%s\n```\n", strings.TrimRight(string(out), "\n"))
	if bytes.Contains(out, []byte(`"json"`)) {
		page.WriteString("\nThe fields of the JSON: [json.md](../json.md).\n")
	}
	var commands []byte
	for _, list := range commandList.FindAllSubmatch(out, -1) {
		commands = append(commands, list[1]...)
	}
	if commands != nil {
		page.WriteString("\n")
	}
	for _, match := range commandLine.FindAllSubmatch(commands, -1) {
		below := append(slices.Clone(path), string(match[1]))
		fmt.Fprintf(&page, "- [%s](%s): %s\n", strings.Join(below, " "), fileName(below), match[2])
		if err := describe(ctx, program, below, generated); err != nil {
			return err
		}
	}
	generated[fileName(path)] = page.String()
	return nil
}

func fileName(path []string) string {
	if len(path) == 0 {
		return "README.md"
	}
	return strings.Join(path, "-") + ".md"
}
