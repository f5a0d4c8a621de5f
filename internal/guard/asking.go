package guard

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
)

// asking asks somebody again and again, one question at a time, and never waits longer for the answer than whoever asks.
type asking[T any] struct {
	answers chan answer[T]
	asked   time.Time
	// err is why there is no newer answer; answered says that there was one at any time.
	err      error
	answered bool
}

type answer[T any] struct {
	value T
	err   error
}

// due says that nothing is asked now, and that it is time to, where every is how often.
func (a *asking[T]) due(now time.Time, every time.Duration) bool {
	return a.answers == nil && now.Sub(a.asked) >= every
}

// begin asks. What it returns is closed once there is an answer.
func (a *asking[T]) begin(ctx context.Context, now time.Time, ask func(ctx context.Context) (T, error)) <-chan struct{} {
	done, answers := make(chan struct{}), make(chan answer[T], 1)
	a.asked, a.answers = now, answers
	go func() {
		defer close(done)
		// Whoever answers bounds its time itself; a look that has no patience any more takes the answer next time.
		value, err := ask(context.WithoutCancel(ctx))
		answers <- answer[T]{value, err}
	}()
	return done
}

// nothing is what there is to wait for where nothing is asked.
func nothing() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// next is the answer that has come since, if one has.
func (a *asking[T]) next() (value T, came bool) {
	select {
	case one := <-a.answers: // nobody answers where nothing was asked
		a.answers, a.err = nil, one.err
		a.answered = a.answered || one.err == nil
		return one.value, true
	default:
		return value, false
	}
}

// unusable says that asking again will not help. What was answered before can be again: then something is wrong for a while.
func (a *asking[T]) unusable() bool {
	return a.err != nil && fault.Is(a.err, fault.Usage) && !a.answered
}

// down says that there was no answer, though there could be one.
func (a *asking[T]) down() bool {
	return a.err != nil && !errors.Is(a.err, metric.ErrNoData) && !a.unusable()
}
