package rollout

import (
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/deploy"
)

// Act is one of the few things the machine can do to the world.
type Act string

// The acts.
const (
	NoAct Act = ""
	// DeployAct brings the release into the candidate slot.
	DeployAct Act = "Deploy"
	// RestoreAct brings a slot back to what it was when the rollout began.
	RestoreAct Act = "Restore"
	// ShiftAct moves traffic to Decision.Split.
	ShiftAct Act = "Shift"
	// RetireAct frees a slot's pods; RemoveAct removes routes and slot of a first installation.
	RetireAct Act = "Retire"
	RemoveAct Act = "Remove"
	// SupersedeAct asks the older rollout to make room.
	SupersedeAct Act = "Supersede"
)

// Decision is what follows from a record, an observation and the time.
type Decision struct {
	// Row of the transition table that matched.
	Row   string
	Act   Act
	Slot  v1alpha1.Slot
	Split v1alpha1.Split
	// Next phase and step; unchanged where nothing moves.
	Next v1alpha1.Phase
	Step int
	// Moved says that the phase or the step changes.
	Moved bool
	// Waits says that nothing but evidence lacks, and that the run need not wait for it: the rollout is resumed later.
	Waits bool
	// Rest is for how long nothing but time changes what was observed; 0 where that is not known.
	Rest time.Duration
	// Message for the history; Cause and Evidence why the rollout is given up.
	Message  string
	Cause    string
	Evidence []string
}

// Decide is pure: no clock, no I/O, no mutation. The first row of the table that matches decides.
func Decide(r v1alpha1.Rollout, o Observation, now time.Time) Decision {
	v := &view{r: r, o: o, now: now}
	for _, row := range table() {
		if !row.in(r.Phase) || !row.when(v) {
			continue
		}
		d := Decision{Next: r.Phase, Step: r.Step}
		if row.then != nil {
			row.then(v, &d)
		}
		d.Row, d.Moved = row.ID, d.Next != r.Phase || d.Step != r.Step
		return d
	}
	return Decision{Row: "-", Next: r.Phase, Step: r.Step}
}

// Planned is the split that step i of the plan wants.
func Planned(r v1alpha1.Rollout, i int) v1alpha1.Split {
	weight := r.Plan.Steps[i].Weight
	if weight == 100 || !r.Plan.Slots || r.Return.Slot == v1alpha1.SlotNone {
		return v1alpha1.Only(r.Candidate)
	}
	if r.Plan.Router != v1alpha1.RouterNginx && r.Plan.Router != v1alpha1.RouterGateway {
		return v1alpha1.Only(r.Return.Slot)
	}
	return v1alpha1.Between(r.Return.Slot, r.Candidate, weight)
}

// view answers the questions the table asks.
type view struct {
	r   v1alpha1.Rollout
	o   Observation
	now time.Time
}

func (v *view) candidate() deploy.Slot { return v.o.Slots[v.r.Candidate] }
func (v *view) old() deploy.Slot       { return v.o.Slots[v.r.Return.Slot] }
func (v *view) first() bool            { return v.r.Return.Slot == v1alpha1.SlotNone }
func (v *view) twoSlots() bool         { return v.r.Plan.Slots && !v.first() }
func (v *view) lastStep() bool         { return v.r.Step == len(v.r.Plan.Steps)-1 }

func (v *view) requested(kinds ...v1alpha1.RequestKind) (v1alpha1.Request, bool) {
	for _, request := range v.r.Requests {
		for _, kind := range kinds {
			if request.Kind == kind {
				return request, true
			}
		}
	}
	return v1alpha1.Request{}, false
}

func (v *view) deployed() bool {
	c := v.candidate()
	return c.State == deploy.Deployed && c.DeployDigest == v.r.DeployDigest
}

func (v *view) exhausted() bool { return v.r.Attempts >= attempts(v.r) }

func (v *view) phaseOlderThan(d time.Duration) bool { return v.now.Sub(v.r.PhaseSince) >= d }

func (v *view) timeout() time.Duration { return v.r.Plan.Timeout.Or(5 * time.Minute) }

// beyondGrace says that a candidate under traffic has been away for too long, or will not come back.
func (v *view) beyondGrace() bool {
	if _, fatal := v.candidate().Fatal(); fatal && !v.candidate().IsReady() {
		return true
	}
	return !v.r.UnreadySince.IsZero() && v.now.Sub(v.r.UnreadySince) >= v.r.Plan.Policies.Grace.Or(10*time.Second)
}

// tampered says that a foreign hand changed the candidate under our feet.
func (v *view) tampered() bool {
	c := v.candidate()
	return c.State == deploy.Deployed && c.DeployDigest != v.r.DeployDigest
}

func (v *view) planned() v1alpha1.Split { return Planned(v.r, v.r.Step) }

func (v *view) onPlan() bool {
	return v.o.Traffic.Split.Equal(v.planned()) && !v.o.Traffic.Transition
}

func (v *view) gate(verdict v1alpha1.Verdict) (v1alpha1.GateResult, bool) {
	for _, g := range v.o.Gates {
		if g.Verdict == verdict {
			return g, true
		}
	}
	return v1alpha1.GateResult{}, false
}

func (v *view) gatesPassed() bool {
	return len(v.o.Gates) == len(gatesOf(v.r)) && !has(v.gate(v1alpha1.Waiting)) && !has(v.gate(v1alpha1.Failed))
}

func (v *view) hold() time.Duration { return v.r.Plan.Steps[v.r.Step].Hold.D() }

// holding says that a step's time is not over. Evidence of no harm may end it early, where that is allowed.
func (v *view) holding() bool {
	if v.holdOver() {
		return false
	}
	j := v.o.Judgement
	early := v.r.Plan.Analysis != nil && v.r.Plan.Analysis.Early && j != nil && j.Step == v.r.Step && j.Enough && j.Decision == string(analysis.Advance)
	return !early
}

// guardSaysBad is the judgement that the candidate is to be given up.
func (v *view) guardSaysBad() bool {
	return v.o.Judgement != nil && v.o.Judgement.Decision == string(analysis.Abort)
}

// evidenceLacks says that a step cannot be passed by what its analysis knows: too few requests, a source that is down, a fault that is not
// the candidate's, or counters that do not reach to the end of the hold yet.
func (v *view) evidenceLacks() bool {
	if v.r.Plan.Analysis == nil {
		return false
	}
	j := v.o.Judgement
	if j == nil || j.Step != v.r.Step || !j.Enough {
		return true
	}
	switch analysis.Verdict(j.Verdict) {
	case analysis.SourceDown, analysis.NoData, analysis.Infrastructure:
		return true
	}
	weight := v.o.Traffic.Split.Weights[v.r.Candidate]
	covered := v.r.StepSince.Add(max(v.hold()-lookPeriod, 0))
	return weight > 0 && v.holdOver() && j.Until.Before(covered)
}

func (v *view) holdOver() bool { return v.now.Sub(v.r.StepSince) >= v.hold() }

// evidenceOverdue says that the time is over in which this run may wait for evidence.
func (v *view) evidenceOverdue() bool {
	since := v.r.StepSince
	if v.r.DrivenSince.After(since) {
		since = v.r.DrivenSince
	}
	return v.evidenceLacks() && v.now.Sub(since) >= v.hold()+v.timeout()
}

// onNoEvidence is what the plan says to do then.
func (v *view) onNoEvidence() v1alpha1.Outcome {
	spec, j := v.r.Plan.Analysis, v.o.Judgement
	if j != nil && j.Verdict == string(analysis.SourceDown) {
		return spec.OnSourceDown
	}
	return spec.OnNoData
}

func (v *view) judged() string {
	if v.o.Judgement == nil {
		return "nothing has been counted yet"
	}
	return v.o.Judgement.Sentence
}

// gatesOverdue ends a step whose gates never answer: no evidence is not success.
func (v *view) gatesOverdue() bool {
	return !v.gatesPassed() && v.now.Sub(v.r.StepSince) >= v.hold()+v.timeout()
}

// oldGone says that there is no way back any more by one shift.
func (v *view) oldGone() bool {
	return !v.r.Plan.Slots || v.first() || v.old().State != deploy.Deployed
}

func (v *view) keepOldOver() bool {
	return v.now.Sub(v.r.VerifiedAt) >= v.r.Plan.KeepOld.D() || v.o.Newer || has(v.requested(v1alpha1.RequestSupersede))
}

// untouched says that nothing of this rollout is in the environment.
func (v *view) untouched() bool {
	c, ok := v.o.Slots[v.r.Candidate]
	if ok && c.Rollout == v.r.Number && c.State != deploy.Absent {
		return false
	}
	return !v.twoSlots() || v.back() || v.r.Plan.Router == v1alpha1.RouterNone || v.o.Traffic.Split.Weights == nil
}

func (v *view) back() bool {
	return v.o.Traffic.Split.Equal(v1alpha1.Only(v.r.Return.Slot)) && !v.o.Traffic.Transition
}

// guardBad says that the candidate must lose its traffic even where the old slot is weak.
func (v *view) guardBad() bool {
	judged := v.r.Judgement != nil && v.r.Judgement.Verdict == string(analysis.Bad)
	return !v.candidate().IsReady() || judged
}

func (v *view) oldCanServe() bool {
	return v.old().IsReady() || (v.guardBad() && v.old().State == deploy.Deployed && v.old().Ready > 0)
}

// neitherCanServe is the case in which waiting for the old slot would only prolong the outage.
func (v *view) neitherCanServe() bool {
	return v.guardBad() && v.candidate().Ready == 0 && v.old().Ready == 0
}

// restored says that a slot carries again what it carried when the rollout began.
func restored(r v1alpha1.Rollout, s deploy.Slot) bool {
	return s.State == deploy.Deployed && s.DeployDigest == r.Return.DeployDigest
}

func attempts(r v1alpha1.Rollout) int {
	if r.Plan.Policies.Attempts > 0 {
		return r.Plan.Policies.Attempts
	}
	return 3
}

// has drops the value of an (x, ok) pair.
func has[T any](_ T, ok bool) bool { return ok }

// whyNotReady names the cause a person would look for first.
func (v *view) whyNotReady() (string, []string) {
	c := v.candidate()
	var evidence []string
	for _, f := range c.Facts {
		evidence = append(evidence, f.String())
		if f.Log != "" {
			evidence = append(evidence, "log of "+f.Pod+":\n"+f.Log)
		}
	}
	if f, ok := c.Fatal(); ok {
		return f.String(), evidence
	}
	if v.r.LastError != "" && v.exhausted() {
		return v.r.LastError, evidence
	}
	cause := fmt.Sprintf("%d of %d replicas ready", c.Ready, c.Desired)
	if len(c.Facts) > 0 {
		cause += "; " + c.Facts[0].String()
	}
	return cause, evidence
}
