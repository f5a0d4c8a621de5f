package app

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/store"
	"github.com/sluice-dev/sluice/internal/store/memory"
)

// slots is a fake of what deploys, with a slot that has pods and one that has none.
type slots struct {
	requests
	err error
}

func (s *slots) Observe(context.Context, deploy.Scope) (deploy.Observation, error) {
	return deploy.Observation{Slots: map[v1alpha1.Slot]deploy.Slot{
		v1alpha1.SlotBlue: {DeployDigest: "sha256:live"}, v1alpha1.SlotGreen: {DeployDigest: "sha256:retired", State: deploy.Retired},
	}}, s.err
}

func tidied(t *testing.T) (*Place, *slots, *shelf, *operator) {
	t.Helper()
	s, kept, o := &slots{}, &shelf{}, &operator{present: true}
	key := store.Key{Service: "shop", Environment: "prod", Namespace: "shop"}
	return &Place{Key: key, Store: memory.New(nil), Releaser: s, keeper: kept, referrer: o}, s, kept, o
}

// Another run that writes its record after the Secrets were listed is known, and so keeps what it needs.
func TestARolloutThatBeginsMeanwhileKeepsItsVariables(t *testing.T) {
	p, _, kept, o := tidied(t)
	kept.meanwhile = func() {
		r := v1alpha1.Rollout{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindRollout, Service: "shop", Environment: "prod", Namespace: "shop", Number: 1, Phase: v1alpha1.Pending, DeployDigest: "sha256:next"}
		r.Return.DeployDigest = "sha256:before"
		if _, err := p.Store.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	for by, needed := range map[string][]string{"Secrets": kept.needed, "references": o.needed} {
		if diff := cmp.Diff([]string{"sha256:live", "sha256:next", "sha256:before"}, needed); diff != "" {
			t.Errorf("of %s are needed (-want +got):\n%s", by, diff)
		}
	}
}

func TestNothingIsTidiedThatCannotBeSeen(t *testing.T) {
	p, s, kept, _ := tidied(t)
	s.err = fault.New(fault.Unreachable, "", "down")
	if err := p.Tidy(t.Context()); !fault.Is(err, fault.Unreachable) || kept.needed != nil {
		t.Errorf("%v are needed, %v", kept.needed, err)
	}
	// Of references it is said as well, although who has none may have no right to look for them.
	if err := p.unrefer(t.Context()); !errors.Is(err, s.err) {
		t.Errorf("of references it gives %v", err)
	}
}
