package app

import (
	"context"
	"errors"
	"testing"

	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

func (r *requests) Observe(context.Context, deploy.Scope) (deploy.Observation, error) {
	r.observed++
	return deploy.Observation{}, nil
}

// TestWhatPodsKnowIsMasked: a run that reads no store, such as one that resumes, meets secrets in the words of pods all the same.
func TestWhatPodsKnowIsMasked(t *testing.T) {
	s := newSupply(t)
	s.shelf.before = []string{"the-f0rmer-password"}
	for range 2 {
		if _, err := s.supply.Observe(t.Context(), deploy.Scope{Namespace: "shop", Service: "web", Environment: "prod"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.secrets.String("FATAL: no login with the-f0rmer-password"); got != "FATAL: no login with [redacted]" {
		t.Error(got)
	}
	if s.requests.observed != 2 || s.shelf.asked != 1 {
		t.Errorf("%d observations asked %d times for Secrets", s.requests.observed, s.shelf.asked)
	}
}

func TestSecretsThatCannotBeRead(t *testing.T) {
	s := newSupply(t)
	s.shelf.broken = fault.New(fault.Transient, "list Secrets", "%w", errors.New("later"))
	if _, err := s.supply.Observe(t.Context(), deploy.Scope{}); !fault.Is(err, fault.Transient) || s.requests.observed != 0 {
		t.Errorf("pods were looked at without knowing what to hide: %v", err)
	}
	// Who may not read them sees nothing of slots either, and is told so by that.
	s.shelf.broken = fault.New(fault.Unreachable, "list Secrets", "forbidden")
	if _, err := s.supply.Observe(t.Context(), deploy.Scope{}); err != nil || s.requests.observed != 1 {
		t.Error(err)
	}
}
