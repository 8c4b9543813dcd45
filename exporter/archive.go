// SPDX-License-Identifier: Apache-2.0

package exporter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	sessioncontent "github.com/moby/buildkit/session/content"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/moby/buildkit/util/progress"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc/codes"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/layout"
)

const (
	// sessionWait is how long a client has to be there: it has asked a moment ago.
	sessionWait = 5 * time.Second
	// clientStore is the name that BuildKit's clients give the store that an
	// export without a tar goes to.
	clientStore = "export"
)

// sendArchive sends an emission to the client, as a tar or blob by blob.
func (i *instance) sendArchive(ctx context.Context, e *emitted, sessionID string) error {
	root := e.result.Root
	if t, _ := format.ParseMediaType(root.MediaType); i.typ == client.ExporterDocker && t.Kind == format.KindIndex {
		return fmt.Errorf("emit for %s: what docker loads from an archive has one image, and this is an index: use type=%s, or platform= and single=true", e.profile.Name, client.ExporterOCI)
	}
	sessionCtx, cancel := context.WithTimeoutCause(ctx, sessionWait, errors.New("the client of this build is gone"))
	defer cancel()
	caller, err := i.sessions.Get(sessionCtx, sessionID, false)
	if err != nil {
		return err
	}
	if !e.tar {
		done := progress.OneOff(ctx, "sending image")
		return done(format.Copy(ctx, sessioncontent.NewCallerStore(caller, clientStore), e.content, format.Plain(root), format.CopyOptions{}))
	}
	return i.sendTar(ctx, e, caller)
}

// sendTar sends the emission as an archive that docker loads and whoever reads
// OCI layouts reads.
func (i *instance) sendTar(ctx context.Context, e *emitted, caller session.Caller) error {
	response, err := i.response([]*emitted{e})
	if err != nil {
		return err
	}
	w, err := filesync.CopyFileWriter(ctx, response, i.id, caller)
	if err != nil {
		return err
	}
	done := progress.OneOff(ctx, "sending tarball")
	err = errors.Join(writeTar(ctx, e, w), w.Close())
	if grpcerrors.Code(err) == codes.AlreadyExists {
		err = nil // the client has it, and asks for no more
	}
	return done(err)
}

func writeTar(ctx context.Context, e *emitted, w io.Writer) error {
	archive := layout.WriteArchive(w)
	defer archive.Abort() //nolint:errcheck // it does nothing after Close
	names, err := e.fullNames()
	if err != nil {
		return err
	}
	if err := format.Copy(ctx, archive, e.content, format.Plain(e.result.Root), format.CopyOptions{
		Concurrency: 1, // the same order, and so the same bytes, each time
		Referrers:   e.result.Referrers,
		Root: func(ctx context.Context, desc ocispec.Descriptor, body []byte) error {
			for _, referrer := range e.result.Referrers {
				if err := archive.PutReferrer(ctx, referrer); err != nil {
					return err
				}
			}
			return archive.PutRoot(ctx, desc, body, names...)
		},
	}); err != nil {
		return err
	}
	return archive.Close()
}

// fullNames are the names as docker writes them out.
func (e *emitted) fullNames() ([]string, error) {
	var names []string
	for _, name := range e.names {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return nil, fmt.Errorf("%s=%q: %w", exptypes.OptKeyName, name, err)
		}
		names = append(names, reference.TagNameOnly(named).String())
	}
	return names, nil
}
