// SPDX-License-Identifier: Apache-2.0

package format

// Target returns the format that the profile has an image in that is in f: f
// itself if the profile accepts it.
func (p Profile) Target(f Format) Format { return p.target(f) }

// Accepts reports whether the profile accepts layers of format f with
// compression c. Those that it does not are recompressed.
func (p Profile) Accepts(f Format, c Compression) bool { return p.accepts(f, c) }
