package variables_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

func TestEachAsksTheFirstAloneAndEightAtOnce(t *testing.T) {
	var now, most, asked atomic.Int64
	full := make(chan struct{})
	var once sync.Once
	errs := variables.Each(t.Context(), 50, func(_ context.Context, i int) error {
		asked.Add(1)
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if i == 0 {
			if n != 1 || asked.Load() != 1 {
				t.Error("the first is not alone")
			}
			return nil
		}
		// Nobody goes on before eight are here: that they come together is known, and not hoped for.
		if n == 8 {
			once.Do(func() { close(full) })
		}
		<-full
		return nil
	})
	if errors.Join(errs...) != nil || len(errs) != 50 || asked.Load() != 50 || most.Load() != 8 {
		t.Errorf("%d asked, %d at once: %v", asked.Load(), most.Load(), errs)
	}
}

func TestEachStopsAtAWideProblem(t *testing.T) {
	down := errors.New("down")
	var asked atomic.Int64
	errs := variables.Each(t.Context(), 50, func(context.Context, int) error {
		asked.Add(1)
		return variables.Wide(down)
	})
	for i, err := range errs {
		if !errors.Is(err, down) {
			t.Errorf("%d ended with %v", i, err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("%d were asked of a store that is down", asked.Load())
	}

	asked.Store(0)
	errs = variables.Each(t.Context(), 50, func(ctx context.Context, i int) error {
		switch asked.Add(1); {
		case i < 3:
			return nil
		case i == 3:
			return variables.Wide(down)
		default: // what is under way ends
			<-ctx.Done()
			return ctx.Err()
		}
	})
	for i, err := range errs {
		if i == 0 && err != nil || i >= 3 && !errors.Is(err, down) {
			t.Errorf("%d ended with %v", i, err)
		}
	}
	if asked.Load() > 3+8 {
		t.Errorf("%d were asked", asked.Load())
	}
}

func TestEachIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	errs := variables.Each(ctx, 3, func(ctx context.Context, _ int) error {
		cancel()
		return fmt.Errorf("ask: %w", variables.Wide(ctx.Err()))
	})
	for i, err := range errs {
		if !fault.Is(err, fault.Interrupted) {
			t.Errorf("%d ended with %v", i, err)
		}
	}
}

func TestProblemsSayOnceWhatIsTheSame(t *testing.T) {
	down := fault.New(fault.Unreachable, "", "down").WithHint("start it")
	problems := variables.Problems([]variables.Query{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "c", Version: "1"}, {Name: "e"}},
		[]error{down, nil, down, fault.New(fault.Unreachable, "", "down").WithHint("start it"), fault.New(fault.NotFound, "", "missing")})
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprint(fault.KindOf(p), "|", p, "|", fault.HintOf(p)))
	}
	want := []string{"unreachable|variables a, c: down|start it", "notFound|variable e: missing|"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
