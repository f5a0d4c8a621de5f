package cli

import (
	"slices"
	"strings"
)

// closest is the candidate that was probably meant, or "" where none is near.
func closest(word string, candidates []string) string {
	best, distance := "", 3
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := edits(strings.ToLower(word), strings.ToLower(c)); d < distance && d < max(len(word), len(c)) {
			best, distance = c, d
		}
	}
	return best
}

// edits counts the insertions, deletions and replacements that turn a into b.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// joined lists names for people.
func joined(names []string) string { return strings.Join(names, ", ") }
