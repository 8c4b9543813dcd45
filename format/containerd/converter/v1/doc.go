// SPDX-License-Identifier: Apache-2.0

// Package converterv1 is the code of converter.proto, which says what it means.
package converterv1

//go:generate go -C ../../../.. run ./integration/protobuf format/containerd/converter/v1/converter.proto
