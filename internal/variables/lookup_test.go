package variables_test

import (
	"context"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// counting is a store that answers by a function, and counts how often it is asked.
type counting struct {
	asked  int
	answer func(queries []variables.Query) ([]variables.Variable, error)
}

func (c *counting) String() string { return "a store" }

func (c *counting) Resolve(_ context.Context, queries []variables.Query) ([]variables.Variable, error) {
	c.asked++
	return c.answer(queries)
}

// TestWhatConcernsTheStoreIsNotAskedForEach: a store that is down, or that takes two names for one, is not asked for each name by itself,
// which would take long, and could go well.
func TestWhatConcernsTheStoreIsNotAskedForEach(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Unreachable, fault.Usage, fault.Interrupted} {
		s := &counting{answer: func([]variables.Query) ([]variables.Variable, error) { return nil, fault.New(kind, "", "no") }}
		if _, err := variables.Ask(t.Context(), s, []string{"A", "B"}, nil); !fault.Is(err, kind) || s.asked != 1 {
			t.Errorf("%v: %v after %d questions", kind, err, s.asked)
		}
	}
}

func TestEachNameHasItsOwnProblem(t *testing.T) {
	s := &counting{answer: func(queries []variables.Query) (found []variables.Variable, err error) {
		for _, q := range queries {
			if q.Name == "MISSING" {
				return nil, variables.Problem(fault.NotFound, q.Name, "write it", "there is none")
			}
			found = append(found, variables.Variable{Name: q.Name, Version: "1", Value: variables.NewValue(map[string]string{"A": "a"}[q.Name])})
		}
		return found, nil
	}}
	answers, err := variables.Ask(t.Context(), s, []string{"A", "EMPTY", "MISSING"}, nil)
	if err != nil || len(answers) != 3 || answers[0].Err != nil || !fault.Is(answers[1].Err, fault.Refused) || !fault.Is(answers[2].Err, fault.NotFound) {
		t.Errorf("%+v, %v", answers, err)
	}
}

func TestWhatLiesOpenIsNoSecret(t *testing.T) {
	open := variables.Variable{Name: "A", Exposed: true, Value: variables.NewValue("hunter2")}
	if err := variables.Usable(open, false); err != nil {
		t.Error(err)
	}
	if err := variables.Usable(open, true); !fault.Is(err, fault.Refused) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("it gives %v", err)
	}
}
