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
// store that cannot be asked is an error. What is unread, because only a cluster may read it, is asked for its version alone.
func Ask(ctx context.Context, store Store, names []string, unread map[string]bool) ([]Answer, error) {
	var read, list []Query
	for _, name := range names {
		if unread[name] {
			list = append(list, Query{Name: name})
		} else {
			read = append(read, Query{Name: name})
		}
	}
	answers, err := askAll(ctx, read, store.Resolve, empty)
	if err != nil || len(list) == 0 {
		return answers, err
	}
	lister, ok := store.(Lister)
	if !ok {
		return nil, fault.New(fault.Usage, "", "%s has no versions that could be referred to", store).
			WithHint("take the variables as secret, or keep them in a Key Vault or in version 2 of Vault's engine")
	}
	more, err := askAll(ctx, list, lister.Versions, func(Variable) error { return nil })
	return append(answers, more...), err
}

func askAll(ctx context.Context, queries []Query, ask func(context.Context, []Query) ([]Variable, error), wrong func(Variable) error) ([]Answer, error) {
	answers := make([]Answer, 0, len(queries))
	if found, err := ask(ctx, queries); err == nil {
		for _, v := range found {
			answers = append(answers, Answer{v, wrong(v)})
		}
		return answers, nil
	}
	for _, q := range queries {
		one, err := ask(ctx, []Query{q})
		switch {
		case err == nil:
			answers = append(answers, Answer{one[0], wrong(one[0])})
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
