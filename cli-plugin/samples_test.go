// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/manifest-format/manifest-format/format"
	"github.com/manifest-format/manifest-format/format/formattest"
	"github.com/manifest-format/manifest-format/format/layout"
)

// The predicate types of what BuildKit attests.
const (
	spdx = "https://spdx.dev/Document"
	slsa = "https://slsa.dev/provenance/v1"
)

var (
	oci    = formattest.Builder{Format: format.OCI}
	docker = formattest.Builder{Format: format.Docker}
)

// samples are the images that scripts work on.
var samples = map[string]func() formattest.Blob{
	"oci":    func() formattest.Blob { return oci.Image("linux/amd64", "linux/arm64") },
	"docker": func() formattest.Blob { return docker.Image("linux/amd64", "linux/arm64") },
	"single": func() formattest.Blob {
		return oci.Manifest("linux/arm/v7", oci.Layer(format.Gzip, "etc/motd=hello"))
	},
	// What BuildKit builds with --sbom and --provenance.
	"attested": func() formattest.Blob {
		amd := oci.Manifest("linux/amd64", oci.Layer(format.Gzip, "bin/app=amd64"))
		arm := oci.Manifest("linux/arm64", oci.Layer(format.Gzip, "bin/app=arm64"))
		return oci.Index(amd, arm, oci.Attestation(false, amd, spdx, slsa), oci.Attestation(false, arm, spdx, slsa))
	},
	"annotated": func() formattest.Blob {
		b := oci
		b.Annotations = map[string]string{"org.opencontainers.image.source": "https://example.com/app"}
		return b.Manifest("linux/amd64", oci.Layer(format.Gzip, "etc/motd=hello"))
	},
	"zstd": func() formattest.Blob {
		return oci.Manifest("linux/amd64", oci.Layer(format.Zstd, "etc/motd=hello"), oci.Layer(format.Uncompressed, "etc/issue=hello"))
	},
	// An index of one format around an image of the other.
	"mixed": func() formattest.Blob {
		return oci.Index(docker.Manifest("linux/amd64", docker.Layer(format.Gzip, "bin/app=amd64")))
	},
	// A terminal must not be steered by what somebody pushed.
	"escape": func() formattest.Blob {
		b := oci
		b.Annotations = map[string]string{"evil": "\x1b[2Jgone"}
		return b.Manifest("linux/amd64", oci.Layer(format.Gzip, "etc/motd=hello"))
	},
	// The same in every other place that inspect shows.
	"hostile": func() formattest.Blob {
		image := oci.Manifest("linux/amd64", oci.Layer(format.Gzip, "etc/motd=hello"))
		image.Desc.Platform.OS = "\x1b[31mred"
		artifact := edited(image, func(doc map[string]any) {
			doc["artifactType"] = "application/\x1b]0;pwned\a"
			doc["annotations"] = map[string]string{"\x1b[2J": "\x1b[2J"}
		})
		artifact.Desc.Platform = nil
		return oci.Index(image, artifact)
	},
	// CVE-2021-41190.
	"ambiguous": func() formattest.Blob {
		image := oci.Manifest("linux/amd64", oci.Layer(format.Gzip, "etc/motd=hello"))
		return edited(image, func(doc map[string]any) { doc["manifests"] = []any{} })
	},
	// A layer that is not there.
	"incomplete": func() formattest.Blob {
		image := oci.Manifest("linux/amd64", oci.Layer(format.Gzip, "etc/motd=hello"))
		image.Children = image.Children[:1]
		return image
	},
	// A layer that is not what its media type says.
	"mislabelled": func() formattest.Blob {
		layer := oci.Layer(format.Zstd, "etc/motd=hello")
		layer.Desc.MediaType = ocispec.MediaTypeImageLayerGzip
		return oci.Manifest("linux/amd64", layer)
	},
}

// edited returns a document with its JSON changed.
func edited(blob formattest.Blob, change func(map[string]any)) formattest.Blob {
	var doc map[string]any
	if err := json.Unmarshal(blob.Body, &doc); err != nil {
		panic(err)
	}
	change(doc)
	body, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	blob.Body = body
	blob.Desc.Digest, blob.Desc.Size = digest.FromBytes(body), int64(len(body))
	return blob
}

// writeSample writes an image into a layout as it is, right or wrong.
func writeSample(path, tag string, image formattest.Blob) (err error) {
	dir, err := layout.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closed := dir.Close(); err == nil {
			err = closed
		}
	}()
	ctx := context.Background()
	if err := writeBlobs(ctx, dir, image.Children); err != nil {
		return err
	}
	var tags []string
	if tag != "" {
		tags = append(tags, tag)
	}
	root := ocispec.Descriptor{MediaType: image.Desc.MediaType, Digest: image.Desc.Digest, Size: image.Desc.Size}
	return dir.PutRoot(ctx, root, image.Body, tags...)
}

func writeBlobs(ctx context.Context, dir *layout.Dir, blobs []formattest.Blob) error {
	for _, blob := range blobs {
		if err := writeBlobs(ctx, dir, blob.Children); err != nil {
			return err
		}
		desc := ocispec.Descriptor{MediaType: blob.Desc.MediaType, Digest: blob.Desc.Digest, Size: blob.Desc.Size}
		err := content.WriteBlob(ctx, dir, blob.Desc.Digest.String(), bytes.NewReader(blob.Body), desc)
		if err != nil {
			return err
		}
	}
	return nil
}
