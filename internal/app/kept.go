package app

import (
	"context"

	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

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
		s.secrets.Add(value.Reveal())
	}
	s.learned = true
	return nil
}
