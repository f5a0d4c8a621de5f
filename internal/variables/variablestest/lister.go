package variablestest

import (
	"context"
	"testing"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// RunVersions checks the contract of a store that lists versions; the subject's store must be a variables.Lister.
func RunVersions(t *testing.T, open func(t *testing.T) Subject) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, Subject, variables.Lister){
		"a new version is another, and an earlier one is known": listed,
		"what cannot be used is refused":                        unlisted,
		"a store that cannot be asked is not one that is empty": unasked,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			lister, ok := s.Store.(variables.Lister)
			if !ok {
				t.Fatalf("%T lists no versions", s.Store)
			}
			check(t, s, lister)
		})
	}
}

func listed(t *testing.T, s Subject, l variables.Lister) {
	s.Put(t, "a", "c0ntent-first")
	s.Put(t, "b", "c0ntent-of-b")
	first, err := l.Versions(t.Context(), queriesOf("a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	if first[0].Name != "a" || first[1].Name != "b" || first[0].Version == "" || first[0].Value.Reveal()+first[1].Value.Reveal() != "" {
		t.Errorf("it gave %v", first)
	}
	s.Put(t, "a", "c0ntent-second")
	second, err := l.Versions(t.Context(), append(queriesOf("a"), variables.Query{Name: "a", Version: first[0].Version}))
	if err != nil || second[0].Version == first[0].Version || second[1].Version != first[0].Version {
		t.Errorf("after %v it gave %v, %v", first, second, err)
	}
	none, err := l.Versions(t.Context(), append(queriesOf("a"), variables.Query{Name: "b", Version: "0000"}))
	if none != nil {
		t.Errorf("it gave a part: %v", none)
	}
	fails(t, s, err, fault.Refused, variables.ErrGone, "b")
	if none, err := l.Versions(t.Context(), nil); len(none) > 0 || err != nil {
		t.Errorf("no query was answered by %v, %v", none, err)
	}
}

func unlisted(t *testing.T, s Subject, l variables.Lister) {
	s.Put(t, "there", "c0ntent-there")
	for sentinel, spoil := range map[error]func(*testing.T, string){variables.ErrDisabled: s.Disable, variables.ErrExpired: s.Expire} {
		if spoil == nil {
			continue
		}
		name := map[error]string{variables.ErrDisabled: "off", variables.ErrExpired: "late"}[sentinel]
		s.Put(t, name, "c0ntent-unusable")
		spoil(t, name)
		got, err := l.Versions(t.Context(), queriesOf("there", name))
		if got != nil {
			t.Errorf("it gave a part: %v", got)
		}
		fails(t, s, err, fault.Refused, sentinel, name)
	}
	if s.Disable != nil {
		// What is newer and switched off is passed over.
		before, err := l.Versions(t.Context(), queriesOf("there"))
		if err != nil {
			t.Fatal(err)
		}
		s.Put(t, "there", "c0ntent-later")
		s.Disable(t, "there")
		if got, err := l.Versions(t.Context(), queriesOf("there")); err != nil || got[0].Version != before[0].Version {
			t.Errorf("in place of one that is switched off it gave %v, %v, and not %v", got, err, before)
		}
	}
}

func unasked(t *testing.T, s Subject, l variables.Lister) {
	s.Put(t, "a", "c0ntent-hidden")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := l.Versions(ctx, queriesOf("a")); !fault.Is(err, fault.Interrupted) || got != nil {
		t.Errorf("interrupted it gave %v, %v", got, err)
	}
	s.Refuse(t)
	got, err := l.Versions(t.Context(), queriesOf("a"))
	if got != nil {
		t.Errorf("it gave a part: %v", got)
	}
	fails(t, s, err, fault.Unreachable, nil)
	if fault.HintOf(err) == "" {
		t.Errorf("it does not say what to do: %v", err)
	}
}

func queriesOf(names ...string) []variables.Query {
	var queries []variables.Query
	for _, name := range names {
		queries = append(queries, variables.Query{Name: name})
	}
	return queries
}
