package variables

import (
	"context"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Wanted is a name to ask a store for.
type Wanted struct {
	Name string
	// Unread says that only the cluster is to read it: its version is asked for without its content, where the store can tell.
	Unread bool
}

// Answer is what a store says of one name.
type Answer struct {
	Variable
	// Err is why the variable cannot be used: it is missing, refused or, as far as it was read, empty.
	Err error
}

// resolver answers queries as a Store does, or as a Lister.
type resolver func(ctx context.Context, queries []Query) ([]Variable, error)

// Ask asks a store for the current versions of all names at once, and where that fails for each, to tell which of them has which problem. A
// store that cannot be asked is an error.
func Ask(ctx context.Context, store Store, wanted []Wanted) ([]Answer, error) {
	var read, listed []Query
	for _, w := range wanted {
		if w.Unread {
			listed = append(listed, Query{Name: w.Name})
		} else {
			read = append(read, Query{Name: w.Name})
		}
	}
	answers, err := ask(ctx, store.Resolve, read)
	if err != nil {
		return nil, err
	}
	for i, a := range answers {
		if a.Err == nil && a.Value.Equal(NewValue("")) {
			answers[i].Err = Problem(fault.Refused, a.Name, "give it a value, or take it out of sluice.yaml", "is empty")
		}
	}
	lister, ok := store.(Lister)
	if !ok {
		for _, q := range listed {
			answers = append(answers, Answer{Variable: Variable{Name: q.Name}})
		}
		return answers, nil
	}
	more, err := ask(ctx, lister.Versions, listed)
	return append(answers, more...), err
}

func ask(ctx context.Context, resolve resolver, queries []Query) ([]Answer, error) {
	answers := make([]Answer, 0, len(queries))
	if len(queries) == 0 {
		return answers, nil
	}
	if found, err := resolve(ctx, queries); err == nil {
		for _, v := range found {
			answers = append(answers, Answer{Variable: v})
		}
		return answers, nil
	}
	for _, q := range queries {
		one, err := resolve(ctx, []Query{q})
		switch {
		case err == nil:
			answers = append(answers, Answer{Variable: one[0]})
		case fault.Is(err, fault.NotFound), fault.Is(err, fault.Refused):
			answers = append(answers, Answer{Variable{Name: q.Name}, err})
		default:
			return nil, err
		}
	}
	return answers, nil
}
