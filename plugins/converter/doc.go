// SPDX-License-Identifier: Apache-2.0

// Package converter is a plugin for those who build containerd themselves, as
// k3s does: a gRPC service by which a containerd converts its own images. It is
// imported for what it registers, beside containerd's own plugins:
//
//	import (
//		"github.com/containerd/containerd/v2/cmd/containerd/command"
//
//		_ "github.com/containerd/containerd/v2/cmd/containerd/builtins"
//		_ "github.com/manifest-format/manifest-format/plugins/converter"
//	)
//
//	func main() { command.App().Run(context.Background(), os.Args) }
//
// The folder containerd has that program. What is registered is one plugin,
// io.containerd.grpc.v1.manifest-format, on the socket that containerd serves
// anyway. It requires containerd's metadata and lease manager, changes nothing
// of what is there, and takes no part in pulls: [Config] is all there is to
// configure. Package format/containerd/converter has the service's contract and
// its client.
package converter
