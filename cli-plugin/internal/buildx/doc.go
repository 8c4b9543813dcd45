// SPDX-License-Identifier: Apache-2.0

// Package buildx finds the person's own buildx, docker's plugin for builds,
// and runs it: its progress, its exit code, its contexts and its reaction to
// signals are buildx's own. It also reads the command line of a build, and
// what a builder is made of, as buildx prints it.
package buildx
