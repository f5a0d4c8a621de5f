package rollout

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/traffic"
)

const (
	blue   = v1alpha1.SlotBlue
	green  = v1alpha1.SlotGreen
	direct = v1alpha1.SlotDirect
)

func start() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// world is a record and an observation that agree: green is the candidate, blue is live, all is well.
type world struct {
	r v1alpha1.Rollout
	o Observation
}

func slots(phase v1alpha1.Phase, step int) world {
	r := v1alpha1.Rollout{
		Service: "calculator", Environment: "prod", Namespace: "calculator-prod", Number: 2,
		Release: v1alpha1.ReleaseRef{Version: "2.0.0"}, DeployDigest: "new", Candidate: green,
		Return: v1alpha1.ReturnTarget{Slot: blue, DeployDigest: "old", Release: v1alpha1.ReleaseRef{Version: "1.0.0"}, HelmRevision: 1},
		Plan: v1alpha1.Plan{
			Strategy: "canary", Slots: true, Router: v1alpha1.RouterNginx, Timeout: v1alpha1.Duration(time.Minute), KeepOld: v1alpha1.Duration(time.Minute),
			Steps: []v1alpha1.Step{{Weight: 0}, {Weight: 50, Hold: v1alpha1.Duration(10 * time.Second)}, {Weight: 100}},
			Gates: []v1alpha1.Gate{{Name: "g", HTTP: &v1alpha1.HTTPGate{Path: "/"}}},
		},
		Phase: phase, Step: step, PhaseSince: start(), StepSince: start(), VerifiedAt: start(),
	}
	o := Observation{
		Slots: map[v1alpha1.Slot]deploy.Slot{
			blue:  {State: deploy.Deployed, DeployDigest: "old", Rollout: 1, Desired: 2, Ready: 2, Current: true},
			green: {State: deploy.Deployed, DeployDigest: "new", Rollout: 2, Desired: 2, Ready: 2, Current: true},
		},
		Traffic: traffic.State{Split: v1alpha1.Only(blue)},
		Gates:   []v1alpha1.GateResult{{Gate: "g", Verdict: v1alpha1.Passed}},
	}
	if phase == v1alpha1.Shifting || phase == v1alpha1.Analyzing || phase == v1alpha1.Settling {
		o.Traffic.Split = Planned(r, step)
	}
	return world{r, o}
}

// inPlace is the direct strategy over the same releases.
func inPlace(phase v1alpha1.Phase) world {
	w := slots(phase, 0)
	w.r.Candidate, w.r.Return.Slot = direct, direct
	w.r.Plan.Slots, w.r.Plan.Router, w.r.Plan.Strategy = false, v1alpha1.RouterNone, "direct"
	w.r.Plan.Steps = []v1alpha1.Step{{Weight: 100}}
	w.o.Slots = map[v1alpha1.Slot]deploy.Slot{direct: w.o.Slots[green]}
	w.o.Traffic = traffic.State{Split: v1alpha1.Only(direct)}
	return w
}

func firstInstall(phase v1alpha1.Phase) world {
	w := slots(phase, 0)
	w.r.Return = v1alpha1.ReturnTarget{}
	w.r.Plan.Steps = []v1alpha1.Step{{Weight: 100}}
	delete(w.o.Slots, blue)
	w.o.Traffic.Split = v1alpha1.Only(green)
	return w
}

func (w world) with(change func(*world)) world { change(&w); return w }

func (w *world) slot(s v1alpha1.Slot, change func(*deploy.Slot)) {
	seen := w.o.Slots[s]
	change(&seen)
	w.o.Slots[s] = seen
}

func request(kind v1alpha1.RequestKind) func(*world) {
	return func(w *world) { w.r.Requests = append(w.r.Requests, v1alpha1.Request{Kind: kind, By: "ann"}) }
}

func unready(s v1alpha1.Slot) func(*world) {
	return func(w *world) { w.slot(s, func(seen *deploy.Slot) { seen.Ready = 0 }) }
}

func verdict(v v1alpha1.Verdict) func(*world) {
	return func(w *world) { w.o.Gates[0].Verdict = v }
}

func exhausted(w *world) { w.r.Attempts, w.r.LastError = 3, "boom" }

// judgedAs is an analysis with what the guard says of the current step.
func judgedAs(change func(*v1alpha1.Analysis, *v1alpha1.Judgement)) func(*world) {
	return func(w *world) {
		spec, j := &v1alpha1.Analysis{OnNoData: v1alpha1.OutcomeWait, OnSourceDown: v1alpha1.OutcomeWait}, judgedGood.judgement(w.r.Step)
		change(spec, j)
		w.r.Plan.Analysis, w.o.Judgement = spec, j
	}
}

func says(decision analysis.Decision, verdict analysis.Verdict, enough bool) func(*world) {
	return judgedAs(func(_ *v1alpha1.Analysis, j *v1alpha1.Judgement) {
		j.Decision, j.Verdict, j.Enough, j.Sentence = string(decision), string(verdict), enough, string(verdict)
	})
}

func onNothing(verdict analysis.Verdict, onNoData, onSourceDown v1alpha1.Outcome) func(*world) {
	return judgedAs(func(spec *v1alpha1.Analysis, j *v1alpha1.Judgement) {
		spec.OnNoData, spec.OnSourceDown = onNoData, onSourceDown
		j.Decision, j.Verdict, j.Enough = string(analysis.More), string(verdict), false
	})
}

func resumedAt(after time.Duration) func(*world) {
	return func(w *world) { w.r.DrivenSince = start().Add(after) }
}

type transition struct {
	name string
	row  string
	w    world
	at   time.Duration
	act  Act
	next v1alpha1.Phase
	step int
}

func transitions() []transition {
	fatal := func(w *world) {
		w.slot(green, func(s *deploy.Slot) {
			s.Ready, s.Facts = 0, []v1alpha1.PodFact{{Pod: "p", Reason: "CrashLoopBackOff", Fatal: true}}
		})
	}
	crash := func(w *world) { fatal(w) }
	older := func(phase v1alpha1.Phase, requests ...v1alpha1.Request) func(*world) {
		return func(w *world) { w.o.Older = &v1alpha1.Rollout{Number: 1, Phase: phase, Requests: requests} }
	}
	return []transition{
		{"pending: newer exists", "1", slots(v1alpha1.Pending, 0).with(func(w *world) { w.o.Newer = true }), 0, NoAct, v1alpha1.Cancelled, 0},
		{"pending: free", "2", slots(v1alpha1.Pending, 0), 0, NoAct, v1alpha1.Deploying, 0},
		{"pending: older settling", "2a", slots(v1alpha1.Pending, 0).with(older(v1alpha1.Settling)), 0, SupersedeAct, v1alpha1.Pending, 0},
		{"pending: older asked to make room", "3", slots(v1alpha1.Pending, 0).with(older(v1alpha1.RollingBack, v1alpha1.Request{Kind: v1alpha1.RequestSupersede})), 0, NoAct, v1alpha1.Pending, 0},
		{"pending: entry waiting", "3", slots(v1alpha1.Pending, 0).with(func(w *world) { w.o.Entry.Verdict = v1alpha1.Waiting }), 0, NoAct, v1alpha1.Pending, 0},
		{"pending: entry failed", "4", slots(v1alpha1.Pending, 0).with(func(w *world) { w.o.Entry.Verdict = v1alpha1.Failed }), 0, NoAct, v1alpha1.Cancelled, 0},
		{"pending: abort", "4", slots(v1alpha1.Pending, 0).with(request(v1alpha1.RequestAbort)), 0, NoAct, v1alpha1.Cancelled, 0},

		{"deploying: slot absent", "5", slots(v1alpha1.Deploying, 0).with(func(w *world) { delete(w.o.Slots, green) }), 0, DeployAct, v1alpha1.Deploying, 0},
		{"deploying: slot retired", "5", slots(v1alpha1.Deploying, 0).with(func(w *world) { w.slot(green, func(s *deploy.Slot) { s.State = deploy.Retired }) }), 0, DeployAct, v1alpha1.Deploying, 0},
		{"deploying: other digest", "5", slots(v1alpha1.Deploying, 0).with(func(w *world) { w.slot(green, func(s *deploy.Slot) { s.DeployDigest = "older" }) }), 0, DeployAct, v1alpha1.Deploying, 0},
		{"deploying: scaled to nothing", "5", slots(v1alpha1.Deploying, 0).with(func(w *world) { w.slot(green, func(s *deploy.Slot) { s.Desired, s.Ready = 0, 0 }) }), 0, DeployAct, v1alpha1.Deploying, 0},
		{"deploying: pods start", "6", slots(v1alpha1.Deploying, 0).with(unready(green)), 0, NoAct, v1alpha1.Deploying, 0},
		{"deploying: ready", "7", slots(v1alpha1.Deploying, 0), 0, NoAct, v1alpha1.Shifting, 0},
		{"deploying: exhausted", "8", slots(v1alpha1.Deploying, 0).with(exhausted), 0, NoAct, v1alpha1.RollingBack, 0},
		{"deploying: crash loop", "8", slots(v1alpha1.Deploying, 0).with(crash), 0, NoAct, v1alpha1.RollingBack, 0},
		{"deploying: deadline", "8", slots(v1alpha1.Deploying, 0).with(unready(green)), time.Minute, NoAct, v1alpha1.RollingBack, 0},
		{"deploying: abort", "20", slots(v1alpha1.Deploying, 0).with(request(v1alpha1.RequestAbort)), 0, NoAct, v1alpha1.RollingBack, 0},

		{"shifting: gone beyond grace", "9", slots(v1alpha1.Shifting, 1).with(unready(green)).with(func(w *world) { w.r.UnreadySince = start() }), 10 * time.Second, NoAct, v1alpha1.RollingBack, 1},
		{"shifting: crash", "9", slots(v1alpha1.Shifting, 1).with(crash), 0, NoAct, v1alpha1.RollingBack, 1},
		{"shifting: exhausted", "9", slots(v1alpha1.Shifting, 1).with(exhausted), 0, NoAct, v1alpha1.RollingBack, 1},
		{"shifting: routes do not follow", "9", slots(v1alpha1.Shifting, 1).with(func(w *world) { w.o.Traffic.Wait = time.Second }), time.Minute, NoAct, v1alpha1.RollingBack, 1},
		{"shifting: not ready within grace", "9a", slots(v1alpha1.Shifting, 1).with(unready(green)).with(func(w *world) { w.o.Traffic.Split = v1alpha1.Only(blue); w.r.UnreadySince = start() }), time.Second, NoAct, v1alpha1.Shifting, 1},
		{"shifting: split is old", "10", slots(v1alpha1.Shifting, 1).with(func(w *world) { w.o.Traffic.Split = v1alpha1.Only(blue) }), 0, ShiftAct, v1alpha1.Shifting, 1},
		{"shifting: only the header is missing", "10", slots(v1alpha1.Shifting, 0).with(func(w *world) { w.o.Traffic.Split = v1alpha1.Only(blue) }), 0, ShiftAct, v1alpha1.Shifting, 0},
		{"shifting: in transition", "10", slots(v1alpha1.Shifting, 2).with(func(w *world) { w.o.Traffic.Transition = true }), 0, ShiftAct, v1alpha1.Shifting, 2},
		{"shifting: converged", "11", slots(v1alpha1.Shifting, 1), 0, NoAct, v1alpha1.Analyzing, 1},
		{"shifting: not converged", "11a", slots(v1alpha1.Shifting, 1).with(func(w *world) { w.o.Traffic.Wait = time.Second }), 0, NoAct, v1alpha1.Shifting, 1},
		{"shifting: foreign deployment", "28", slots(v1alpha1.Shifting, 1).with(func(w *world) { w.slot(green, func(s *deploy.Slot) { s.DeployDigest = "other" }) }), 0, NoAct, v1alpha1.RollingBack, 1},

		{"analyzing: gate failed", "12", slots(v1alpha1.Analyzing, 1).with(verdict(v1alpha1.Failed)), 0, NoAct, v1alpha1.RollingBack, 1},
		{"analyzing: gate never answers", "12", slots(v1alpha1.Analyzing, 1).with(verdict(v1alpha1.Waiting)), 70 * time.Second, NoAct, v1alpha1.RollingBack, 1},
		{"analyzing: pods gone", "13", slots(v1alpha1.Analyzing, 1).with(crash), 0, NoAct, v1alpha1.RollingBack, 1},
		{"analyzing: gate waiting", "14", slots(v1alpha1.Analyzing, 1).with(verdict(v1alpha1.Waiting)), 20 * time.Second, NoAct, v1alpha1.Analyzing, 1},
		{"analyzing: hold", "14", slots(v1alpha1.Analyzing, 1), 9 * time.Second, NoAct, v1alpha1.Analyzing, 1},
		{"analyzing: passed", "15", slots(v1alpha1.Analyzing, 1), 10 * time.Second, NoAct, v1alpha1.Shifting, 2},
		{"analyzing: last passed", "16", slots(v1alpha1.Analyzing, 2), 0, NoAct, v1alpha1.Settling, 2},
		{"analyzing: foreign split", "28a", slots(v1alpha1.Analyzing, 1).with(func(w *world) { w.o.Traffic.Split = v1alpha1.Only(green) }), 0, NoAct, v1alpha1.Shifting, 1},
		{"analyzing: abort", "20", slots(v1alpha1.Analyzing, 1).with(request(v1alpha1.RequestAbort)), 0, NoAct, v1alpha1.RollingBack, 1},
		{"analyzing: supersede", "20", slots(v1alpha1.Analyzing, 1).with(request(v1alpha1.RequestSupersede)), 0, NoAct, v1alpha1.RollingBack, 1},

		{"deploying: the guard", "20a", slots(v1alpha1.Deploying, 0).with(says(analysis.Abort, analysis.Invalid, false)), 0, NoAct, v1alpha1.RollingBack, 0},
		{"shifting: the guard", "20a", slots(v1alpha1.Shifting, 1).with(says(analysis.Abort, analysis.Bad, true)), 0, NoAct, v1alpha1.RollingBack, 1},
		{"analyzing: the guard", "20a", slots(v1alpha1.Analyzing, 1).with(says(analysis.Abort, analysis.Bad, true)), 0, NoAct, v1alpha1.RollingBack, 1},
		{"settling: the guard", "20a", slots(v1alpha1.Settling, 2).with(says(analysis.Abort, analysis.Bad, true)), 0, NoAct, v1alpha1.RollingBack, 2},
		{"settling: the guard, after the old slot is gone", "19", slots(v1alpha1.Settling, 2).with(says(analysis.Abort, analysis.Bad, true)).with(func(w *world) { w.slot(blue, func(s *deploy.Slot) { s.State = deploy.Retired }) }), 0, NoAct, v1alpha1.Succeeded, 2},
		{"analyzing: evidence of no harm, before the hold is over", "14", slots(v1alpha1.Analyzing, 1).with(says(analysis.Advance, analysis.Good, true)), 9 * time.Second, NoAct, v1alpha1.Analyzing, 1},
		{"analyzing: the same, where that may end it", "15", slots(v1alpha1.Analyzing, 1).with(judgedAs(func(spec *v1alpha1.Analysis, _ *v1alpha1.Judgement) { spec.Early = true })), 2 * time.Second, NoAct, v1alpha1.Shifting, 2},
		{"analyzing: more evidence is needed, where it may end early", "14", slots(v1alpha1.Analyzing, 1).with(judgedAs(func(spec *v1alpha1.Analysis, j *v1alpha1.Judgement) {
			spec.Early, j.Decision, j.Verdict = true, string(analysis.More), ""
		})), 2 * time.Second, NoAct, v1alpha1.Analyzing, 1},
		{"analyzing: enough at the end of the hold", "15", slots(v1alpha1.Analyzing, 1).with(says(analysis.More, "", true)), 10 * time.Second, NoAct, v1alpha1.Shifting, 2},
		{"analyzing: too few requests at the end of the hold", "14", slots(v1alpha1.Analyzing, 1).with(says(analysis.More, "", false)), 10 * time.Second, NoAct, v1alpha1.Analyzing, 1},
		{"analyzing: a source is down at the end of the hold", "14", slots(v1alpha1.Analyzing, 1).with(says(analysis.More, analysis.SourceDown, true)), 10 * time.Second, NoAct, v1alpha1.Analyzing, 1},
		{"analyzing: live breaks the limit too", "14", slots(v1alpha1.Analyzing, 1).with(says(analysis.More, analysis.Infrastructure, true)), 10 * time.Second, NoAct, v1alpha1.Analyzing, 1},
		{"analyzing: counters of before the end of the hold", "14", slots(v1alpha1.Analyzing, 1).with(judgedAs(func(_ *v1alpha1.Analysis, j *v1alpha1.Judgement) { j.Until = start().Add(5 * time.Second) })), 10 * time.Second, NoAct, v1alpha1.Analyzing, 1},
		{"analyzing: an answer about the step before", "14", slots(v1alpha1.Analyzing, 1).with(judgedAs(func(_ *v1alpha1.Analysis, j *v1alpha1.Judgement) { j.Step = 0 })), 10 * time.Second, NoAct, v1alpha1.Analyzing, 1},
		{"analyzing: nothing for too long", "14a", slots(v1alpha1.Analyzing, 1).with(onNothing(analysis.NoData, v1alpha1.OutcomeWait, v1alpha1.OutcomeRollBack)), 70 * time.Second, NoAct, v1alpha1.Analyzing, 1},
		{"analyzing: the same, in a run that has just begun", "14", slots(v1alpha1.Analyzing, 1).with(onNothing(analysis.NoData, v1alpha1.OutcomeWait, v1alpha1.OutcomeRollBack)).with(resumedAt(time.Minute)), 70 * time.Second, NoAct, v1alpha1.Analyzing, 1},
		{"analyzing: nothing for too long, and back then", "12a", slots(v1alpha1.Analyzing, 1).with(onNothing(analysis.NoData, v1alpha1.OutcomeRollBack, v1alpha1.OutcomeWait)), 70 * time.Second, NoAct, v1alpha1.RollingBack, 1},
		{"analyzing: the source is down for too long", "14a", slots(v1alpha1.Analyzing, 1).with(onNothing(analysis.SourceDown, v1alpha1.OutcomeRollBack, v1alpha1.OutcomeWait)), 70 * time.Second, NoAct, v1alpha1.Analyzing, 1},
		{"analyzing: the source is down for too long, and back then", "12a", slots(v1alpha1.Analyzing, 1).with(onNothing(analysis.SourceDown, v1alpha1.OutcomeWait, v1alpha1.OutcomeRollBack)), 70 * time.Second, NoAct, v1alpha1.RollingBack, 1},

		{"settling: keep old", "17", slots(v1alpha1.Settling, 2), 59 * time.Second, NoAct, v1alpha1.Settling, 2},
		{"settling: cannot retire", "17", slots(v1alpha1.Settling, 2).with(exhausted), time.Minute, NoAct, v1alpha1.Settling, 2},
		{"settling: over", "18", slots(v1alpha1.Settling, 2), time.Minute, RetireAct, v1alpha1.Settling, 2},
		{"settling: newer waits", "18", slots(v1alpha1.Settling, 2).with(func(w *world) { w.o.Newer = true }), 0, RetireAct, v1alpha1.Settling, 2},
		{"settling: superseded", "18", slots(v1alpha1.Settling, 2).with(request(v1alpha1.RequestSupersede)), 0, RetireAct, v1alpha1.Settling, 2},
		{"settling: retired", "19", slots(v1alpha1.Settling, 2).with(func(w *world) { w.slot(blue, func(s *deploy.Slot) { s.State = deploy.Retired }) }), 0, NoAct, v1alpha1.Succeeded, 2},
		{"settling: in place", "19", inPlace(v1alpha1.Settling), 0, NoAct, v1alpha1.Succeeded, 0},
		{"settling: rollback", "20", slots(v1alpha1.Settling, 2).with(request(v1alpha1.RequestRollback)), 0, NoAct, v1alpha1.RollingBack, 2},
		{"settling: rollback after the old slot is gone", "19", slots(v1alpha1.Settling, 2).with(request(v1alpha1.RequestRollback)).with(func(w *world) { w.slot(blue, func(s *deploy.Slot) { s.State = deploy.Retired }) }), 0, NoAct, v1alpha1.Succeeded, 2},
		{"settling: guard", "20", slots(v1alpha1.Settling, 2).with(crash), 0, NoAct, v1alpha1.RollingBack, 2},

		{"back: nothing changed", "21a", slots(v1alpha1.RollingBack, 0).with(func(w *world) { delete(w.o.Slots, green) }), 0, NoAct, v1alpha1.Cancelled, 0},
		{"back: nothing changed in place", "21a", inPlace(v1alpha1.RollingBack).with(func(w *world) { w.slot(direct, func(s *deploy.Slot) { s.Rollout = 1; s.DeployDigest = "old" }) }), 0, NoAct, v1alpha1.Cancelled, 0},
		{"back: first install gone", "21a", firstInstall(v1alpha1.RollingBack).with(func(w *world) {
			delete(w.o.Slots, green)
			w.r.History = []v1alpha1.Event{{Phase: v1alpha1.RollingBack, Action: string(RemoveAct)}}
		}), 0, NoAct, v1alpha1.RolledBack, 0},
		{"back: first install", "21b", firstInstall(v1alpha1.RollingBack), 0, RemoveAct, v1alpha1.RollingBack, 0},
		{"back: shift", "21", slots(v1alpha1.RollingBack, 2).with(func(w *world) { w.o.Traffic.Split = v1alpha1.Only(green) }), 0, ShiftAct, v1alpha1.RollingBack, 2},
		{"back: only the header stands", "21", slots(v1alpha1.RollingBack, 0).with(func(w *world) { w.o.Traffic.Split = Planned(w.r, 0) }), 0, ShiftAct, v1alpha1.RollingBack, 0},
		{"back: neither can serve", "21", slots(v1alpha1.RollingBack, 2).with(unready(green)).with(unready(blue)).with(func(w *world) { w.o.Traffic.Split = v1alpha1.Only(green) }), 0, ShiftAct, v1alpha1.RollingBack, 2},
		{"back: not converged", "21c", slots(v1alpha1.RollingBack, 2).with(func(w *world) { w.o.Traffic.Wait = time.Second }), 0, NoAct, v1alpha1.RollingBack, 2},
		{"back: candidate runs", "22", slots(v1alpha1.RollingBack, 2), 0, RetireAct, v1alpha1.RollingBack, 2},
		{"back: all back", "23", slots(v1alpha1.RollingBack, 2).with(func(w *world) { w.slot(green, func(s *deploy.Slot) { s.State = deploy.Retired }) }), 0, NoAct, v1alpha1.RolledBack, 2},
		{"back: in place, bad digest", "24", inPlace(v1alpha1.RollingBack), 0, RestoreAct, v1alpha1.RollingBack, 0},
		{"back: in place, restored", "25", inPlace(v1alpha1.RollingBack).with(func(w *world) { w.slot(direct, func(s *deploy.Slot) { s.DeployDigest = "old" }) }), 0, NoAct, v1alpha1.RolledBack, 0},
		{"back: in place, gates fail again", "25a", inPlace(v1alpha1.RollingBack).with(func(w *world) { w.slot(direct, func(s *deploy.Slot) { s.DeployDigest = "old" }) }).with(verdict(v1alpha1.Failed)), 0, NoAct, v1alpha1.RollingBack, 0},
		{"back: in place, pods start", "25a", inPlace(v1alpha1.RollingBack).with(func(w *world) { w.slot(direct, func(s *deploy.Slot) { s.DeployDigest, s.Ready = "old", 0 }) }), 0, NoAct, v1alpha1.RollingBack, 0},
		{"back: old retired, candidate serves", "26", slots(v1alpha1.RollingBack, 2).with(func(w *world) {
			w.o.Traffic.Split = v1alpha1.Only(green)
			w.slot(blue, func(s *deploy.Slot) { s.State, s.Desired, s.Ready = deploy.Retired, 0, 0 })
		}), 0, RestoreAct, v1alpha1.RollingBack, 2},
		{"back: old starts, candidate serves", "26a", slots(v1alpha1.RollingBack, 2).with(unready(blue)).with(func(w *world) { w.o.Traffic.Split = v1alpha1.Only(green) }), 0, NoAct, v1alpha1.RollingBack, 2},
		{"back: exhausted", "27", slots(v1alpha1.RollingBack, 2).with(exhausted), 0, NoAct, v1alpha1.FailedPhase, 2},
		{"back: deadline", "27", slots(v1alpha1.RollingBack, 2), 2 * time.Minute, NoAct, v1alpha1.FailedPhase, 2},
	}
}

func TestEveryTransition(t *testing.T) {
	covered := map[string]bool{}
	for _, tt := range transitions() {
		t.Run(tt.name, func(t *testing.T) {
			d := Decide(tt.w.r, tt.w.o, start().Add(tt.at))
			if d.Row != tt.row || d.Act != tt.act || d.Next != tt.next || d.Step != tt.step {
				t.Errorf("got row %s, act %q, next %s(%d); want row %s, act %q, next %s(%d)",
					d.Row, d.Act, d.Next, d.Step, tt.row, tt.act, tt.next, tt.step)
			}
			if d.Next == v1alpha1.RollingBack && tt.w.r.Phase != v1alpha1.RollingBack && d.Cause == "" {
				t.Error("no cause is given for rolling back")
			}
		})
		covered[tt.row] = true
	}
	for _, row := range Table() {
		if !covered[row.ID] {
			t.Errorf("row %s of the table has no test", row.ID)
		}
	}
}

func TestRollingBackIsAbsorbing(t *testing.T) {
	for _, tt := range transitions() {
		if tt.w.r.Phase != v1alpha1.RollingBack {
			continue
		}
		next := Decide(tt.w.r, tt.w.o, start().Add(tt.at)).Next
		if next != v1alpha1.RollingBack && next != v1alpha1.RolledBack && next != v1alpha1.FailedPhase && next != v1alpha1.Cancelled {
			t.Errorf("%s: from RollingBack to %s", tt.name, next)
		}
	}
}
