package variables

import (
	"maps"
	"strings"
	"testing"
)

func TestNotesOfWhatNeedsAnObjectNoMoreAreStale(t *testing.T) {
	digest := func(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }
	annotations := map[string]string{"team": "shop", "digest.sluice.dev.example/x": "theirs"}
	for _, digit := range []string{"1", "2"} {
		maps.Copy(annotations, Need(digest(digit)))
	}
	for about, c := range map[string]struct {
		needed []string
		patch  string
	}{
		"all are needed": {[]string{digest("1"), digest("2"), digest("3"), ""}, ""},
		"one is not": {[]string{digest("2"), ""},
			`{"metadata":{"annotations":{"digest.sluice.dev/1111111111111111111111111111111111111111":null},"resourceVersion":"7"}}`},
	} {
		if patch, err := Stale(annotations, "7", c.needed); err != nil || string(patch) != c.patch {
			t.Errorf("%s: %s, %v", about, patch, err)
		}
	}
}
