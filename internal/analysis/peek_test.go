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

// A limit bets on the share of a whole second. What fails together in a part of one is no more than what fails in the second.
func TestALimitDoesNotPeek(t *testing.T) {
	f := &feed{a: begin(t, 0.01)}
	report := f.run(2, n(1000, 20), nil)
	for report.Answers[0].Evidence < report.Answers[0].Needed/10 {
		if report = f.run(1, n(1000, 20), nil); report.Decision == analysis.Abort {
			t.Fatal("aborted too soon to see anything")
		}
	}
	clump := f.read(n(20, 20), nil)
	clump.At = clump.At.Add(-500 * time.Millisecond)
	if f.a.Look(clump) == analysis.Abort {
		t.Error("aborted by a part of a second")
	}
	if f.run(1, n(980, 0), nil).Decision == analysis.Abort {
		t.Error("aborted by a second at the limit's double")
	}
}
