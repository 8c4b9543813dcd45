// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/plugins/watcher/internal/config"
)

// The labels of an image that the watcher wrote.
const (
	// labelSource is the digest of what it was made of, labelName that one's name.
	labelSource = "manifest-format.source"
	labelName   = "manifest-format.source-name"
	// labelResult is the digest of what was written: if the name means another
	// one now, the labels are of the past.
	labelResult = "manifest-format.result"
	// labelFor is the profile, labelRecipe [config.Rule.Recipe].
	labelFor    = "manifest-format.for"
	labelRecipe = "manifest-format.recipe"
)

var (
	// errName is of an image of whose name no other can be made.
	errName = errors.New("no name for the result")
	// errTaken is of a result whose name somebody else's image has.
	errTaken = errors.New("the name of the result is taken")
)

// job is what there is to do for an image.
type job struct {
	image
	rule *config.Rule
	root ocispec.Descriptor
	to   string
}

func (j *job) inPlace() bool { return j.to == j.name }

// labels are those of the result.
func (j *job) labels() map[string]string {
	return map[string]string{
		labelSource: j.root.Digest.String(), labelName: j.name,
		labelFor: j.rule.Profile().Name, labelRecipe: j.rule.Recipe(),
	}
}

// made reports whether record is what the job makes, by its labels.
func (j *job) made(record images.Image) bool {
	l := record.Labels
	return l[labelName] == j.name && l[labelRecipe] == j.rule.Recipe() && l[labelResult] == record.Target.Digest.String() &&
		(j.inPlace() || l[labelSource] == j.root.Digest.String())
}

// find says what there is to do for an image: nil if there is nothing. An error
// comes with the job that it is about, if it is there to stay.
func (s *session) find(ctx context.Context, i image, get func(context.Context, string) (images.Image, error)) (*job, error) {
	r := s.Config.For(i.namespace, i.name)
	if r == nil || r.To.Makes(i.name) {
		return nil, nil //nolint:nilnil // nothing to do is no error
	}
	record, err := get(ctx, i.name)
	if errdefs.IsNotFound(err) {
		s.settle(i, "")
		return nil, nil //nolint:nilnil // it was deleted
	}
	if err != nil {
		return nil, err
	}
	if s.settledAt(i, record.Target.Digest) || s.isResult(i, record) {
		return nil, nil //nolint:nilnil // nothing to do is no error
	}
	j := &job{image: i, rule: r, root: record.Target}
	if j.to, err = r.To.Expand(i.name); err != nil {
		return j, fmt.Errorf("%w: %w", errName, err)
	}
	if j.inPlace() {
		if j.made(record) {
			return nil, nil //nolint:nilnil // it was done before
		}
		return j, nil
	}
	switch result, err := get(ctx, j.to); {
	case errdefs.IsNotFound(err):
	case err != nil:
		return nil, err
	case result.Labels[labelName] != j.name:
		return j, fmt.Errorf("%w: %s is there, and was not made by the watcher from this image: it stays as it is; delete it to have it made", errTaken, j.to)
	case j.made(result):
		return nil, nil //nolint:nilnil // it was done before
	}
	return j, nil
}

// isResult reports whether a rule made the image from one of another name.
// Somebody may have copied the labels with the image: then the rule makes
// another name of the other one.
func (s *session) isResult(i image, record images.Image) bool {
	source := record.Labels[labelName]
	if source == "" || source == i.name {
		return false
	}
	r := s.Config.For(i.namespace, source)
	if r == nil {
		return false
	}
	to, err := r.To.Expand(source)
	return err == nil && to == i.name
}
