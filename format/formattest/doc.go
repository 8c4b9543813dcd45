// SPDX-License-Identifier: Apache-2.0

// Package formattest has what tests of the engine and of its hosts share:
//
//   - [Store], content in memory, that counts what is done with it, fails when
//     told to, and knows who has not cleaned up;
//   - [Builder], images of any shape and style, down to the byte;
//   - [Case], a golden conversion in a txtar file.
//
// It is for tests only. Nothing in it depends on what the engine answers: a
// golden case computes digests, sizes and diff IDs by itself.
package formattest
