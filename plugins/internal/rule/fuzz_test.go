// SPDX-License-Identifier: Apache-2.0

package rule

import (
	"strings"
	"testing"
)

// FuzzPattern has any pattern be refused, or match what it names.
func FuzzPattern(f *testing.F) {
	for _, seed := range []string{"docker.io/library/alpine", "a.io/b:c", "a.io/**/b:v*", "[::1]:5000/a", "**", "a.io/b@sha256:*"} {
		f.Add(seed, "alpine")
	}
	f.Fuzz(func(t *testing.T, pattern, image string) {
		p, err := ParsePattern(pattern)
		if err != nil {
			return
		}
		p.Matches(ParseName(image))
		if n := ParseName(pattern); !strings.Contains(pattern, "*") && n.name+":"+n.tag == pattern && !p.Matches(n) {
			t.Errorf("%q does not match %q", pattern, n)
		}
	})
}
