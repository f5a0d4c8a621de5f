package variables

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-dev/sluice/internal/fault"
)

// together is how many questions a store is asked at once: enough that fifty take little longer than a few, and few enough that a
// store which counts requests is not provoked.
const together = 8

// wide is a problem of the store, and not of what it was asked for.
type wide struct{ error }

// Unwrap returns the problem.
func (w wide) Unwrap() error { return w.error }

// Wide marks a problem which every other question would meet too: the store is down, or does not know who asks.
func Wide(err error) error { return wide{err} }

// Each asks n questions, the first alone and the others some at a time, and returns the error of each. The first finds out whether the
// store answers at all, and to whom. After a wide problem nothing more is asked: it is then the error of each question without an answer.
func Each(ctx context.Context, n int, ask func(ctx context.Context, i int) error) []error {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	e := &each{ctx: ctx, stop: stop, errs: make([]error, n)}
	var wait sync.WaitGroup
	room := make(chan struct{}, together)
	for i := range n {
		room <- struct{}{}
		wait.Go(func() {
			defer func() { <-room }()
			e.one(inner, i, ask)
		})
		if i == 0 {
			wait.Wait()
		}
	}
	wait.Wait()
	return e.errs
}

type each struct {
	ctx  context.Context
	stop func()

	mu   sync.Mutex
	all  error
	errs []error
}

func (e *each) one(ctx context.Context, i int, ask func(context.Context, int) error) {
	err := ctx.Err()
	if err == nil {
		err = ask(ctx, i)
	}
	if err == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var w wide
	switch {
	case e.ctx.Err() != nil:
		err = fault.Wrap(fault.Interrupted, "", e.ctx.Err())
	case e.all != nil && ctx.Err() != nil:
		err = e.all
	case errors.As(err, &w):
		if e.all == nil {
			e.all = err
		}
		err = e.all
		e.stop()
	}
	e.errs[i] = err
}

// Problems gives errors the names of the variables that were asked for: errs[i] is that of queries[i]. What is the same is said once.
func Problems(queries []Query, errs []error) []error {
	type told struct {
		err   error
		names []string
	}
	var order []*told
	known := map[string]*told{}
	for i, err := range errs {
		if err == nil {
			continue
		}
		text := err.Error() + "\n" + fault.HintOf(err)
		if known[text] == nil {
			known[text] = &told{err: err}
			order = append(order, known[text])
		}
		if t := known[text]; !slices.Contains(t.names, queries[i].Name) {
			t.names = append(t.names, queries[i].Name)
		}
	}
	var problems []error
	for _, t := range order {
		op := "variable "
		if len(t.names) > 1 {
			op = "variables "
		}
		problems = append(problems, fault.Wrap(fault.KindOf(t.err), op+strings.Join(t.names, ", "), t.err))
	}
	return problems
}
