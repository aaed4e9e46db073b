// Package wrap breaks what the example programs print to the width of a terminal.
package wrap

import "strings"

// Width is the number of columns that every terminal has.
const Width = 80

// Text returns text in lines of at most Width columns. The first line begins with first, the others with rest. A
// word longer than a line, such as an ARN, stays whole: it is there to be copied.
func Text(first, rest, text string) string {
	var b strings.Builder
	line := first
	empty := true
	for _, word := range strings.Fields(text) {
		if !empty && len([]rune(line))+1+len([]rune(word)) > Width {
			b.WriteString(line + "\n")
			line, empty = rest, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	return b.String() + line + "\n"
}
