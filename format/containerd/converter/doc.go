// SPDX-License-Identifier: Apache-2.0

// Package converter is the contract between a containerd that converts images
// itself, with our plugin in it, and whoever asks it to: a gRPC service, see
// converter.proto in the folder v1. [Convert] asks, [Register] answers, and
// what either has of a conversion, the other has too: progress, result, losses,
// and errors that say the same and are of the same type.
package converter
