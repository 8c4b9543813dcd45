// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/manifest-format/manifest-format/plugins/watcher/internal/config"
)

const about = `Converts the images of a containerd as they arrive, by the rules in a file.
`

const (
	defaultAddress = "/run/containerd/containerd.sock"
	defaultMetrics = "127.0.0.1:9653"
	// metricsOff is the address that serves nothing.
	metricsOff = "off"
)

// flags are the command line.
type flags struct {
	address, config string
	metrics         string
	metricsPublic   bool
	logFormat       string
	logLevel        slog.Level
	once, check     bool
	help, version   bool
	usage           string
}

func parseFlags(args []string) (flags, error) {
	f := flags{config: os.Getenv(config.FileVariable)}
	if f.config == "" {
		f.config = config.DefaultFile
	}
	set := pflag.NewFlagSet(programName, pflag.ContinueOnError)
	set.SetOutput(io.Discard) // what is wrong is in the error
	set.Usage = func() {}
	set.SortFlags = false
	set.StringVar(&f.address, "address", defaultAddress, "`path` of containerd's socket")
	set.StringVar(&f.config, "config", f.config, "`file` with the rules; "+config.FileVariable+" names another default")
	set.BoolVar(&f.check, "check", false, "read the file, say whether it is right, and end")
	set.BoolVar(&f.once, "once", false, "convert what is there and end; the exit code says whether all could be")
	set.StringVar(&f.metrics, "metrics", defaultMetrics, "`address` of /metrics, /healthz and /readyz, or off")
	set.BoolVar(&f.metricsPublic, "metrics-public", false, "allow an address for --metrics that other machines reach")
	set.StringVar(&f.logFormat, "log-format", "text", "`text` or json")
	set.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "`debug`, info, warn or error")
	set.BoolVarP(&f.help, "help", "h", false, "print this")
	set.BoolVar(&f.version, "version", false, "print the version")
	f.usage = "Flags:\n" + strings.TrimRight(set.FlagUsages(), "\n") + "\n"
	if err := set.Parse(args); err != nil {
		return f, err
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("%q is no flag, and there is nothing else to say", set.Arg(0))
	}
	if f.logFormat != "text" && f.logFormat != "json" {
		return f, fmt.Errorf("--log-format is text or json, not %q", f.logFormat)
	}
	if f.once && (set.Changed("metrics") || set.Changed("metrics-public")) {
		return f, fmt.Errorf("--once ends, and serves no metrics: leave --metrics out")
	}
	return f, nil
}

// logger writes what happens.
func (f flags) logger(out io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: f.logLevel}
	if f.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, o))
	}
	return slog.New(slog.NewTextHandler(out, o))
}
