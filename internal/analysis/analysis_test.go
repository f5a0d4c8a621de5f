package analysis_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
)

func begin(t testing.TB, max float64) *analysis.Analysis {
	t.Helper()
	a, err := analysis.New(analysis.Settings{Questions: []analysis.Question{{Name: "errors", Bad: analysis.Failed, Max: max}}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// feed reads counters that grow by the same amounts every second.
type feed struct {
	a               *analysis.Analysis
	second          int
	candidate, live metric.Counters
	// since is said with each read, in seconds; 0 for not.
	since int64
}

func (f *feed) read(candidate, live *metric.Counters) analysis.Read {
	f.second++
	r := analysis.Read{At: time.Unix(int64(1000+f.second), 0)}
	if f.since > 0 {
		r.Since = time.Unix(f.since, 0)
	}
	for _, c := range []struct {
		sum, add *metric.Counters
		to       **metric.Counters
	}{{&f.candidate, candidate, &r.Candidate}, {&f.live, live, &r.Live}} {
		if c.add == nil {
			continue
		}
		c.sum.Requests += c.add.Requests
		c.sum.Failed += c.add.Failed
		c.sum.Slow += c.add.Slow
		now := *c.sum
		*c.to = &now
	}
	return r
}

// go on for some seconds; the last decision counts.
func (f *feed) run(seconds int, candidate, live *metric.Counters) analysis.Report {
	for range seconds {
		f.a.Look(f.read(candidate, live))
	}
	return f.a.Report()
}

func n(requests, failed uint64) *metric.Counters {
	return &metric.Counters{Requests: requests, Failed: failed}
}

func TestWords(t *testing.T) {
	for _, c := range []struct {
		name     string
		max      float64
		do       func(f *feed) analysis.Report
		decision analysis.Decision
		verdict  analysis.Verdict
		enough   bool
		sentence string
	}{
		{"no traffic at all", 0.01, func(f *feed) analysis.Report { return f.run(600, n(0, 0), n(0, 0)) },
			analysis.More, analysis.NoData, false, "no request has been counted yet"},
		{"no series at all", 0.01, func(f *feed) analysis.Report { return f.run(600, nil, nil) },
			analysis.More, analysis.NoData, false, "no request has been counted yet"},
		{"traffic on live only", 0.01, func(f *feed) analysis.Report { return f.run(600, nil, n(100, 0)) },
			analysis.More, analysis.NoData, false, "the candidate has had no request yet, live 59 900"},
		{"everything fails", 0, func(f *feed) analysis.Report { f.run(60, nil, n(100, 0)); return f.run(2, n(10, 10), n(90, 0)) },
			analysis.Abort, analysis.Bad, false, "100 % of 10 requests failed, live 0 % of 5 990: worse than chance explains (less than 1 in 10^15)"},
		{"everything fails from the first read on", 0, func(f *feed) analysis.Report { return f.run(5, n(10, 10), n(90, 0)) },
			analysis.Abort, analysis.Bad, false, "worse than chance explains (1 in 3 9"},
		{"both fail", 0, func(f *feed) analysis.Report { f.run(60, nil, n(100, 0)); return f.run(300, n(10, 10), n(90, 90)) },
			analysis.More, "", true, "nothing says that it is worse"},
		{"both break the limit", 0.01, func(f *feed) analysis.Report { return f.run(300, n(20, 1), n(80, 4)) },
			analysis.More, analysis.Infrastructure, true, "the candidate is not to blame"},
		{"both begin to fail with the candidate", 0.01, func(f *feed) analysis.Report { f.run(300, nil, n(160, 0)); return f.run(60, n(40, 8), n(160, 32)) },
			analysis.More, analysis.Infrastructure, true, "the candidate is not to blame"},
		{"both have failed for a minute, and it is over", 0.01, func(f *feed) analysis.Report {
			f.run(60, nil, n(160, 0))
			f.run(60, n(40, 40), n(160, 160))
			return f.run(240, n(40, 0), n(160, 0))
		}, analysis.More, "", true, "nothing says that it is worse"},
		{"first installation, everything fails", 0.01, func(f *feed) analysis.Report { return f.run(6, n(10, 10), nil) },
			analysis.Abort, analysis.Bad, true, "100 % of 20 requests failed, 1 % may: worse"},
		{"first installation, nothing fails", 0.01, func(f *feed) analysis.Report { return f.run(1200, n(10, 0), nil) },
			analysis.Advance, analysis.Good, true, "no worse"},
		{"first installation without a limit", 0, func(f *feed) analysis.Report { return f.run(600, n(10, 10), nil) },
			analysis.More, analysis.NoData, true, "neither a live slot to compare with nor a limit"},
		{"nothing fails", 0, func(f *feed) analysis.Report { return f.run(600, n(10, 0), n(90, 0)) },
			analysis.Advance, analysis.Good, true, "no worse"},
		{"nothing fails below a limit", 0.01, func(f *feed) analysis.Report { f.run(60, nil, n(160, 0)); return f.run(20, n(40, 0), n(160, 0)) },
			analysis.Advance, analysis.Good, true, "no worse"},
		{"a few requests", 0, func(f *feed) analysis.Report { f.run(600, nil, n(90, 0)); return f.run(10, n(1, 0), n(90, 0)) },
			analysis.More, "", false, "not enough to tell"},
		{"candidate is gone", 0.01, func(f *feed) analysis.Report { f.run(10, n(10, 0), n(90, 0)); return f.run(600, nil, n(90, 0)) },
			analysis.More, "", true, "nothing says that it is worse"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.do(&feed{a: begin(t, c.max)})
			if got.Decision != c.decision || got.Verdict != c.verdict || got.Enough != c.enough || !strings.Contains(got.Sentence, c.sentence) {
				t.Errorf("got %s %q, enough %t: %s", got.Decision, got.Verdict, got.Enough, got.Sentence)
			}
		})
	}
}

func TestSourceDownIsNoVerdictOnTheCandidate(t *testing.T) {
	f := &feed{a: begin(t, 0.01)}
	f.run(600, n(10, 0), n(90, 0))
	for range 60 {
		f.second++
		if d := f.a.Look(analysis.Read{At: time.Unix(int64(1000+f.second), 0), Down: true}); d != analysis.More {
			t.Fatalf("%s while the source is down", d)
		}
	}
	if r := f.a.Report(); r.Verdict != analysis.SourceDown {
		t.Errorf("verdict %q", r.Verdict)
	}
	// What was counted during the outage is left out, whatever it was.
	if r := f.run(1, n(600, 600), n(5400, 0)); r.Verdict == analysis.Bad {
		t.Errorf("aborted by the gap: %s", r.Sentence)
	}
	if r := f.run(5, n(10, 10), n(90, 0)); r.Verdict != analysis.Bad {
		t.Errorf("after the outage: %q %s", r.Verdict, r.Sentence)
	}
}

func TestBaselineOnceTheCandidateIsAlone(t *testing.T) {
	for _, c := range []struct {
		name    string
		failed  uint64
		verdict analysis.Verdict
	}{{"as before", 1, analysis.Good}, {"twice as often", 2, ""}, {"worse", 20, analysis.Bad}} {
		f := &feed{a: begin(t, 0)}
		f.run(300, nil, n(200, 1))
		for range 1000 {
			r := f.read(n(200, c.failed), nil)
			r.Alone = true
			f.a.Look(r)
		}
		r := f.a.Report()
		if r.Answers[0].Test != analysis.AgainstBaseline || (c.verdict != "" && r.Verdict != c.verdict) || (r.Decision == analysis.Abort) != (c.verdict == analysis.Bad) {
			t.Errorf("%s: %s %q against %s: %s", c.name, r.Decision, r.Verdict, r.Answers[0].Test, r.Sentence)
		}
	}
}

// Once the candidate is alone live excuses it no more, unless it has broken the limit for more than chance explains.
func TestAnExcuseThatWasChanceEndsWithTheSwitch(t *testing.T) {
	for _, c := range []struct {
		name         string
		seconds      int
		failed       uint64
		verdict      analysis.Verdict
		candidateToo uint64
	}{
		{"one failure of live in the last second", 1, 1, analysis.Bad, 2},
		{"live failed for ten seconds", 10, 10, analysis.Infrastructure, 2},
	} {
		f := &feed{a: begin(t, 0.01)}
		f.run(60, n(0, 0), n(40, 0))
		f.run(c.seconds, n(0, 0), n(40, c.failed))
		for range 120 {
			r := f.read(n(40, c.candidateToo), nil)
			r.Alone = true
			f.a.Look(r)
		}
		if r := f.a.Report(); r.Verdict != c.verdict {
			t.Errorf("%s: %s %q: %s", c.name, r.Decision, r.Verdict, r.Sentence)
		}
	}
}

func TestCountersThatStartAgain(t *testing.T) {
	f := &feed{a: begin(t, 0.01)}
	f.run(100, n(10, 0), n(90, 0))
	before := f.a.Report()
	// A restarted ingress: much less than before, and all of it failed.
	f.candidate, f.live = *n(500, 500), *n(500, 0)
	after := f.run(1, n(0, 0), n(0, 0))
	if after.Answers[0].Candidate != before.Answers[0].Candidate || after.Decision == analysis.Abort {
		t.Errorf("what a counter holds after it started again was counted: %+v", after.Answers[0])
	}
	if after = f.run(1, n(10, 0), n(90, 0)); after.Answers[0].Candidate.Requests != before.Answers[0].Candidate.Requests+10 {
		t.Errorf("after the restart: %+v", after.Answers[0].Candidate)
	}
}

func TestASourceThatBeganAnew(t *testing.T) {
	f := &feed{a: begin(t, 0.01), since: 500}
	f.run(100, n(10, 0), n(90, 0))
	before := f.a.Report()
	evidence := before.Answers[0].Evidence
	// Its counters are larger than the old ones, so that nothing but Since tells that they are others.
	f.candidate, f.live = *n(5000, 5000), *n(500_000, 0)
	f.since, f.a = 1060, resumed(t, f.a)
	after := f.run(1, n(0, 0), n(0, 0))
	if a := after.Answers[0]; a.Candidate != before.Answers[0].Candidate || a.Live != before.Answers[0].Live || a.Evidence != evidence {
		t.Errorf("what was counted anew was taken for growth, or what was known is gone: %+v", a)
	}
	f.a = resumed(t, f.a)
	if after = f.run(1, n(10, 0), n(90, 0)); after.Answers[0].Candidate.Requests != before.Answers[0].Candidate.Requests+10 {
		t.Errorf("the read after it: %+v", after.Answers[0].Candidate)
	}
	// One that began a moment ago has counted nothing but what is new.
	f.candidate, f.live, f.since = *n(7, 0), *n(50, 0), int64(1000+f.second)
	if after = f.run(1, n(3, 0), n(40, 0)); after.Answers[0].Candidate.Requests != before.Answers[0].Candidate.Requests+20 {
		t.Errorf("a source that began a moment ago: %+v", after.Answers[0].Candidate)
	}
	// Of what began before the last read a part is known, and nobody knows which.
	f.candidate, f.live, f.since = *n(70, 0), *n(500, 0), int64(1000+f.second-2)
	if after = f.run(1, n(3, 0), n(40, 0)); after.Answers[0].Candidate.Requests != before.Answers[0].Candidate.Requests+20 {
		t.Errorf("a source that began before the last read: %+v", after.Answers[0].Candidate)
	}
	// Not to know it is no new beginning.
	f.since = 0
	if after = f.run(1, n(10, 0), n(90, 0)); after.Answers[0].Candidate.Requests != before.Answers[0].Candidate.Requests+30 {
		t.Errorf("a read that does not say since when: %+v", after.Answers[0].Candidate)
	}
}

func TestReadsThatAreNotNewerAddNothing(t *testing.T) {
	f := &feed{a: begin(t, 0)}
	f.run(10, n(10, 1), n(90, 1))
	before := encode(t, f.a)
	for _, ago := range []int{0, 1, 500} {
		f.a.Look(analysis.Read{At: time.Unix(int64(1000+f.second-ago), 0), Candidate: n(1e6, 1e6), Live: n(1e6, 0)})
	}
	if diff := cmp.Diff(before, encode(t, f.a)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsAheadOfTheRequestsComesLater(t *testing.T) {
	f := &feed{a: begin(t, 0)}
	f.run(1, n(0, 0), n(0, 0))
	f.run(1, n(5, 7), n(10, 0))
	r := f.run(1, n(5, 0), n(10, 0))
	if got := r.Answers[0].Candidate; got.Requests != 10 || got.Bad != 7 {
		t.Errorf("%d of %d", got.Bad, got.Requests)
	}
}

func TestAnAbortStays(t *testing.T) {
	f := &feed{a: begin(t, 0)}
	want := f.run(20, n(10, 10), n(90, 0))
	got := f.run(1000, n(10, 0), n(90, 0))
	if diff := cmp.Diff(want, got); diff != "" || want.Decision != analysis.Abort {
		t.Error(want.Decision, diff)
	}
}

func TestSlowIsAQuestionLikeFailed(t *testing.T) {
	a, err := analysis.New(analysis.Settings{Questions: []analysis.Question{{Name: "errors", Bad: analysis.Failed}, {Name: "slower than 500ms", Bad: analysis.Slow}}})
	if err != nil {
		t.Fatal(err)
	}
	f := &feed{a: a}
	f.run(60, nil, n(200, 0))
	r := f.run(30, &metric.Counters{Requests: 20, Slow: 4}, n(180, 0))
	if r.Decision != analysis.Abort || r.Answers[0].Decision == analysis.Abort || !strings.Contains(r.Sentence, "were too slow") {
		t.Errorf("%s: %s", r.Decision, r.Sentence)
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	ask := []analysis.Question{{Name: "errors", Bad: analysis.Failed}}
	for _, c := range []struct {
		s    analysis.Settings
		want string
	}{
		{analysis.Settings{}, "nothing is asked"},
		{analysis.Settings{Questions: append(ask, ask...)}, "name of its own"},
		{analysis.Settings{Questions: []analysis.Question{{Name: "x", Bad: "odd"}}}, "it can be about failed or slow"},
		{analysis.Settings{Questions: []analysis.Question{{Name: "x", Bad: analysis.Failed, Max: 1}}}, "the limit of \"x\" is 1"},
		{analysis.Settings{Questions: ask, FalseAbort: 1}, "falseAbort is 1"},
		{analysis.Settings{Questions: ask, FalseAbort: -0.1}, "falseAbort is -0.1"},
		{analysis.Settings{Questions: ask, Effect: 0.6}, "effect is 0.6"},
		{analysis.Settings{Questions: ask, Gap: -1}, "gap is -1ns"},
	} {
		_, err := analysis.New(c.s)
		if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v; want %q", err, c.want)
		}
	}
}

func encode(t testing.TB, a *analysis.Analysis) string {
	t.Helper()
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
