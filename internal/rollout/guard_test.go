package rollout

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/gate"
	"github.com/sluice-dev/sluice/internal/guard"
)

// oracle is a guard that says what the test wants, and remembers what it was shown.
type oracle struct {
	mu   sync.Mutex
	says func(s guard.Scene) v1alpha1.Judgement
	seen []guard.Scene
}

func (o *oracle) Look(_ context.Context, s guard.Scene) v1alpha1.Judgement {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, s)
	j := o.says(s)
	j.Step = s.Step
	return j
}

func fine(guard.Scene) v1alpha1.Judgement {
	return v1alpha1.Judgement{Decision: string(analysis.Advance), Verdict: string(analysis.Good), Enough: true, Until: start().Add(24 * time.Hour)}
}

func silence(guard.Scene) v1alpha1.Judgement {
	return v1alpha1.Judgement{Decision: string(analysis.More), Verdict: string(analysis.NoData), Sentence: "nobody came"}
}

// judgedStart is a canary with an analysis, over a first version that is live.
func judgedStart(w *theatre, version string, spec *v1alpha1.Analysis) Start {
	s := w.start(version, "canary")
	s.Environment.Analysis = spec
	return s
}

func (w *theatre) judged(o *oracle) Options {
	options := w.machine().o
	options.Guard = o
	return options
}

func (w *theatre) play(t *testing.T, options Options, s Start) (v1alpha1.Rollout, error) {
	t.Helper()
	return New(options).Run(t.Context(), s, DriveOptions{Locker: w.locker, Holder: "ann", WaitSettled: true})
}

func TestTheGuardIsShownEveryPhase(t *testing.T) {
	w, o := newTheatre(t), &oracle{says: fine}
	spec := &v1alpha1.Analysis{}
	if r, err := w.play(t, w.judged(o), judgedStart(w, "1", spec)); err != nil || r.Phase != v1alpha1.Succeeded {
		t.Fatal(r.Phase, err)
	}
	o.seen = nil
	if r, err := w.play(t, w.judged(o), judgedStart(w, "2", spec)); err != nil || r.Phase != v1alpha1.Succeeded {
		t.Fatal(r.Phase, err)
	}
	var before, shifting, analyzing, alone bool
	for _, s := range o.seen {
		before = before || s.Weight == 0 && s.Since.IsZero() && s.Subject.Live != s.Subject.Candidate
		shifting = shifting || s.Weight == 30 && s.Since.IsZero()
		analyzing = analyzing || s.Weight == 30 && !s.Since.IsZero()
		alone = alone || s.Weight == 100 && s.Alone && s.Subject.Header == v1alpha1.Header{}
		if s.Moved && s.Weight == 0 || !s.Moved && s.Weight == 30 && s.Since.IsZero() {
			t.Errorf("traffic moves: %v, at a weight of %d", s.Moved, s.Weight)
		}
		if s.Weight == 30 && s.Subject.Header.Name == "" {
			t.Error("the header leads to the candidate, and the guard was not told")
		}
	}
	last := o.seen[len(o.seen)-1]
	first := slices.IndexFunc(o.seen, func(s guard.Scene) bool { return s.Since.Equal(last.Since) && s.Step == last.Step })
	if !o.seen[first].Moved || last.Moved {
		t.Errorf("a step begins with traffic that has just moved: %v, and ends with traffic that has long: %v", o.seen[first].Moved, !last.Moved)
	}
	if !before || !shifting || !analyzing || !alone {
		t.Errorf("before %v, shifting %v, analyzing %v, alone %v", before, shifting, analyzing, alone)
	}
}

func TestABadCandidateIsTakenBackInEveryPhase(t *testing.T) {
	for name, when := range map[string]func(s guard.Scene) bool{
		"deploying": func(s guard.Scene) bool { return s.Weight == 0 },
		"shifting":  func(s guard.Scene) bool { return s.Weight == 30 && s.Since.IsZero() },
		"analyzing": func(s guard.Scene) bool { return s.Weight == 30 && !s.Since.IsZero() },
		"alone":     func(s guard.Scene) bool { return s.Alone && !s.Since.IsZero() },
	} {
		t.Run(name, func(t *testing.T) {
			w, o := newTheatre(t), &oracle{says: fine}
			if r, err := w.play(t, w.judged(o), judgedStart(w, "1", &v1alpha1.Analysis{})); err != nil {
				t.Fatal(r.Phase, err)
			}
			o.says = func(s guard.Scene) v1alpha1.Judgement {
				if s.Number == 2 && when(s) {
					return v1alpha1.Judgement{Decision: string(analysis.Abort), Verdict: string(analysis.Bad), Sentence: "5 % failed", Evidence: []string{"41 × 500"}}
				}
				return fine(s)
			}
			r, err := w.play(t, w.judged(o), judgedStart(w, "2", &v1alpha1.Analysis{}))
			if err != nil || r.Phase != v1alpha1.RolledBack && r.Phase != v1alpha1.Cancelled || r.Cause != "5 % failed" || len(r.Evidence) != 1 {
				t.Errorf("%s, cause %q, evidence %v: %v", r.Phase, r.Cause, r.Evidence, err)
			}
		})
	}
}

func TestNothingIsPassedWithoutEvidence(t *testing.T) {
	w, o := newTheatre(t), &oracle{says: fine}
	spec := &v1alpha1.Analysis{OnNoData: v1alpha1.OutcomeWait, OnSourceDown: v1alpha1.OutcomeWait}
	if r, err := w.play(t, w.judged(o), judgedStart(w, "1", spec)); err != nil {
		t.Fatal(r.Phase, err)
	}
	o.says = func(s guard.Scene) v1alpha1.Judgement {
		if s.Weight == 0 {
			return fine(s)
		}
		return silence(s)
	}
	r, err := w.play(t, w.judged(o), judgedStart(w, "2", spec))
	if !fault.Is(err, fault.Waiting) || r.Phase != v1alpha1.Analyzing || r.Step != 1 || !strings.Contains(err.Error(), "nobody came") {
		t.Fatalf("%s(%d): %v", r.Phase, r.Step, err)
	}
	waited := w.now().Sub(r.StepSince)
	// Another run waits anew, and goes on once there is evidence.
	until := w.now().Add(30 * time.Second)
	o.says = func(s guard.Scene) v1alpha1.Judgement {
		if w.now().Before(until) {
			return silence(s)
		}
		return fine(s)
	}
	r, err = w.play(t, w.judged(o), judgedStart(w, "2", spec))
	if err != nil || r.Phase != v1alpha1.Succeeded {
		t.Errorf("gone on with: %s, %v (the first run waited %s)", r.Phase, err, waited)
	}
}

func TestAFirstInstallationIsJudgedByLimitsAlone(t *testing.T) {
	for name, c := range map[string]struct {
		spec  v1alpha1.Analysis
		waits bool
	}{
		"none":      {v1alpha1.Analysis{Errors: &v1alpha1.ErrorsQuestion{}}, false},
		"errors":    {v1alpha1.Analysis{Errors: &v1alpha1.ErrorsQuestion{Max: 0.01}}, true},
		"slowness":  {v1alpha1.Analysis{Slower: &v1alpha1.SlowerQuestion{Max: 0.01}}, true},
		"condition": {v1alpha1.Analysis{Metrics: []v1alpha1.Metric{{Name: "queue", Condition: "< 1"}}}, true},
	} {
		w, o := newTheatre(t), &oracle{says: silence}
		r, err := w.play(t, w.judged(o), judgedStart(w, "1", &c.spec))
		if hold := r.Plan.Steps[0].Hold.D(); c.waits && hold < firstHold || !c.waits && hold != 0 {
			t.Errorf("%s: it is watched for %s", name, hold)
		}
		if waits := fault.Is(err, fault.Waiting); waits != c.waits || !waits && r.Phase != v1alpha1.Succeeded {
			t.Errorf("%s: %s, %v", name, r.Phase, err)
		}
	}
}

// stubborn is a gate that answers only when it is cancelled.
type stubborn struct{}

func (stubborn) Check(ctx context.Context, _ gate.Subject) (v1alpha1.Verdict, string, error) {
	select {
	case <-ctx.Done():
		return "", "", ctx.Err()
	case <-time.After(time.Minute):
		return v1alpha1.Passed, "", nil
	}
}

// TestAGateThatTakesItsTimeDoesNotBlindTheGuard takes about a second: the look-out has a real clock.
func TestAGateThatTakesItsTimeDoesNotBlindTheGuard(t *testing.T) {
	w, o := newTheatre(t), &oracle{says: fine}
	if r, err := w.play(t, w.judged(o), judgedStart(w, "1", &v1alpha1.Analysis{})); err != nil {
		t.Fatal(r.Phase, err)
	}
	looks := 0
	o.says = func(s guard.Scene) v1alpha1.Judgement {
		if looks++; s.Number == 2 && !s.Since.IsZero() && looks > 3 {
			return v1alpha1.Judgement{Decision: string(analysis.Abort), Verdict: string(analysis.Bad), Sentence: "worse"}
		}
		return fine(s)
	}
	options := w.judged(o)
	options.Gates = func(v1alpha1.Gate) (gate.Gate, error) { return stubborn{}, nil }
	looks = 0
	r, err := w.play(t, options, judgedStart(w, "2", &v1alpha1.Analysis{}))
	if err != nil || r.Phase != v1alpha1.RolledBack || r.Cause != "worse" {
		t.Errorf("%s, %q: %v", r.Phase, r.Cause, err)
	}
}

// willing is a gate that passes unless it is cancelled.
type willing struct{}

func (willing) Check(ctx context.Context, _ gate.Subject) (v1alpha1.Verdict, string, error) {
	return v1alpha1.Passed, "", ctx.Err()
}

// TestInPlaceTheGuardIsHeardAndTheGatesAreAskedAgain takes back in one slot: what ended the gates of the bad version must not end those of
// the restored one.
func TestInPlaceTheGuardIsHeardAndTheGatesAreAskedAgain(t *testing.T) {
	w, o := newTheatre(t), &oracle{says: fine}
	options := w.judged(o)
	options.Gates = func(v1alpha1.Gate) (gate.Gate, error) { return willing{}, nil }
	for _, version := range []string{"1", "2"} {
		s := w.start(version, "direct")
		s.Environment.Analysis = &v1alpha1.Analysis{}
		r, err := w.play(t, options, s)
		if want := map[string]v1alpha1.Phase{"1": v1alpha1.Succeeded, "2": v1alpha1.RolledBack}[version]; err != nil || r.Phase != want {
			t.Fatalf("%s: %s, %q: %v", version, r.Phase, r.Cause, err)
		}
		o.says = func(s guard.Scene) v1alpha1.Judgement {
			if !s.Alone || s.Subject.Live != v1alpha1.SlotNone {
				t.Errorf("one slot was shown as %+v", s)
			}
			return v1alpha1.Judgement{Decision: string(analysis.Abort), Verdict: string(analysis.Bad), Sentence: "worse"}
		}
	}
}

// seer is a releaser that is a witness too.
type seer struct {
	deploy.Releaser
	calls *int
}

func (s seer) Testify(_ context.Context, _ deploy.Scope, candidate, live v1alpha1.Slot) deploy.Testimony {
	*s.calls++
	return deploy.Testimony{Differences: []string{string(live) + " → " + string(candidate)}, Logs: map[string]string{"app-1/app": "boom"}}
}

func TestWhatIsToBeSeenIsKeptBeforeItIsGone(t *testing.T) {
	w, o := newTheatre(t), &oracle{says: fine}
	if r, err := w.play(t, w.judged(o), judgedStart(w, "1", &v1alpha1.Analysis{})); err != nil {
		t.Fatal(r.Phase, err)
	}
	o.says = func(s guard.Scene) v1alpha1.Judgement {
		j := fine(s)
		if s.Number == 2 && s.Weight == 30 {
			j.Decision, j.Verdict, j.Sentence = string(analysis.Abort), string(analysis.Bad), "worse"
		}
		return j
	}
	calls := 0
	options := w.judged(o)
	options.Releaser = seer{w.releaser, &calls}
	r, err := w.play(t, options, judgedStart(w, "2", &v1alpha1.Analysis{}))
	said := strings.Join(r.Testimony, "\n")
	if err != nil || calls != 1 || !strings.Contains(said, "blue → green") || !strings.Contains(said, "boom") {
		t.Errorf("asked %d times, kept %q: %v", calls, said, err)
	}
}
