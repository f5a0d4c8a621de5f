package app

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

func (r *requests) Observe(context.Context, deploy.Scope) (deploy.Observation, error) {
	r.observed++
	return deploy.Observation{}, nil
}

func (r *requests) Testify(context.Context, deploy.Scope, v1alpha1.Slot, v1alpha1.Slot) deploy.Testimony {
	r.observed++
	return deploy.Testimony{Differences: []string{"a: 1 → 2"}}
}

// TestAWitnessKnowsWhatToHide: what pods and values tell is not asked for before it is known what is secret in it.
func TestAWitnessKnowsWhatToHide(t *testing.T) {
	s := newSupply(t)
	s.shelf.before = []string{"the-f0rmer-password"}
	for _, w := range []deploy.Witness{s.supply, unwatched{s.supply}} {
		if got := w.Testify(t.Context(), deploy.Scope{}, v1alpha1.SlotGreen, v1alpha1.SlotBlue); len(got.Differences) != 1 {
			t.Errorf("%+v", got)
		}
	}
	if !s.secrets.Holds("the-f0rmer-password") {
		t.Error("the service's Secrets are not known")
	}
	blind := newSupply(t)
	blind.shelf.broken = fault.New(fault.Unreachable, "list Secrets", "forbidden")
	got := blind.supply.Testify(t.Context(), deploy.Scope{}, v1alpha1.SlotGreen, v1alpha1.SlotBlue)
	if blind.requests.observed != 0 || len(got.Differences) != 0 || !strings.Contains(got.Lacking, "list Secrets: forbidden") {
		t.Errorf("%+v", got)
	}
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

// during is a shelf that takes its time.
type during struct {
	*shelf
	ask func()
}

func (d during) Kept(ctx context.Context, place variables.Place) ([]variables.Value, error) {
	d.ask()
	return d.shelf.Kept(ctx, place)
}

// TestNobodyWaitsForWhatPodsKnow: nothing else that needs what this run has read waits for the answer of an API server.
func TestNobodyWaitsForWhatPodsKnow(t *testing.T) {
	s := newSupply(t)
	s.supply.keeper = during{s.shelf, func() {
		if !s.supply.mu.TryLock() {
			t.Fatal("everybody waits for the API server")
		}
		s.supply.mu.Unlock()
	}}
	if _, err := s.supply.Observe(t.Context(), deploy.Scope{Namespace: "shop", Service: "web", Environment: "prod"}); err != nil || s.shelf.asked != 1 {
		t.Errorf("%v after %d questions", err, s.shelf.asked)
	}
}
