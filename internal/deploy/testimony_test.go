package deploy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTestimonyLines(t *testing.T) {
	if got := (Testimony{}).Lines(); got != nil {
		t.Errorf("of nothing: %q", got)
	}
	got := Testimony{
		Logs: map[string]string{"shop-b/web": "panic: no\nexit", "shop-a/web": "x"}, Differences: []string{"a: 1 → 2", "b: (none) → x"}, Lacking: "the pods",
	}.Lines()
	want := []string{
		"values that differ, live → candidate:\na: 1 → 2\nb: (none) → x", "log of shop-a/web:\nx", "log of shop-b/web:\npanic: no\nexit",
		"could not be looked at: the pods",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
