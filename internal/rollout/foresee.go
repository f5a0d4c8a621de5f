package rollout

import (
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/guard"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/store"
)

// Foresee is what the guard will be shown of the rollout that a start begins, before any traffic, as far as records tell: without routes, and
// without the header, as long as nothing leads to the candidate. It is false where nothing will be judged anew: on the way back, where an
// unfinished rollout is gone on with, where the same was verified before, and where nothing can be known of a first installation.
func Foresee(records []store.Record, s Start) (guard.Scene, bool, error) {
	digest, err := Digest(s.Ref, s.Key.Environment, s.Environment, s.Variables)
	if err != nil {
		return guard.Scene{}, false, err
	}
	active, unfinished := Active(records)
	last, verified := LastVerified(records)
	if s.Back || unfinished && resumable(active, digest) || verified && last.DeployDigest == digest {
		return guard.Scene{}, false, nil
	}
	plan, live := expand(s.Environment, s.Release.Spec), v1alpha1.SlotNone
	if verified {
		live = last.Candidate
	} else {
		plan = firstInstallation(plan)
	}
	if plan.Analysis == nil {
		return guard.Scene{}, false, nil
	}
	of := metric.Subject{
		Service: s.Key.Service, Environment: s.Key.Environment, Namespace: s.Key.Namespace, Entry: plan.Entry, Candidate: candidateSlot(plan, live),
	}
	if live != of.Candidate {
		of.Live = live
	}
	return guard.Scene{Subject: of, Spec: *plan.Analysis}, true, nil
}
