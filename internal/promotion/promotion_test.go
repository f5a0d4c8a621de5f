package promotion_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/promotion"
	"github.com/sluice-dev/sluice/internal/store"
)

func TestPath(t *testing.T) {
	after := func(names ...string) v1alpha1.Environment { return v1alpha1.Environment{After: names} }
	environments := map[string]v1alpha1.Environment{
		"prod": after("staging", "load"), "staging": after("dev"), "load": after("dev"), "dev": after(), "demo": after(),
	}
	tests := []struct {
		to   string
		want []string
	}{
		{"", []string{"demo", "dev", "load", "staging", "prod"}},
		{"prod", []string{"dev", "load", "staging", "prod"}},
		{"load", []string{"dev", "load"}},
		{"dev", []string{"dev"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, promotion.Path(environments, tt.to)); diff != "" {
			t.Errorf("path to %q (-want +got):\n%s", tt.to, diff)
		}
	}
}

func TestPathOfACycleEnds(t *testing.T) {
	environments := map[string]v1alpha1.Environment{"a": {After: []string{"b"}}, "b": {After: []string{"a"}}}
	if got := promotion.Path(environments, "a"); len(got) != 2 {
		t.Errorf("path through a cycle is %v, want each once", got)
	}
}

// history lists rollouts, oldest first, by the letter of their release; < marks one that went back, ! one taken back, ~ one that settles.
func history(entries ...string) []store.Record {
	var records []store.Record
	for i, e := range entries {
		r := v1alpha1.Rollout{Number: i + 1, Phase: v1alpha1.Succeeded, Release: v1alpha1.ReleaseRef{Digest: e[:1]}}
		for _, mark := range e[1:] {
			switch mark {
			case '<':
				r.Back = true
			case '!':
				r.Phase = v1alpha1.RolledBack
			case '~':
				r.Phase = v1alpha1.Settling
			}
		}
		records = append([]store.Record{{Rollout: r}}, records...)
	}
	return records
}

func TestEarlier(t *testing.T) {
	tests := []struct {
		name    string
		history []store.Record
		want    int
	}{
		{"nothing", nil, 0},
		{"the only one", history("A"), 0},
		{"the one before", history("A", "B"), 1},
		{"a failed one is no target", history("A", "B!", "C"), 1},
		{"the same release again is no way back", history("A", "B", "B"), 1},
		{"twice back goes back twice", history("A", "B", "C", "B<"), 1},
		{"three times", history("A", "B", "C", "D", "C<", "B<"), 1},
		{"forward again to an old release", history("A", "B", "A"), 2},
		{"back to the first has nothing before it", history("A", "B", "A<"), 0},
		{"forward after back", history("A", "B", "A<", "C"), 3},
		{"settling counts as current", history("A", "B", "C~"), 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := promotion.Earlier(tt.history)
			if got.Number != tt.want || ok != (tt.want > 0) {
				t.Errorf("Earlier = rollout %d, %v; want %d", got.Number, ok, tt.want)
			}
		})
	}
}

func TestVerified(t *testing.T) {
	records := history("A", "B!", "C~")
	for digest, want := range map[string]bool{"A": true, "B": false, "C": true, "D": false} {
		if got := promotion.Verified(records, digest); got != want {
			t.Errorf("Verified(%s) = %v, want %v", digest, got, want)
		}
	}
}

func TestNext(t *testing.T) {
	// verified lists rollouts as history does; their times are in the order of the environments' names and of the numbers.
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	verified := func(entries ...string) []store.Record {
		records := history(entries...)
		for i := len(records) - 1; i >= 0; i-- {
			at = at.Add(time.Minute)
			records[i].Rollout.VerifiedAt = at
		}
		return records
	}
	for name, c := range map[string]struct {
		before map[string][]store.Record
		want   string
	}{
		"nothing there":             {map[string][]store.Record{"dev": nil}, ""},
		"the newest":                {map[string][]store.Record{"dev": verified("a", "b~")}, "b"},
		"not what was taken back":   {map[string][]store.Record{"dev": verified("a", "b!")}, "a"},
		"what dev went back to":     {map[string][]store.Record{"dev": verified("a", "b", "a<")}, "a"},
		"only what is in both":      {map[string][]store.Record{"load": verified("a", "b", "c"), "qa": verified("a", "b", "c!")}, "b"},
		"one of them has seen none": {map[string][]store.Record{"load": verified("a"), "qa": verified("b")}, ""},
	} {
		if got, ok := promotion.Next(c.before); got.Digest != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q (%t), want %q", name, got.Digest, ok, c.want)
		}
	}
}
