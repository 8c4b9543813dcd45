// SPDX-License-Identifier: Apache-2.0

//go:build unix

package layout_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/manifest-format/manifest-format/format/layout"
)

// roleVariable makes the test binary do one thing and exit.
const roleVariable = "LAYOUT_TEST_ROLE"

func TestMain(m *testing.M) {
	roles := map[string]func(args []string) error{"put": putRole, "fill": fillRole, "hold": holdRole}
	role, ok := roles[os.Getenv(roleVariable)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := role(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// self is this test binary in a role.
func self(ctx context.Context, role string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd
}

const tagsEach = 8

// putRole makes the layout if need be, and puts images under tags of its own.
func putRole(args []string) error {
	d, err := layout.Create(args[0])
	if err != nil {
		return err
	}
	defer d.Close()
	for n := range tagsEach {
		tag := fmt.Sprintf("%s-%d", args[1], n)
		image := app(tag)
		for _, child := range image.Children {
			w, err := d.Writer(context.Background(), content.WithDescriptor(child.Desc))
			if err != nil {
				continue // another process has written it
			}
			if _, err := w.Write(child.Body); err != nil {
				return errors.Join(err, w.Close())
			}
			_ = w.Commit(context.Background(), 0, "") // another process may have been faster
		}
		if err := d.PutRoot(context.Background(), image.Desc, image.Body, tag, "shared"); err != nil {
			return err
		}
	}
	return nil
}

// Writers, in several processes and in several goroutines of each, lose
// nothing of what another one has written, even as they create the layout.
func TestConcurrentWritersLoseNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "layout")
	const writers = 4
	var group errgroup.Group
	want := []string{"shared"}
	for n := range writers {
		process, routine := fmt.Sprintf("process%d", n), fmt.Sprintf("routine%d", n)
		group.Go(func() error {
			if out, err := self(t.Context(), "put", path, process).CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
		group.Go(func() error { return putRole([]string{path, routine}) })
		for tag := range tagsEach {
			want = append(want, fmt.Sprintf("%s-%d", process, tag), fmt.Sprintf("%s-%d", routine, tag))
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	d, err := layout.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got := names(t, d)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d names, want %d: %v", len(got), len(want), got)
	}
	for _, tag := range want {
		desc, err := d.Resolve(t.Context(), tag)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := read(t, d, desc); err != nil {
			t.Error(err)
		}
	}
	onlyLayoutFiles(t, path)
}

// A reader sees index.json before or after it is replaced, and no mix of both.
func TestOpenWhileIndexIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "layout")
	d, err := layout.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	index := filepath.Join(path, "index.json")
	short, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	long := append(slices.Clone(short), bytes.Repeat([]byte(" "), 4096)...)
	stop := make(chan struct{})
	var group errgroup.Group
	group.Go(func() error {
		for {
			for _, body := range [][]byte{long, short} {
				select {
				case <-stop:
					return nil
				default:
				}
				next := filepath.Join(path, ".ingest-next")
				if err := os.WriteFile(next, body, 0o600); err != nil {
					return err
				}
				if err := os.Rename(next, index); err != nil {
					return err
				}
			}
		}
	})
	for range 5000 {
		if _, err := d.Refs(t.Context()); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// holdRole keeps index.json locked until it is killed.
func holdRole(args []string) error {
	f, err := os.OpenFile(filepath.Join(args[0], "index.json.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString("held\n"); err != nil {
		return err
	}
	time.Sleep(time.Minute)
	return nil
}

// PutRoot waits for a lock as long as its context lets it, and does not wait
// for one who is dead.
func TestPutRootWaitsForTheLock(t *testing.T) {
	d, path := create(t)
	holder := self(t.Context(), "hold", path)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	image := app("1")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := d.PutRoot(ctx, image.Desc, image.Body, "v1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("PutRoot while another process has the lock: %v, want deadline exceeded", err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait() // it was killed
	if err := d.PutRoot(t.Context(), image.Desc, image.Body, "v1"); err != nil {
		t.Error(err)
	}
	onlyLayoutFiles(t, path)
}

// fillRole writes a blob, an image and an archive where no file may grow
// beyond a limit, as on a disk that is full.
func fillRole(args []string) error {
	d, err := layout.Open(args[0])
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 100, Max: 100}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	image := app("2")
	w, err := d.Writer(context.Background(), content.WithDescriptor(ocispec.Descriptor{Size: 1000}))
	if err != nil {
		return err
	}
	if _, err := w.Write(make([]byte, 1000)); !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("a blob on a full disk: %w", err)
	}
	if err := w.Commit(context.Background(), 0, ""); !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("committing it: %w", err)
	}
	if err := d.PutRoot(context.Background(), image.Desc, image.Body, "v2"); !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("a root on a full disk: %w", err)
	}
	if err := d.PutRoot(context.Background(), app("1").Desc, app("1").Body, "v2"); !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("a name on a full disk: %w", err)
	}
	a, err := layout.CreateArchive(args[1])
	if err != nil {
		return err
	}
	defer a.Abort()
	if err := a.PutRoot(context.Background(), image.Desc, image.Body, "v2"); !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("an archive on a full disk: %w", err)
	}
	if err := a.Close(); !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("closing it: %w", err)
	}
	return nil
}

func TestFullDiskLeavesNothing(t *testing.T) {
	d, path := create(t)
	image := app("1")
	put(t, d, image, "v1")
	archives := t.TempDir()
	if out, err := self(t.Context(), "fill", path, filepath.Join(archives, "a.tar")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	onlyLayoutFiles(t, path)
	if got := names(t, d); !slices.Equal(got, []string{"v1"}) {
		t.Errorf("names are %v, want v1", got)
	}
	blobs, err := os.ReadDir(filepath.Join(path, "blobs", "sha256"))
	if err != nil || len(blobs) != 1+len(image.Children) {
		t.Errorf("%d blobs (%v), want %d", len(blobs), err, 1+len(image.Children))
	}
	if left, err := os.ReadDir(archives); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}
