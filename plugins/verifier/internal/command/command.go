// SPDX-License-Identifier: Apache-2.0

// Package command is the verifier's command line: containerd's contract with
// the programs in its bin_dir, and a way to try a policy without containerd.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/containerd/log"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/plugins/verifier/internal/judge"
	"github.com/manifest-format/manifest-format/plugins/verifier/internal/policy"
)

const usage = `Usage: manifest-format-verifier --test IMAGE [--policy FILE]

containerd runs this program before it pulls an image, when it is in the bin_dir
of the plugin io.containerd.image-verifier.v1.bindir. It allows the image (exit
code 0), or says in one line why not (exit code 1), by the policy in
` + policy.DefaultFile + `, or in the file that ` + policy.Variable + ` names.

  --test IMAGE    say what the policy says of an image of a registry, without containerd
  --policy FILE   another policy
  --version       print the version
  --help          print this

What containerd runs:
  manifest-format-verifier -name IMAGE -digest DIGEST \
    -stdin-media-type ` + ocispec.MediaTypeDescriptor + ` < DESCRIPTOR
`

// The exit codes. containerd takes every other for a refusal, too.
const (
	allowed = 0
	refused = 1
)

// maxDescriptor is more than any descriptor has.
const maxDescriptor = 1 << 20

// grace is how long something may take that was told to stop.
const grace = 100 * time.Millisecond

// flags are the command line.
type flags struct {
	name, digest, mediaType string
	test, policy            string
	version                 bool
}

// Main runs the verifier with the arguments behind its name, and returns its
// exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	start := time.Now()
	var f flags
	set := flag.NewFlagSet("manifest-format-verifier", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&f.name, "name", "", "")
	set.StringVar(&f.digest, "digest", "", "")
	set.StringVar(&f.mediaType, "stdin-media-type", ocispec.MediaTypeDescriptor, "")
	set.StringVar(&f.test, "test", "", "")
	set.StringVar(&f.policy, "policy", "", "")
	set.BoolVar(&f.version, "version", false, "")
	err := set.Parse(args)
	if err == nil && set.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return allowed
	case err == nil && f.version:
		fmt.Fprintln(stdout, "manifest-format-verifier", version())
		return allowed
	case err == nil:
		err = f.validate()
	}
	if err != nil {
		// containerd shows what is on standard output, whatever has gone wrong.
		fmt.Fprintf(stdout, "%v; see manifest-format-verifier --help\n", err)
		return refused
	}
	_ = log.SetLevel("error") // of containerd's registry client; it is a level
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	r := run{flags: f, start: start, stdin: stdin, stdout: stdout, stderr: stderr}
	return r.run(ctx)
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// validate says what of the command line makes no sense.
func (f flags) validate() error {
	switch {
	case f.test != "" && (f.name != "" || f.digest != ""):
		return errors.New("--test and -name exclude each other")
	case f.test != "":
		return nil
	case f.name == "" && f.digest == "":
		return errors.New("containerd runs this program; to try a policy, use --test IMAGE")
	case f.name == "" || f.digest == "":
		return errors.New("-name and -digest are both needed")
	case f.mediaType != ocispec.MediaTypeDescriptor:
		return fmt.Errorf("-stdin-media-type %q is not known: update the verifier", f.mediaType)
	}
	return nil
}

// run is one run of the program.
type run struct {
	flags
	start          time.Time
	stdin          io.Reader
	stdout, stderr io.Writer
}

// run reads the policy and asks for the verdict. It is done when the budget is,
// whatever hangs: a file, standard input, or a program that knows passwords.
func (r run) run(ctx context.Context) int {
	file := policy.File(r.policy)
	reading, cancel := context.WithDeadline(ctx, r.start.Add(policy.DefaultBudget))
	defer cancel()
	p, err := within(reading, func(context.Context) (*policy.Policy, error) { return policy.Read(file) })
	if err != nil {
		return r.refuse(fmt.Errorf("the verifier's policy cannot be used: %w", err))
	}
	ctx, cancel = context.WithDeadline(ctx, r.start.Add(time.Duration(p.Budget)))
	defer cancel()
	if r.test != "" {
		return r.tryOut(ctx, file, p)
	}
	v, err := within(ctx, func(ctx context.Context) (judge.Verdict, error) {
		image, err := r.image()
		if err != nil {
			return judge.Verdict{}, err
		}
		return judge.Judge(ctx, p, image), nil
	})
	switch {
	case errors.Is(err, errLate):
		v = judge.Unanswered(ctx, p, r.name)
	case err != nil:
		return r.refuse(err)
	}
	return r.answer(p, v)
}

// refuse refuses for what has gone wrong here.
func (r run) refuse(err error) int {
	fmt.Fprintln(r.stdout, judge.Line(err))
	return refused
}

// answer answers containerd: what is on standard output is for people, what is
// on standard error for containerd's debug log.
func (r run) answer(p *policy.Policy, v judge.Verdict) int {
	if !v.Allowed {
		fmt.Fprintln(r.stdout, v.Reason)
		return refused
	}
	if v.Reason != "" {
		fmt.Fprintf(r.stderr, "warning: %s: %s\n", r.name, v.Reason)
	}
	fmt.Fprintln(r.stdout, v.Summary(p))
	return allowed
}

// image reads what containerd says of the image.
func (r run) image() (judge.Image, error) {
	body, err := io.ReadAll(io.LimitReader(r.stdin, maxDescriptor))
	image := judge.Image{Name: r.name}
	if err == nil {
		err = json.Unmarshal(body, &image.Root)
	}
	if err != nil {
		return image, fmt.Errorf("there is no descriptor on standard input: %w", err)
	}
	if got := image.Root.Digest.String(); got != r.digest {
		return image, fmt.Errorf("-digest is %s, and the descriptor on standard input is of %q", r.digest, got)
	}
	return image, nil
}

// errLate is the end of what was not done when its context was.
var errLate = errors.New("it took too long")

// within runs f until ctx is done. What does not stop then is left behind. A
// panic is an error: the pull is refused for a reason that can be reported.
func within[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if cause := recover(); cause != nil {
				r.err = fmt.Errorf("the verifier failed: %v; please report this", cause)
			}
			done <- r
		}()
		r.value, r.err = f(ctx)
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-done:
		return r.value, r.err
	case <-time.After(grace):
		return *new(T), errLate
	}
}
