// SPDX-License-Identifier: Apache-2.0

package converter

import (
	"errors"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	v1 "github.com/manifest-format/manifest-format/format/containerd/converter/v1"
)

func descriptorProto(d ocispec.Descriptor) *v1.Descriptor {
	return &v1.Descriptor{
		MediaType: d.MediaType, Digest: d.Digest.String(), Size: d.Size, Urls: d.URLs, Annotations: d.Annotations,
		Data: d.Data, Platform: platformProto(d.Platform), ArtifactType: d.ArtifactType,
	}
}

func descriptorOf(d *v1.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: d.GetMediaType(), Digest: digest.Digest(d.GetDigest()), Size: d.GetSize(), URLs: d.GetUrls(), Annotations: d.GetAnnotations(),
		Data: d.GetData(), Platform: platformOf(d.GetPlatform()), ArtifactType: d.GetArtifactType(),
	}
}

func platformProto(p *ocispec.Platform) *v1.Platform {
	if p == nil {
		return nil
	}
	return &v1.Platform{Architecture: p.Architecture, Os: p.OS, OsVersion: p.OSVersion, OsFeatures: p.OSFeatures, Variant: p.Variant}
}

func platformOf(p *v1.Platform) *ocispec.Platform {
	if p == nil {
		return nil
	}
	return &ocispec.Platform{
		Architecture: p.GetArchitecture(), OS: p.GetOs(), OSVersion: p.GetOsVersion(), OSFeatures: p.GetOsFeatures(), Variant: p.GetVariant(),
	}
}

func progressEvent(p format.Progress) *v1.ConvertEvent {
	step := &v1.Progress{Action: string(p.Action), Path: p.Path, Descriptor_: descriptorProto(p.Desc), Done: p.Done, Final: p.Final}
	if p.Err != nil {
		step.Error = text(p.Err.Error())
	}
	return &v1.ConvertEvent{Event: &v1.ConvertEvent_Progress{Progress: step}}
}

func progressOf(p *v1.Progress) format.Progress {
	step := format.Progress{
		Action: format.Action(p.GetAction()), Path: p.GetPath(), Desc: descriptorOf(p.GetDescriptor_()), Done: p.GetDone(), Final: p.GetFinal(),
	}
	if p.GetError() != "" {
		step.Err = errors.New(p.GetError())
	}
	return step
}

func changeEvent(c format.Change) *v1.ConvertEvent {
	return &v1.ConvertEvent{Event: &v1.ConvertEvent_Change{
		Change: &v1.Change{Path: c.Path, From: descriptorProto(c.From), To: descriptorProto(c.To), What: c.What},
	}}
}

func changeOf(c *v1.Change) format.Change {
	return format.Change{Path: c.GetPath(), From: descriptorOf(c.GetFrom()), To: descriptorOf(c.GetTo()), What: c.GetWhat()}
}

func lossEvent(l format.Loss) *v1.ConvertEvent {
	return &v1.ConvertEvent{Event: &v1.ConvertEvent_Loss{
		Loss: &v1.Loss{Rule: l.Rule, Path: l.Path, What: text(l.What), Value: text(l.Value), Why: text(l.Why)},
	}}
}

func lossOf(l *v1.Loss) format.Loss {
	return format.Loss{Rule: l.GetRule(), Path: l.GetPath(), What: l.GetWhat(), Value: l.GetValue(), Why: l.GetWhy()}
}

func noteEvent(n format.Note) *v1.ConvertEvent {
	return &v1.ConvertEvent{Event: &v1.ConvertEvent_Note{Note: &v1.Note{Rule: n.Rule, Path: n.Path, Text: text(n.Text)}}}
}

func noteOf(n *v1.Note) format.Note {
	return format.Note{Rule: n.GetRule(), Path: n.GetPath(), Text: n.GetText()}
}
