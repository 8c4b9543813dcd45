// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// startLimit is far more than any engine needs, on a machine that does much else.
	startLimit = 90 * time.Second
	// stopLimit is what a process gets to end in order before it is killed.
	stopLimit = 20 * time.Second
	// shownLines of an engine's log are shown when it or its test fails.
	shownLines = 30
	// shownBytes of a line are shown.
	shownBytes = 400
)

// daemon says how to run a program that serves until it is told to stop.
type daemon struct {
	// name is what it is called in messages; the name of its file if empty.
	name string
	path string
	args []string
	env  []string
	// ready matches the line of its log after which it serves.
	ready *regexp.Regexp
	// userNamespace runs it as root of a user namespace of its own.
	userNamespace bool
	// mounts are folders below which the program leaves file systems mounted.
	mounts []string
}

// process is a running daemon.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    *lineLog
	exited chan struct{}
	mounts []string

	ending sync.Once
	failed error // to end in order
}

// start runs d, waits until it is ready, and stops it when the test ends. It
// returns what the groups of d.ready matched.
func start(tb TB, d daemon) (*process, []string) {
	tb.Helper()
	p := &process{
		name:   cmp.Or(d.name, filepath.Base(d.path)),
		cmd:    exec.Command(d.path, d.args...), //nolint:noctx // stopped in order, not killed with a context
		log:    newLineLog(d.ready),
		exited: make(chan struct{}),
		mounts: d.mounts,
	}
	p.cmd.Env = d.env
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	// A grandchild that outlives the program must not keep its log open.
	p.cmd.WaitDelay = time.Second
	p.cmd.SysProcAttr = processAttributes(d.userNamespace)
	if err := p.spawn(); err != nil {
		tb.Fatalf("start %s: %v", p.name, err)
	}
	tb.Cleanup(func() {
		if err := p.endWith(syscall.SIGTERM); err != nil {
			tb.Logf("stop %s: %v", p.name, err)
		}
		if tb.Failed() {
			tb.Logf("the last lines of %s:\n%s", p.name, p.log.tail())
		}
	})

	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	select {
	case match := <-p.log.matched:
		return p, match
	case <-p.exited:
		tb.Fatalf("%s ended before it was ready: %v", p.name, p.cmd.ProcessState)
	case <-tb.Context().Done():
		tb.Fatalf("%s is not ready: %v", p.name, tb.Context().Err())
	case <-limit.C:
		tb.Fatalf("%s is not ready after %s", p.name, startLimit)
	}
	return nil, nil
}

func processAttributes(userNamespace bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Setpgid: true,
		// Whatever ends the test binary ends the engine.
		Pdeathsig: syscall.SIGKILL,
	}
	if userNamespace {
		// Root may give it as many users as an image needs, anyone else only himself.
		users := 1
		if os.Geteuid() == 0 {
			users = 1 << 16
		}
		attr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: users}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: users}}
		attr.GidMappingsEnableSetgroups = os.Geteuid() == 0
	}
	return attr
}

// spawn starts the program from a thread that lives as long as the program:
// Pdeathsig is sent when the thread that started a child ends, see prctl(2).
func (p *process) spawn() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		// How it ended is in ProcessState.
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	return <-started
}

// endWith ends the program, once, and unmounts what it left.
func (p *process) endWith(signal syscall.Signal) error {
	p.ending.Do(func() {
		p.failed = errors.Join(p.end(signal), unmountBelow(p.mounts))
	})
	return p.failed
}

// end sends the program a signal, kills it when it does not end, and kills
// what is left of its process group.
func (p *process) end(signal syscall.Signal) error {
	var failed error
	// A process that has ended already is fine.
	_ = p.cmd.Process.Signal(signal)
	select {
	case <-p.exited:
	case <-time.After(stopLimit):
		failed = fmt.Errorf("killed: did not end within %s of %s", stopLimit, signal)
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		failed = errors.Join(failed, err)
	}
	<-p.exited
	return failed
}

// Pid is the process id of the program.
func (p *process) Pid() int { return p.cmd.Process.Pid }

// Log returns the last lines that the program wrote.
func (p *process) Log() string { return p.log.tail() }

// Stop ends the program and its children and returns when they are gone. The
// end of the test does the same; stopping twice is fine.
func (p *process) Stop(tb TB) {
	tb.Helper()
	if err := p.endWith(syscall.SIGTERM); err != nil {
		tb.Fatalf("stop %s: %v", p.name, err)
	}
}

// Kill ends the program and its children at once, in the middle of whatever
// they do.
func (p *process) Kill(tb TB) {
	tb.Helper()
	if err := p.endWith(syscall.SIGKILL); err != nil {
		tb.Fatalf("kill %s: %v", p.name, err)
	}
}

// lineLog keeps the last lines written to it and finds the first that matches.
type lineLog struct {
	want    *regexp.Regexp
	matched chan []string

	mu    sync.Mutex
	part  []byte
	lines []string
	found bool
}

func newLineLog(want *regexp.Regexp) *lineLog {
	return &lineLog{want: want, matched: make(chan []string, 1)}
}

// Write never fails.
func (l *lineLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, b...)
	for {
		line, rest, ok := bytes.Cut(l.part, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		l.part = rest
		l.lines = append(l.lines, string(line[:min(len(line), shownBytes)]))
		l.lines = l.lines[max(0, len(l.lines)-shownLines):]
		if match := l.want.FindStringSubmatch(string(line)); match != nil && !l.found {
			l.found = true
			l.matched <- match[1:]
		}
	}
}

func (l *lineLog) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(append(l.lines[:len(l.lines):len(l.lines)], string(l.part)), "\n")
}
