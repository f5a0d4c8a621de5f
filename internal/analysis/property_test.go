package analysis_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/test/simulation"
)

// What must hold by the mathematics, whatever the numbers are; the numbers are drawn with fixed seeds.

// One more failure of the candidate is never to its advantage: side by side, and against a limit. Against live's history, and against a
// limit where nothing runs beside it, it can be where failures come together, because they may then be a burst.
func TestMoreFailuresNeverHelpTheCandidate(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 1))
	for run := range 400 {
		limit := []float64{0, 0.05}[run%2]
		better, worse := &feed{a: begin(t, limit)}, &feed{a: begin(t, limit)}
		extra := random.Float64() * 0.3
		for second := range 40 {
			c, l := n(random.Uint64N(6), 0), n(random.Uint64N(20), 0)
			c.Failed, l.Failed = random.Uint64N(c.Requests/2+1), random.Uint64N(l.Requests/5+1)
			if limit > 0 {
				c, l = n(random.Uint64N(2), 0), nil
			}
			more := *c
			if more.Failed < more.Requests && random.Float64() < extra {
				more.Failed++
			}
			one, two := better.run(1, c, l), worse.run(1, &more, l)
			if two.Decision == analysis.Abort {
				break
			}
			a, b := one.Answers[0], two.Answers[0]
			if one.Decision == analysis.Abort || !(b.Evidence >= a.Evidence*(1-1e-9)) {
				t.Fatalf("run %d, second %d: %s with %v for %d of %d, %s with %v for %d", run, second, one.Decision, a.Evidence,
					a.Candidate.Bad, a.Candidate.Requests, two.Decision, b.Evidence, b.Candidate.Bad)
			}
		}
	}
}

// Whatever is read, an old read, or a source that is down, decides nothing and changes nothing that was counted.
func TestOnlyWhatIsNewDecides(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 2))
	for range 50 {
		f := &feed{a: begin(t, 0.02), since: 1}
		for range 60 {
			before := f.run(1, n(random.Uint64N(20), 0), n(random.Uint64N(50), random.Uint64N(2)))
			old := analysis.Read{At: time.Unix(int64(1000+f.second-random.IntN(20)), 0), Since: time.Unix(random.Int64N(900), 0),
				Candidate: n(random.Uint64(), random.Uint64()), Live: n(random.Uint64(), 0), Alone: random.IntN(2) > 0}
			if got := f.a.Look(old); got != before.Decision {
				t.Fatalf("%s after an old read, %s before", got, before.Decision)
			}
			if diff := cmp.Diff(before, f.a.Report()); diff != "" {
				t.Fatal(diff)
			}
			if got := f.a.Look(analysis.Read{At: time.Unix(1e6, 0), Down: true, Candidate: n(1e6, 1e6)}); got == analysis.Advance {
				t.Fatal("advanced while the source is down")
			}
		}
	}
}

// The interval holds the share that was seen, and at all looks together the true rate with 95 %.
func TestIntervalsHoldTheRate(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	const runs = 300
	for _, rate := range []float64{0, 0.005, 0.3, 1} {
		missed := 0
		for range runs {
			f, miss := &feed{a: begin(t, 0)}, false
			for range 60 {
				c := n(random.Uint64N(30), 0)
				for range c.Requests {
					if random.Float64() < rate {
						c.Failed++
					}
				}
				got := f.run(1, c, nil).Answers[0].Candidate
				if got.Low < 0 || got.Low > got.Share()+1e-12 || got.High < got.Share()-1e-12 || got.High > 1 {
					t.Fatalf("%+v", got)
				}
				miss = miss || rate < got.Low-1e-9 || rate > got.High+1e-9
			}
			if miss {
				missed++
			}
		}
		if allowed := chance(0.05, runs); missed > allowed {
			t.Errorf("the interval missed the rate %v in %d of %d runs, %d may", rate, missed, runs, allowed)
		}
	}
}

// While the candidate is no worse the evidence side by side is at most 1 on average, whenever one looks, and however the common rate moves.
func TestEvidenceIsAtMostOneOnAverage(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, r := range []simulation.Release{
		{Live: 0.02}, {Live: 0.2}, {Live: 0.7}, {Live: 0.1, Drift: 1}, {Live: 0.1, Burst: 0.3, Shared: true},
	} {
		const runs = 2000
		var sum, squares float64
		r.Candidate, r.RPS, r.Share, r.Seconds = r.Live, 5, 0.3, 40 // too few requests for live's history to be bet on
		for range runs {
			a := begin(t, 0)
			r.Run(a, random, analysis.Abort)
			e := min(a.Report().Answers[0].Evidence, 100) // the mean of what is larger is nothing that 2000 runs could tell
			sum, squares = sum+e, squares+e*e
		}
		mean := sum / runs
		if deviation := math.Sqrt((squares/runs - mean*mean) / runs); mean > 1+3*deviation {
			t.Errorf("%+v: evidence is %.2f ± %.2f on average", r, mean, deviation)
		}
	}
}

// The promise itself, at chances that can be seen in few releases.
func TestFalseAbortsAreAsRareAsAskedFor(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 5))
	const runs = 500
	for _, asked := range []float64{0.01, 0.05} {
		for _, r := range []simulation.Release{{Live: 0.005}, {Live: 0.1}, {Live: 0.02, Burst: 0.05, Shared: true}} {
			aborted := 0
			for i := range runs {
				a, err := analysis.New(analysis.Settings{FalseAbort: asked, Questions: []analysis.Question{{Name: "errors", Bad: analysis.Failed}}})
				if err != nil {
					t.Fatal(err)
				}
				r.Candidate, r.RPS, r.Share, r.Warm, r.Seconds = r.Live, []float64{3, 30}[i%2], 0.2, 30, 120
				if r.Run(a, random, analysis.Abort).Decision == analysis.Abort {
					aborted++
				}
			}
			if allowed := chance(asked, runs); aborted > allowed {
				t.Errorf("%v asked for, %d of %d aborted: %+v", asked, aborted, runs, r)
			}
		}
	}
}

// chance is how many of so many may be, if each is with chance p, three standard deviations included.
func chance(p float64, of int) int {
	mean := p * float64(of)
	return int(math.Ceil(mean + 3*math.Sqrt(mean*(1-p))))
}

// What is read in one moment does not depend on which question asks, nor on the questions' order.
func TestTheOrderOfQuestionsDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 6))
	ask := []analysis.Question{{Name: "errors", Bad: analysis.Failed, Max: 0.05}, {Name: "slowness", Bad: analysis.Slow}}
	for run := range 30 {
		var all [2]*feed
		for i := range all {
			a, err := analysis.New(analysis.Settings{Questions: []analysis.Question{ask[i], ask[1-i]}})
			if err != nil {
				t.Fatal(err)
			}
			all[i] = &feed{a: a}
		}
		for range 100 {
			c, l := &metric.Counters{Requests: random.Uint64N(40)}, &metric.Counters{Requests: random.Uint64N(200)}
			c.Failed, c.Slow, l.Failed = random.Uint64N(c.Requests/4+1), random.Uint64N(c.Requests/(1+uint64(run))+1), random.Uint64N(3)%(l.Requests+1)
			one, two := all[0].run(1, c, l), all[1].run(1, c, l)
			two.Answers[0], two.Answers[1] = two.Answers[1], two.Answers[0]
			one.Sentence, two.Sentence = "", "" // of equals the first speaks
			one.Verdict, two.Verdict = "", ""
			if diff := cmp.Diff(one, two); diff != "" {
				t.Fatal(fmt.Sprint(run), diff)
			}
		}
	}
}
