package variables

import (
	"context"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Answer is what a store says of one name.
type Answer struct {
	Variable
	// Err is why the variable cannot be used: it is missing, refused or empty.
	Err error
}

// Ask asks a store for the current versions of all names at once, and where that fails for each, to tell which of them has which problem. A
// store that cannot be asked is an error.
func Ask(ctx context.Context, store Store, names []string) ([]Answer, error) {
	queries := make([]Query, len(names))
	for i, name := range names {
		queries[i] = Query{Name: name}
	}
	answers := make([]Answer, 0, len(names))
	if found, err := store.Resolve(ctx, queries); err == nil {
		for _, v := range found {
			answers = append(answers, Answer{v, empty(v)})
		}
		return answers, nil
	}
	for _, q := range queries {
		one, err := store.Resolve(ctx, []Query{q})
		switch {
		case err == nil:
			answers = append(answers, Answer{one[0], empty(one[0])})
		case fault.Is(err, fault.NotFound), fault.Is(err, fault.Refused):
			answers = append(answers, Answer{Variable{Name: q.Name}, err})
		default:
			return nil, err
		}
	}
	return answers, nil
}

func empty(v Variable) error {
	if !v.Value.Equal(NewValue("")) {
		return nil
	}
	return Problem(fault.Refused, v.Name, "give it a value, or take it out of sluice.yaml", "is empty")
}
