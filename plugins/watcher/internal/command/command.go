// SPDX-License-Identifier: Apache-2.0

// Package command is the command line of manifest-format-watcher.
package command

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/log"

	"github.com/manifest-format/manifest-format/plugins/watcher/internal/config"
	"github.com/manifest-format/manifest-format/plugins/watcher/internal/metrics"
	"github.com/manifest-format/manifest-format/plugins/watcher/internal/watch"
)

const programName = "manifest-format-watcher"

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 125 // docker's own, for bad flags
	exitInterrupted = 130 // 128 + SIGINT, of --once
)

// stopLimit is what a containerd that does not answer gets when the watcher is
// told to end.
const stopLimit = 8 * time.Second

// Main runs the program with its arguments and returns its exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal the next one has its usual effect: it kills.
	context.AfterFunc(ctx, stop)

	f, err := parseFlags(args)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "%s: %v; --help lists the flags\n", programName, err)
		return exitUsage
	case f.help:
		fmt.Fprintf(stdout, "%s\nUsage: %s [flags]\n\n%s", about, programName, f.usage)
		return exitDone
	case f.version:
		fmt.Fprintf(stdout, "%s %s\n", programName, version())
		return exitDone
	}
	c, err := config.Read(f.config)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %s\n", programName, oneLine(err))
		return exitFailed
	}
	if f.check {
		fmt.Fprintf(stdout, "%s: fine: %d rules, for the namespaces %s\n", f.config, len(c.Rules), strings.Join(c.Namespaces, ", "))
		return exitDone
	}
	return run(ctx, f, c, stderr)
}

// run watches, or looks once.
func run(ctx context.Context, f flags, c *config.Config, stderr io.Writer) int {
	logger := f.logger(stderr)
	quietClient()
	m := metrics.New(version())
	w := watch.New(watch.Options{Address: f.address, Config: c, Log: logger, Metrics: m})
	if f.once {
		return runOnce(ctx, w, logger)
	}
	if f.metrics != metricsOff {
		server, err := metrics.Listen(ctx, f.metrics, f.metricsPublic)
		if err != nil {
			fmt.Fprintf(stderr, "%s: metrics: %v\n", programName, err)
			return exitFailed
		}
		logger.Info("serving /metrics, /healthz and /readyz", "address", server.Addr())
		go func() {
			if err := server.Serve(ctx, m, w.Ready); err != nil {
				logger.Error("metrics are not served any more", "error", err)
			}
		}()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx)
	}()
	<-ctx.Done()
	select {
	case <-ended:
		logger.Info("ended, with no lease left")
		return exitDone
	case <-time.After(stopLimit):
		logger.Error("containerd does not answer: ending all the same; the next start deletes what leases are left")
		return exitFailed
	}
}

func runOnce(ctx context.Context, w *watch.Watcher, logger *slog.Logger) int {
	err := w.Once(ctx)
	switch {
	case ctx.Err() != nil:
		logger.Error("interrupted")
		return exitInterrupted
	case err != nil:
		logger.Error(err.Error())
		return exitFailed
	}
	return exitDone
}

// quietClient silences containerd's client, which logs what it returns too.
func quietClient() { log.L.Logger.SetOutput(io.Discard) }

// oneLine is an error's text without line breaks: it may be out of a file.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// version is what the Go toolchain stamped into the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
