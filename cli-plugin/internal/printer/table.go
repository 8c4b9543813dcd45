// SPDX-License-Identifier: Apache-2.0

package printer

import (
	"io"
	"strings"
	"unicode/utf8"
)

// table is rows of cells, printed in columns. Cells may have colours, and
// characters of more than one byte, which text/tabwriter cannot measure.
type table struct{ rows [][]string }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the rows, each two columns to the right.
func (t *table) print(out io.Writer) { t.write(out, "  ") }

// gap is how many columns stand between two cells.
const gap = 2

// widths is how wide each column is.
func (t *table) widths() []int {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], width(cell))
		}
	}
	return widths
}

// width is how wide the whole table is.
func (t *table) width() int {
	total := -gap
	for _, w := range t.widths() {
		total += w + gap
	}
	return total
}

func (t *table) write(out io.Writer, indent string) {
	widths := t.widths()
	var b strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		line.WriteString(indent)
		for i, cell := range row {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[i]-width(cell)+gap))
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	_, _ = io.WriteString(out, b.String())
}

// width is how many columns a cell takes, its colours left out. Each
// character counts as one: names of images and media types are ASCII.
func width(cell string) int {
	n := 0
	for {
		start := strings.Index(cell, "\x1b[")
		if start < 0 {
			return n + utf8.RuneCountInString(cell)
		}
		n += utf8.RuneCountInString(cell[:start])
		end := strings.IndexByte(cell[start:], 'm')
		if end < 0 {
			return n
		}
		cell = cell[start+end+1:]
	}
}
