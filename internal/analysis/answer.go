package analysis

import (
	"fmt"

	"github.com/sluice-dev/sluice/internal/metric"
)

// finding is what one test says.
type finding struct {
	test Test
	// worse is the e-value against "no worse", needed what an abort takes, fine the e-value against "worse by the effect".
	worse, needed, fine float64
	// max is the limit that was tested.
	max float64
	// shared says that the live slot breaks it as well.
	shared bool
}

func (f finding) broken() bool { return f.worse >= f.needed }

// parts of a question's share of FalseAbort: the comparison has most of it, because it is the one that finds faults early.
const (
	partLive     = 4
	partBaseline = 1
	partLimit    = 1
)

// part is what a test with one part of a question's share of FalseAbort has.
func (s *state) part(i int) float64 {
	parts := partLive + partBaseline
	if s.Settings.Questions[i].Max > 0 {
		parts += partLimit
	}
	return s.Settings.FalseAbort / float64(len(s.Questions)) / float64(parts)
}

// findings of all tests of a question that can say something now.
func (s *state) findings(i int) []finding {
	q, asked, one := &s.Questions[i], s.Settings.Questions[i], s.part(i)
	all := make([]finding, 0, 2)
	if !s.Alone && s.Live.Total.Requests > 0 {
		all = append(all, finding{test: AgainstLive, worse: q.Comparison.evidence(), needed: 1 / (partLive * one), fine: q.Comparison.Same.total()})
	}
	if s.Alone && q.History.Requests >= someHistory {
		all = append(all, q.Baseline.finding(AgainstBaseline, q.baseline(s.Settings.Effect), 1/(partBaseline*one)))
	}
	if asked.Max > 0 {
		all = append(all, q.Limit.finding(AgainstLimit, asked.Max, 1/(partLimit*one)))
	}
	return all
}

func (l *limit) finding(t Test, most, needed float64) finding {
	return finding{test: t, worse: l.evidence(), needed: needed, fine: l.Under.total(), max: most, shared: l.Live.total() > 1}
}

// conclude says what the tests of a question have found, and which of them decided, or is nearest to an abort.
func (s *state) conclude(i int) (Decision, Verdict, finding) {
	all := s.findings(i)
	if len(all) == 0 {
		return More, NoData, finding{} // nothing to hold it against: whatever it does, nothing would be known
	}
	fine, nearest := true, all[0]
	for _, f := range all {
		fine = fine && f.fine >= 1/s.Settings.FalseAdvance
		if closer(f, nearest) {
			nearest = f
		}
	}
	switch {
	case nearest.broken() && nearest.shared:
		return More, Infrastructure, nearest
	case nearest.broken():
		return Abort, Bad, nearest
	case fine && s.enough():
		return Advance, Good, nearest
	}
	return More, "", nearest
}

// decide says what all questions together allow.
func (s *state) decide() Decision {
	all := Advance
	for i := range s.Questions {
		switch d, _, _ := s.conclude(i); d {
		case Abort:
			return Abort
		case More:
			all = More
		}
	}
	if s.Down {
		return More
	}
	return all
}

func (s *state) enough() bool { return s.Candidate.Total.Requests >= s.Settings.Enough }

// Report says where the analysis stands, with its evidence.
func (a *Analysis) Report() Report {
	s := &a.s
	report := Report{At: s.At, DataAt: s.DataAt, Enough: s.enough(), Decision: s.decide()}
	for i := range s.Questions {
		report.Answers = append(report.Answers, s.answer(i))
	}
	said := &report.Answers[0]
	for i := range report.Answers {
		if a := &report.Answers[i]; rank(a) > rank(said) {
			said = a
		}
	}
	report.Verdict, report.Sentence = said.Verdict, said.Sentence
	switch {
	case report.Decision == Abort:
	case s.Down:
		report.Verdict = SourceDown
		report.Sentence = "the source of the counters does not answer: nothing is known of the candidate at present"
	case s.Candidate.Total.Requests == 0:
		report.Verdict, report.Sentence = NoData, s.silence()
	}
	return report
}

// rank orders answers by how much they weigh for the whole.
func rank(a *Answer) int {
	switch {
	case a.Decision == Abort:
		return 3
	case a.Verdict == Infrastructure:
		return 2
	case a.Decision == More:
		return 1
	}
	return 0
}

func (s *state) silence() string {
	if n := s.Live.Total.Requests; n > 0 {
		return fmt.Sprintf("the candidate has had no request yet, live %s", count(n))
	}
	return "no request has been counted yet, neither the candidate's nor live's"
}

// answer puts together what the tests of a question say.
func (s *state) answer(i int) Answer {
	asked := s.Settings.Questions[i]
	decision, verdict, f := s.conclude(i)
	a := Answer{Question: asked.Name, Decision: decision, Verdict: verdict, Max: asked.Max, Test: f.test, Evidence: f.worse, Needed: f.needed,
		Candidate: rate(asked.Bad, s.Candidate.Total), Live: rate(asked.Bad, s.Live.Total)}
	a.Sentence = asked.sentence(a, f, s.enough())
	return a
}

// closer says that f is nearer to an abort than g; what live breaks as well is no abort.
func closer(f, g finding) bool {
	blame := func(f finding) int {
		switch {
		case f.broken() && !f.shared:
			return 2
		case f.broken():
			return 1
		}
		return 0
	}
	if blame(f) != blame(g) {
		return blame(f) > blame(g)
	}
	return f.worse/f.needed > g.worse/g.needed
}

func rate(bad Counted, c metric.Counters) Rate {
	r := Rate{Requests: c.Requests, Bad: c.Failed}
	if bad == Slow {
		r.Bad = c.Slow
	}
	r.Low, r.High = interval(r.Bad, r.Requests)
	return r
}
