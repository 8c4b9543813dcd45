// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// cost is what one run of a program took.
type cost struct {
	Wall time.Duration
	CPU  time.Duration // user and system, of the program and its children
	RSS  int64         // bytes of memory at its peak
}

// command is a program with its arguments.
type command struct {
	path string
	args []string
}

func (c command) String() string {
	return filepath.Base(c.path) + " " + strings.Join(c.args, " ")
}

// run runs a program and returns what it cost. It does so through this program
// in the mode measure: the peak that the kernel reports for a child is at least
// that of whoever started it, and this process is large.
func (c command) run(ctx context.Context, dir string, env []string) (cost, error) {
	self, err := os.Executable()
	if err != nil {
		return cost{}, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return cost{}, err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, self, append([]string{modeMeasure, c.path}, c.args...)...)
	cmd.Dir, cmd.Env = dir, env
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	cmd.ExtraFiles = []*os.File{in}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err = cmd.Run()
	in.Close()
	if err != nil {
		return cost{}, fmt.Errorf("%s: %w\n%s", c, err, bytes.TrimSpace(text.Bytes()))
	}
	var result cost
	if err := json.NewDecoder(out).Decode(&result); err != nil {
		return cost{}, fmt.Errorf("%s: what it cost: %w", c, err)
	}
	return result, nil
}

// measure is the mode measure: it runs args and writes a cost to file 3.
func measure(args []string) error {
	report := os.NewFile(3, "report")
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // ended by Pdeathsig
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return err
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("the system does not say what a program used")
	}
	return json.NewEncoder(report).Encode(cost{
		Wall: wall,
		CPU:  cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
		RSS:  usage.Maxrss << 10,
	})
}
