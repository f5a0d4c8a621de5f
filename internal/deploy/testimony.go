package deploy

import (
	"maps"
	"slices"
	"strings"
)

// Lines are the testimony as evidence for people: one entry for the differences, one for each log, and what is lacking.
func (t Testimony) Lines() []string {
	var out []string
	if len(t.Differences) > 0 {
		out = append(out, "values that differ, live → candidate:\n"+strings.Join(t.Differences, "\n"))
	}
	for _, container := range slices.Sorted(maps.Keys(t.Logs)) {
		out = append(out, "log of "+container+":\n"+t.Logs[container])
	}
	if t.Lacking != "" {
		out = append(out, "could not be looked at: "+t.Lacking)
	}
	return out
}
