package rollout

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/store"
)

func TestForesee(t *testing.T) {
	const blue, green, direct = v1alpha1.SlotBlue, v1alpha1.SlotGreen, v1alpha1.SlotDirect
	canary := v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: []v1alpha1.Step{{Weight: 5}, {Weight: 100}}}}
	limit := &v1alpha1.Analysis{Errors: &v1alpha1.ErrorsQuestion{Max: 0.01}}
	start := func(strategy v1alpha1.Strategy, analysis *v1alpha1.Analysis) Start {
		return Start{
			Key: store.Key{Service: "app", Environment: "prod", Namespace: "shop"}, Ref: v1alpha1.ReleaseRef{Digest: "sha256:2"},
			Environment: v1alpha1.Environment{Namespace: "shop", Strategy: strategy, Entry: "http://shop", Analysis: analysis},
		}
	}
	back := start(canary, limit)
	back.Back = true
	// of is a record of a rollout; same is one of what start asks for.
	of := func(number int, phase v1alpha1.Phase, slot v1alpha1.Slot) store.Record {
		return store.Record{Rollout: v1alpha1.Rollout{Number: number, Phase: phase, Candidate: slot, DeployDigest: "another"}}
	}
	same := func(r store.Record, s Start) store.Record {
		digest, err := Digest(s.Ref, s.Key.Environment, s.Environment, s.Variables)
		if err != nil {
			t.Fatal(err)
		}
		r.Rollout.DeployDigest = digest
		return r
	}
	asked := start(canary, limit)
	cancelled := same(of(2, v1alpha1.Deploying, green), asked)
	cancelled.Rollout.Requests = []v1alpha1.Request{{Kind: v1alpha1.RequestAbort}}
	for name, test := range map[string]struct {
		records         []store.Record
		start           Start
		judged          bool
		live, candidate v1alpha1.Slot
	}{
		"beside the live slot":                {[]store.Record{of(1, v1alpha1.Settling, blue)}, asked, true, blue, green},
		"in place":                            {[]store.Record{of(1, v1alpha1.Succeeded, direct)}, start(v1alpha1.Strategy{Direct: &v1alpha1.Direct{}}, limit), true, "", direct},
		"from a slot to in place":             {[]store.Record{of(1, v1alpha1.Succeeded, green)}, start(v1alpha1.Strategy{}, limit), true, green, direct},
		"a first one with a limit":            {nil, asked, true, "", blue},
		"a first one without":                 {nil, start(canary, &v1alpha1.Analysis{}), false, "", ""},
		"another one is unfinished":           {[]store.Record{of(1, v1alpha1.Succeeded, blue), of(2, v1alpha1.Deploying, green)}, asked, true, blue, green},
		"no analysis":                         {[]store.Record{of(1, v1alpha1.Succeeded, blue)}, start(canary, nil), false, "", ""},
		"the way back":                        {[]store.Record{of(1, v1alpha1.Succeeded, blue)}, back, false, "", ""},
		"it is unfinished":                    {[]store.Record{of(1, v1alpha1.Succeeded, blue), same(of(2, v1alpha1.Analyzing, green), asked)}, asked, false, "", ""},
		"it is unfinished, and to be aborted": {[]store.Record{of(1, v1alpha1.Succeeded, blue), cancelled}, asked, true, blue, green},
		"it is on its way back":               {[]store.Record{of(1, v1alpha1.Succeeded, blue), same(of(2, v1alpha1.RollingBack, green), asked)}, asked, true, blue, green},
		"it is verified":                      {[]store.Record{same(of(1, v1alpha1.Succeeded, blue), asked)}, asked, false, "", ""},
	} {
		s, judged, err := Foresee(test.records, test.start)
		if err != nil || judged != test.judged {
			t.Errorf("%s: %t, %v", name, judged, err)
			continue
		}
		if !judged {
			continue
		}
		want := metric.Subject{Service: "app", Environment: "prod", Namespace: "shop", Entry: "http://shop", Live: test.live, Candidate: test.candidate}
		if diff := cmp.Diff(want, s.Subject); diff != "" || s.Spec.Errors == nil || s.Weight != 0 {
			t.Errorf("%s: %s%+v", name, diff, s)
		}
	}
}
