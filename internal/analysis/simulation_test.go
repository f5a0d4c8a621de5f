package analysis_test

import (
	"math/rand/v2"
	"testing"

	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/test/simulation"
)

// The whole table is printed by test/bench; here are few enough releases to be quick.

func TestHealthyReleasesAreKept(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 3))
	for _, r := range []simulation.Release{
		{Live: 0.005}, {Live: 0.005, Burst: 0.05, Shared: true}, {Live: 0.05, Drift: 0.8}, {},
	} {
		r.Candidate, r.Warm, r.Seconds = r.Live, 60, 200
		for i := range 60 {
			r.RPS, r.Share = []float64{1, 10, 40}[i%3], []float64{0.05, 0.5, 1}[i/3%3]
			if got := r.Run(begin(t, max(0.01, 2*r.Live)), random, analysis.Abort); got.Decision == analysis.Abort {
				t.Errorf("%+v aborted", r)
			}
		}
	}
}

// abortedOf200 is how many of 200 releases are aborted.
func abortedOf200(t *testing.T, r simulation.Release, limit float64, random *rand.Rand) int {
	t.Helper()
	aborted := 0
	for range 200 {
		if r.Run(begin(t, limit), random, analysis.Abort).Decision == analysis.Abort {
			aborted++
		}
	}
	return aborted
}

func TestBadReleasesAreAborted(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 4))
	for _, c := range []struct{ rate, most float64 }{{1, 1.5}, {0.5, 1.5}, {0.2, 3}, {0.05, 10}} {
		r := simulation.Release{Live: 0.005, Candidate: c.rate, RPS: 40, Share: 0.2, Warm: 60, Seconds: 600}
		sum := 0.0
		for range 60 {
			sum += r.Run(begin(t, 0.01), random, analysis.Abort).Seconds
		}
		if mean := sum / 60; mean > c.most {
			t.Errorf("%v failing: %.1f s on average, at most %v wanted", c.rate, mean, c.most)
		}
	}
}

// As with blue/green: live alone, and then the candidate with all traffic.
func TestBadReleasesWithAllTrafficAreAborted(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 7))
	for _, c := range []struct {
		rate, most float64
		warm       int
	}{{1, 2, 60}, {0.2, 2.2, 60}, {0.05, 4, 60}, {1, 2, 10}, {0.2, 3, 10}, {1, 3, 0}, {0.2, 4.5, 0}} {
		r := simulation.Release{Live: 0.005, Candidate: c.rate, RPS: 200, Share: 1, Warm: c.warm, Seconds: 600}
		sum := 0.0
		for range 60 {
			sum += r.Run(begin(t, 0.01), random, analysis.Abort).Seconds
		}
		if mean := sum / 60; mean > c.most {
			t.Errorf("%v failing, live known for %d s: %.1f s on average, at most %v wanted", c.rate, c.warm, mean, c.most)
		}
	}
}

// Where live has so little of the traffic that it takes seconds until an incident shows there, a limit that is quicker than that would blame
// the candidate nearly always.
func TestAnIncidentThatLiveHardlySeesIsSeldomBlamed(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 8))
	r := simulation.Release{Live: 0.005, Candidate: 0.005, RPS: 190, Share: 0.95, Warm: 60, Seconds: 120, Incident: 0.05}
	if aborted := abortedOf200(t, r, 0.01, random); aborted > 20 {
		t.Errorf("%d of 200 aborted", aborted)
	}
}

// What both slots meet at the same instant is not the candidate's fault, even if it has never been seen before.
func TestAnIncidentOfBothIsNobodysFault(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 5))
	r := simulation.Release{Live: 0.005, Candidate: 0.005, RPS: 5, Share: 0.5, Warm: 300, Seconds: 120, Incident: 0.2}
	if aborted := abortedOf200(t, r, 0, random); aborted > 4 { // 1 in 50
		t.Errorf("%d of 200 aborted", aborted)
	}
}

func TestAHealthyReleaseMayAdvanceEarlyAndAWorseOneNot(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 6))
	advanced := func(rate float64) (share float64) {
		for range 100 {
			r := simulation.Release{Live: 0.005, Candidate: rate, RPS: 40, Share: 0.2, Warm: 60, Seconds: 120}
			if r.Run(begin(t, 0), random, analysis.Advance, analysis.Abort).Decision == analysis.Advance {
				share += 0.01
			}
		}
		return share
	}
	if got := advanced(0.005); got < 0.9 {
		t.Errorf("only %.0f %% of the healthy releases advanced within two minutes", got*100)
	}
	if got := advanced(0.015); got > 0.1 {
		t.Errorf("%.0f %% of the releases that are worse by the effect advanced; 5 %% may", got*100)
	}
}

// A moment in which all requests fail is no bad version, once the candidate is alone: it makes one read conspicuous, or two by half.
func TestAMomentIsNoBadRelease(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 9))
	for _, r := range []simulation.Release{{Warm: 60, Looks: 1}, {Warm: 60, Looks: 3}, {Warm: 10, Looks: 4}, {Looks: 3}} {
		r.Live, r.Candidate, r.RPS, r.Share, r.Seconds, r.Blip = 0.005, 0.005, 200, 1, 20, 0.15
		if aborted := abortedOf200(t, r, 0.01, random); aborted > 4 {
			t.Errorf("%d of 200 aborted: %+v", aborted, r)
		}
	}
}
