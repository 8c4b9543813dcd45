// SPDX-License-Identifier: Apache-2.0

package printer

import (
	"strconv"
	"strings"
	"unicode"
)

// printable escapes what could steer a terminal, or break a line: names, types
// and annotations are whatever somebody pushed.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRune(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

// Line is text as one line that cannot steer a terminal. The lines of a text
// of several, as joined errors have, stand behind one another.
func Line(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, printable(line))
		}
	}
	return strings.Join(lines, "; ")
}
