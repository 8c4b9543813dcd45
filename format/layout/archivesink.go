// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// memorySink holds a small blob until its turn in the archive.
type memorySink struct {
	archive   *ArchiveWriter
	mediaType string
	bytes.Buffer
}

func (s *memorySink) restart() error {
	s.Reset()
	return nil
}

func (s *memorySink) keep(ctx context.Context, dgst digest.Digest, size int64) error {
	body := s.Bytes()
	if err := s.archive.addBlob(ctx, dgst, size, bytes.NewReader(body)); err != nil {
		return err
	}
	if isDocument(s.mediaType) {
		s.archive.mu.Lock()
		defer s.archive.mu.Unlock()
		s.archive.bodies[dgst] = body
	}
	return nil
}

func (s *memorySink) drop() error { return s.restart() }

// spoolSink holds a blob in a temporary file until its turn in the archive: a
// tar has a file's size and name before its content.
type spoolSink struct {
	archive *ArchiveWriter
	*temporaryFile
}

func (s *spoolSink) restart() error {
	s.size = 0
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return s.file.Truncate(0)
}

func (s *spoolSink) keep(ctx context.Context, dgst digest.Digest, size int64) error {
	err := s.archive.addBlob(ctx, dgst, size, io.NewSectionReader(s.file, 0, size))
	return errors.Join(err, s.drop())
}

func (s *spoolSink) drop() error { return s.Close() }

// streamSink is a blob that goes straight into the tar. It has the turn until
// it is kept or dropped.
type streamSink struct {
	archive *ArchiveWriter
	desc    ocispec.Descriptor
	begun   bool
	start   int64 // where the archive ended before, if it is a file
}

func (s *streamSink) Write(p []byte) (int, error) {
	if !s.begun {
		if err := s.begin(); err != nil {
			return 0, s.archive.fail(err)
		}
	}
	n, err := s.archive.tar.Write(p)
	if err != nil {
		return n, fmt.Errorf("archive: %w", err)
	}
	return n, nil
}

// begin writes the header, as late as possible: a source that cannot be opened
// does the archive no harm.
func (s *streamSink) begin() error {
	if s.archive.temp != nil {
		var err error
		if s.start, err = s.archive.temp.Seek(0, io.SeekCurrent); err != nil {
			return err
		}
	}
	s.begun = true
	return s.archive.beginBlob(s.desc.Digest, s.desc.Size)
}

// restart takes back what was written, which only a file allows.
func (s *streamSink) restart() error {
	if !s.begun {
		return nil
	}
	file := s.archive.temp
	if file == nil {
		return s.archive.fail(fmt.Errorf("blob %s was given up halfway, and what is written to a stream cannot be taken back", s.desc.Digest))
	}
	if err := file.Truncate(s.start); err != nil {
		return s.archive.fail(err)
	}
	if _, err := file.Seek(s.start, io.SeekStart); err != nil {
		return s.archive.fail(err)
	}
	s.archive.tar = tar.NewWriter(file)
	s.begun = false
	return nil
}

func (s *streamSink) keep(_ context.Context, dgst digest.Digest, size int64) error {
	defer s.archive.release()
	return s.archive.endBlob(dgst, size)
}

func (s *streamSink) drop() error {
	defer s.archive.release()
	return s.restart()
}
