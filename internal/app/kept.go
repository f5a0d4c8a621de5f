package app

import (
	"context"
	"sync"

	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// taint knows the secrets of this run but not those that were learned only to be masked: what was a secret once may be a plain value now, and
// stand in a chart.
type taint struct {
	variables.Masker
	mu sync.Mutex
	// learned are contents of Secrets that earlier deployments left.
	learned map[string]bool
}

// newTaint listens to what becomes known as a secret.
func newTaint(secrets *variables.Masker) *taint {
	t := &taint{learned: map[string]bool{}}
	secrets.Each(func(value string) {
		if !t.isLearned(value) {
			t.Add(value)
		}
	})
	return t
}

// except is told of a value before the masker of the run hears of it.
func (t *taint) except(value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.learned[value] = true
}

func (t *taint) isLearned(value string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.learned[value]
}

// Observe learns first what the service's pods know: they say it in logs, answers and messages, and a run that reads no store, such as one
// that resumes, or looks, would hand it on.
func (s *supply) Observe(ctx context.Context, scope deploy.Scope) (deploy.Observation, error) {
	// Who may not read Secrets cannot look at slots either, and is told so.
	if err := s.learn(ctx, scope); err != nil && !fault.Is(err, fault.Unreachable) {
		return deploy.Observation{}, err
	}
	return s.releaser.Observe(ctx, scope)
}

// learn makes the contents of the service's Secrets known, once.
func (s *supply) learn(ctx context.Context, scope deploy.Scope) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.learned {
		return nil
	}
	kept, err := s.keeper.Kept(ctx, placeOf(scope))
	if err != nil {
		return err
	}
	for _, value := range kept {
		if text := value.Reveal(); !s.secrets.Knows(text) {
			s.taint.except(text)
			s.secrets.Add(text)
		}
	}
	s.learned = true
	return nil
}
