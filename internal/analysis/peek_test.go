package analysis_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/metric"
)

// A peek that does not abort leaves no trace, whatever it shows: counters that fell, another clock, a candidate that is alone.
func TestAPeekLeavesNoTrace(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 1))
	for _, max := range []float64{0, 0.05} {
		f := &feed{a: begin(t, max), since: 1}
		peeks := 0
		for range 400 {
			f.run(1, n(random.Uint64N(40), 0), n(random.Uint64N(200), random.Uint64N(2)))
			before := encode(t, f.a)
			r := analysis.Read{
				At:        time.Unix(int64(1000+f.second), 0).Add(time.Duration(1 + random.Int64N(int64(analysis.Round)-1))),
				Since:     time.Unix(random.Int64N(900), 0),
				Candidate: &metric.Counters{Requests: f.candidate.Requests + random.Uint64N(9)},
				Live:      n(random.Uint64(), 0),
				Alone:     random.IntN(2) > 0,
			}
			if f.a.Plays(r.At) || f.a.Look(r) == analysis.Abort {
				t.Fatalf("%+v is played, or aborts", r)
			}
			if after := encode(t, f.a); after != before {
				t.Fatal(cmp.Diff(before, after))
			}
			peeks++
		}
		if peeks == 0 {
			t.Error("nothing was peeked at")
		}
	}
}

func TestAPeekAbortsAndStays(t *testing.T) {
	f := &feed{a: begin(t, 0.01)}
	f.run(60, nil, n(200, 1))
	f.run(1, n(0, 0), n(200, 1))
	read := f.read(n(12, 12), n(48, 0))
	read.At = read.At.Add(-700 * time.Millisecond)
	if got := f.a.Look(read); got != analysis.Abort {
		t.Fatalf("%s, and not within a round", got)
	}
	report := f.a.Report()
	if report.Verdict != analysis.Bad || report.Answers[0].Candidate.Bad != 12 || f.run(60, n(100, 0), n(200, 0)).Decision != analysis.Abort {
		t.Errorf("%+v", report)
	}
	if got := resumed(t, f.a).Report(); got.Decision != analysis.Abort {
		t.Errorf("resumed: %+v", got)
	}
}

// A moment in which everything fails is over before the second is, and no more evidence than the second: a peek that aborts is one after
// which the second aborts, whatever else comes.
func TestAPeekAbortsOnlyWhereTheSecondDoes(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 2))
	aborted := 0
	for range 3000 {
		f := &feed{a: begin(t, []float64{0, 0.01, 0.05}[random.IntN(3)])}
		warm := n(20+random.Uint64N(300), 0)
		for range 5 + random.IntN(60) {
			warm.Failed = random.Uint64N(1 + warm.Requests/40)
			f.run(1, nil, warm)
		}
		f.run(1, n(0, 0), warm)
		alone := random.IntN(2) > 0
		// What comes in the first part of the second, and in the rest, in which nothing fails.
		asked := 1 + random.Uint64N(100)
		failed := random.Uint64N(asked + 1)
		part := 0.1 + random.Float64()*0.5
		early, late := resumed(t, f.a), f.a
		read := f.read(n(asked, failed), n(100, 0))
		read.Alone = alone
		peek := read
		peek.At = read.At.Add(-time.Duration((1 - part) * float64(time.Second)))
		read.Candidate = n(f.candidate.Requests+uint64(float64(asked)*(1/part-1)), f.candidate.Failed)
		if early.Look(peek) != analysis.Abort {
			continue
		}
		aborted++
		if late.Look(read) != analysis.Abort {
			t.Fatalf("%d of %d in the first %.2f s abort, and the second does not (alone: %v): %s", failed, asked, part, alone, late.Report().Sentence)
		}
	}
	if aborted < 100 {
		t.Errorf("%d of 3000 were aborted by a peek", aborted)
	}
}
