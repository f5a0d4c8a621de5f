package rollout

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/traffic"
)

// state is one state of an abstract world in which everything that can happen does: pods come and go, acts succeed,
// fail, or take effect and still report failure, gates answer anything, deadlines pass, people abort.
type state struct {
	first     bool // a first installation
	phase     v1alpha1.Phase
	step      int
	attempts  int
	abort     bool
	removed   bool
	candidate copyOf
	old       copyOf
	split     int // -2 no route, -1 back at old, i as planned, 10+i in transition towards i (9: towards old)
}

// copyOf is what is in a slot.
type copyOf struct {
	state     deploy.State
	ours      bool
	ready     bool
	everReady bool
}

// chance is what the world throws in at one tick.
type chance struct {
	verdict  v1alpha1.Verdict
	deadline bool
	fatal    bool
	judged   judged
}

// judged is what the guard says.
type judged int

const (
	judgedGood judged = iota
	judgedBad
	judgedNothing
)

func (j judged) judgement(step int) *v1alpha1.Judgement {
	switch j {
	case judgedBad:
		return &v1alpha1.Judgement{Step: step, Decision: string(analysis.Abort), Verdict: string(analysis.Bad), Sentence: "worse"}
	case judgedGood:
		return &v1alpha1.Judgement{Step: step, Decision: string(analysis.Advance), Verdict: string(analysis.Good), Enough: true, Until: start().Add(time.Hour)}
	}
	return &v1alpha1.Judgement{Step: step, Decision: string(analysis.More), Verdict: string(analysis.NoData)}
}

func (s state) world(c chance) (v1alpha1.Rollout, Observation, time.Time) {
	w := slots(s.phase, s.step)
	if s.first {
		w = firstInstall(s.phase)
	}
	w.r.Attempts, w.r.LastError = s.attempts, "boom"
	if s.abort {
		w.r.Requests = []v1alpha1.Request{{Kind: v1alpha1.RequestAbort, By: "ann"}}
	}
	if s.removed {
		w.r.History = []v1alpha1.Event{{Phase: v1alpha1.RollingBack, Action: string(RemoveAct)}}
	}
	w.o.Slots = map[v1alpha1.Slot]deploy.Slot{}
	if s.candidate.state != deploy.Absent {
		w.o.Slots[green] = s.candidate.slot("new", 2, c.fatal)
	}
	if !s.first {
		w.o.Slots[blue] = s.old.slot("old", 1, false)
	}
	w.o.Traffic = traffic.State{Split: s.weights(w.r), Transition: s.split >= 9}
	if s.split >= 9 {
		w.o.Traffic.Wait = time.Second
	}
	w.o.Gates = nil
	if s.phase == v1alpha1.Analyzing {
		w.o.Gates = []v1alpha1.GateResult{{Gate: "g", Verdict: c.verdict, Evidence: "scripted"}}
	}
	w.r.Plan.Analysis = &v1alpha1.Analysis{}
	if _, ok := scene(w.r, w.o, start()); ok {
		w.o.Judgement = c.judged.judgement(s.step)
	}
	now := start()
	if c.deadline {
		now = now.Add(time.Hour)
	}
	return w.r, w.o, now
}

func (s state) weights(r v1alpha1.Rollout) v1alpha1.Split {
	switch {
	case s.split == -2:
		return v1alpha1.Split{}
	case s.split == -1 || s.split == 9:
		return v1alpha1.Only(blue)
	case s.split >= 10:
		return Planned(r, s.split-10)
	default:
		return Planned(r, s.split)
	}
}

func (c copyOf) slot(digest string, rollout int, fatal bool) deploy.Slot {
	s := deploy.Slot{State: c.state, DeployDigest: digest, Rollout: rollout, Desired: 2, Current: true}
	if !c.ours {
		s.DeployDigest, s.Rollout = "earlier", 0
	}
	if c.ready {
		s.Ready = 2
	}
	if c.state == deploy.Retired {
		s.Desired, s.Ready = 0, 0
	}
	if fatal {
		s.Facts = []v1alpha1.PodFact{{Pod: "p", Reason: "CrashLoopBackOff", Fatal: true}}
	}
	return s
}

// next lists every state that may follow, and what is wrong with the decision that leads there.
func (s state) next(t *testing.T) []state {
	var out []state
	for _, v := range []v1alpha1.Verdict{v1alpha1.Passed, v1alpha1.Failed, v1alpha1.Waiting} {
		for _, deadline := range []bool{false, true} {
			for _, fatal := range []bool{false, true} {
				for _, j := range []judged{judgedGood, judgedBad, judgedNothing} {
					out = append(out, s.tick(t, chance{v, deadline, fatal, j})...)
				}
			}
		}
	}
	return append(out, s.weather()...)
}

// weather is what happens without Sluice.
func (s state) weather() []state {
	var out []state
	if s.candidate.state == deploy.Deployed {
		n := s
		n.candidate.ready = !s.candidate.ready
		n.candidate.everReady = n.candidate.everReady || n.candidate.ready
		out = append(out, n)
	}
	if !s.first && s.old.state == deploy.Deployed {
		n := s
		n.old.ready = !s.old.ready
		out = append(out, n)
	}
	if !s.abort {
		n := s
		n.abort = true
		out = append(out, n)
	}
	return out
}

func (s state) tick(t *testing.T, c chance) []state {
	r, o, now := s.world(c)
	d := Decide(r, o, now)
	if d.Row == "-" {
		t.Fatalf("no row for %+v with %+v", s, c)
	}
	n := s
	if d.Next != s.phase || d.Step != s.step {
		n.attempts = 0
	}
	n.phase, n.step = d.Next, d.Step
	s.check(t, d, n)
	s.checkGuard(t, o, n)
	if d.Act == NoAct {
		return []state{n}
	}
	n.removed = n.removed || d.Act == RemoveAct
	done, failed := n.after(t, d), n
	failed.attempts = min(n.attempts+1, 3)
	lost := done
	lost.attempts = failed.attempts
	return []state{n, done, failed, lost}
}

// check holds the promises of one decision.
func (s state) check(t *testing.T, d Decision, n state) {
	if s.phase == v1alpha1.RollingBack && n.phase != s.phase && n.phase != v1alpha1.RolledBack && n.phase != v1alpha1.FailedPhase && n.phase != v1alpha1.Cancelled {
		t.Fatalf("forward after RollingBack: %+v → %+v", s, n)
	}
	if d.Act == ShiftAct && d.Split.Weights[green] > 0 && !s.candidate.everReady {
		t.Fatalf("traffic to a slot that was never ready: %+v, %+v", s, d)
	}
	if d.Act == ShiftAct && s.phase == v1alpha1.Shifting && !s.candidate.ready {
		t.Fatalf("more traffic to a slot that is not ready: %+v", s)
	}
	if d.Act == RetireAct && s.split != -1 && d.Slot == green {
		t.Fatalf("the candidate is retired under traffic: %+v", s)
	}
	if d.Act == RetireAct && d.Slot == blue && (s.split != 2 || s.phase != v1alpha1.Settling) {
		t.Fatalf("the old slot is retired under traffic: %+v", s)
	}
	switch {
	case n.phase == v1alpha1.Succeeded && !s.first && s.split != 2:
		t.Fatalf("succeeded without all traffic: %+v", s)
	case n.phase == v1alpha1.RolledBack && !s.first && s.split != -1:
		t.Fatalf("rolled back without all traffic on the old slot: %+v", s)
	case n.phase == v1alpha1.Cancelled && !s.first && (s.candidate.ours && s.candidate.state != deploy.Absent || s.split != -1):
		t.Fatalf("cancelled, but something is left: %+v", s)
	}
}

// checkGuard holds that what is known to be bad is taken back at once, and that nothing goes forward without evidence.
func (s state) checkGuard(t *testing.T, o Observation, n state) {
	j := o.Judgement
	if j == nil {
		return
	}
	if j.Decision == string(analysis.Abort) && n.phase != v1alpha1.RollingBack {
		t.Fatalf("a bad candidate is kept: %+v → %+v", s, n)
	}
	forward := n.phase == v1alpha1.Settling || n.step > s.step
	if s.phase == v1alpha1.Analyzing && forward && !j.Enough {
		t.Fatalf("forward without evidence: %+v → %+v", s, n)
	}
}

// after is the world once the act has taken its whole effect.
func (s state) after(t *testing.T, d Decision) state {
	n := s
	switch d.Act {
	case DeployAct:
		n.candidate = copyOf{state: deploy.Deployed, ours: true}
	case RestoreAct:
		n.old = copyOf{state: deploy.Deployed, ours: true}
	case RemoveAct:
		n.candidate, n.split = copyOf{state: deploy.Absent}, -2
	case RetireAct:
		if d.Slot == green {
			n.candidate.state, n.candidate.ready = deploy.Retired, false
		} else {
			n.old.state, n.old.ready = deploy.Retired, false
		}
	case ShiftAct:
		r, _, _ := s.world(chance{})
		n.split = s.towards(t, r, d.Split)
	}
	return n
}

// towards goes through an intermediate state before a split is reached, as routers of more than one object do.
func (s state) towards(t *testing.T, r v1alpha1.Rollout, want v1alpha1.Split) int {
	if want.Equal(v1alpha1.Only(blue)) {
		if s.split == 9 {
			return -1
		}
		return 9
	}
	for i := range r.Plan.Steps {
		if want.Equal(Planned(r, i)) {
			if s.split == 10+i {
				return i
			}
			return 10 + i
		}
	}
	t.Fatalf("a split that is in no plan: %+v", want)
	return 0
}

// TestEveryReachableState searches the whole space: every state has a row, the promises hold in each, and from each a final phase can be reached.
func TestEveryReachableState(t *testing.T) {
	absent := copyOf{state: deploy.Absent}
	starts := []state{
		{phase: v1alpha1.Pending, candidate: absent, old: copyOf{state: deploy.Deployed, ours: true, ready: true, everReady: true}, split: -1},
		{phase: v1alpha1.Pending, candidate: copyOf{state: deploy.Retired}, old: copyOf{state: deploy.Deployed, ours: true, ready: true, everReady: true}, split: -1},
		{phase: v1alpha1.Pending, first: true, candidate: absent, split: -2},
	}
	before := map[state][]state{}
	seen := map[state]bool{}
	queue := starts
	for _, s := range starts {
		seen[s] = true
	}
	var final []state
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		if s.phase.Final() {
			final = append(final, s)
			continue
		}
		for _, n := range s.next(t) {
			before[n] = append(before[n], s)
			if !seen[n] {
				seen[n] = true
				queue = append(queue, n)
			}
		}
	}
	ends := map[state]bool{}
	for len(final) > 0 {
		s := final[0]
		final = final[1:]
		if ends[s] {
			continue
		}
		ends[s] = true
		final = append(final, before[s]...)
	}
	stuck := 0
	for s := range seen {
		if !ends[s] {
			stuck++
			t.Errorf("no way to a final phase from %+v", s)
		}
		if stuck > 5 {
			break
		}
	}
	t.Logf("%d reachable states", len(seen))
	if len(seen) < 200 {
		t.Errorf("only %d states: the search is broken", len(seen))
	}
}
