package app

import (
	"context"

	"github.com/sluice-dev/sluice/api/v1alpha1"
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

// Testify learns first, too. Where that fails nothing is told: it could not be told without secrets.
func (s *supply) Testify(ctx context.Context, scope deploy.Scope, candidate, live v1alpha1.Slot) deploy.Testimony {
	if err := s.learn(ctx, scope); err != nil {
		return deploy.Testimony{Lacking: "the logs and values of the slots, because it could not be found out what is secret in them: " + err.Error()}
	}
	return s.releaser.Testify(ctx, scope, candidate, live)
}

// learn makes the contents of the service's Secrets known, once; those who come while it asks, ask as well: nobody waits for another's
// request, and masking twice is the same.
func (s *supply) learn(ctx context.Context, scope deploy.Scope) error {
	s.mu.Lock()
	learned := s.learned
	s.mu.Unlock()
	if learned {
		return nil
	}
	kept, err := s.keeper.Kept(ctx, placeOf(scope))
	if err != nil {
		return err
	}
	for _, value := range kept {
		s.secrets.Add(value.Reveal())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.learned = true
	return nil
}
