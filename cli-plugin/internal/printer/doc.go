// SPDX-License-Identifier: Apache-2.0

// Package printer writes what commands have to say: results on standard
// output, where programs read them, and everything else on standard error,
// where people do.
package printer
