// Package analysis decides from counted requests whether a new version is worse than the one that is live, at a rate of false alarms that
// the user chose; it reads no clock and no source, and never takes missing evidence for an answer.
package analysis

import (
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/internal/metric"
)

// Read is what a source said at one moment.
type Read struct {
	At time.Time
	// Since is when the source began to count, zero where that is not known. Once it is another one than before, the counters are not
	// compared with those of earlier reads: they are new since then, or where that is as long ago as a gap, or before the last read, the next
	// read tells what is new.
	Since time.Time
	// Candidate and Live are what is counted of the slots; nil where the source knows no such series.
	Candidate, Live *metric.Counters
	// Alone says that the candidate has all traffic: it is compared with what the live slot was before.
	Alone bool
	// Down says that the source did not answer; the counters are not looked at.
	Down bool
}

// Analysis of one candidate. It is not safe for concurrent use. Encoded as JSON and decoded again it goes on where it was, and its
// size does not grow with time.
type Analysis struct {
	s state
}

// state is what must be kept between two reads.
type state struct {
	Version  int       `json:"version"`
	Settings Settings  `json:"settings"`
	At       time.Time `json:"at,omitzero"`
	DataAt   time.Time `json:"dataAt,omitzero"`
	// Since is the last known of a read.
	Since     time.Time  `json:"since,omitzero"`
	Candidate slot       `json:"candidate"`
	Live      slot       `json:"live"`
	Questions []question `json:"questions"`
	// Alone and Down are what the last read said.
	Alone bool `json:"alone,omitempty"`
	Down  bool `json:"down,omitempty"`
	// Ended says that it was aborted at At; nothing that comes after changes anything.
	Ended bool `json:"ended,omitempty"`
}

// version of the state. Another one is refused: evidence must not be misread.
const version = 2

// question is the state of the tests of one question.
type question struct {
	History    history    `json:"history"`
	Comparison comparison `json:"comparison"`
	Limit      limit      `json:"limit"`
	// Baseline is the limit that the live slot's history sets.
	Baseline limit `json:"baseline"`
}

// New begins an analysis. Settings that cannot be are a fault.Usage.
func New(settings Settings) (*Analysis, error) {
	settings, err := settings.complete()
	if err != nil {
		return nil, err
	}
	return &Analysis{state{Version: version, Settings: settings, Questions: make([]question, len(settings.Questions))}}, nil
}

// SetGap replaces Settings.Gap, where the pace of the source is known only later. What is not above 0 changes nothing.
func (a *Analysis) SetGap(gap time.Duration) {
	if gap > 0 {
		a.s.Settings.Gap = gap
	}
}

// Asks says that another analysis asks the same, as sure of its answer; how far its reads may be apart is left out.
func (a *Analysis) Asks(other *Analysis) bool {
	mine, others := a.s.Settings, other.s.Settings
	mine.Gap = others.Gap
	return reflect.DeepEqual(mine, others)
}

// GoOn is told that another process goes on: the moments of before are of its clock, and the counters of its sources. What they have
// shown stays.
func (a *Analysis) GoOn() {
	a.s.At, a.s.Since = time.Time{}, time.Time{}
	a.s.forget()
}

// Skip leaves out what is counted until the next read.
func (a *Analysis) Skip() { a.s.forget() }

// BeginStep is told that the candidate gets another share of the traffic: what has shown that it is no worse is about the share of before,
// and counts no more. What speaks against it stays.
func (a *Analysis) BeginStep() {
	for i := range a.s.Questions {
		q := &a.s.Questions[i]
		q.Comparison.Same, q.Limit.Under, q.Baseline.Under = wealth{}, wealth{}, wealth{}
	}
}

// MarshalJSON gives the whole state.
func (a *Analysis) MarshalJSON() ([]byte, error) { return json.Marshal(a.s) }

// UnmarshalJSON takes it up again. What MarshalJSON did not write is refused.
func (a *Analysis) UnmarshalJSON(text []byte) error {
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return unusable("the recorded state cannot be read: %w", err)
	}
	if s.Version != version {
		return unusable("the recorded state has version %d; this Sluice knows %d", s.Version, version)
	}
	var err error
	if s.Settings, err = s.Settings.complete(); err != nil {
		return err
	}
	if len(s.Questions) != len(s.Settings.Questions) {
		return unusable("the recorded state has %d questions and the state of %d", len(s.Settings.Questions), len(s.Questions))
	}
	for i := range s.Questions {
		if err := s.Questions[i].valid(); err != nil {
			return err
		}
	}
	a.s = s
	return nil
}

// Round is the shortest time between two reads that are played. One that comes sooner is only peeked at.
const Round = 700 * time.Millisecond

// Plays says that a read of this moment is played, and not only peeked at.
func (a *Analysis) Plays(at time.Time) bool { return a.s.At.IsZero() || at.Sub(a.s.At) >= Round }

// Look takes in a read and says what follows; Report says why. A read that is not newer than the last one adds nothing, and one that comes
// sooner than Round adds nothing either, but for an abort that comes whatever the rest of the second brings: requests that fail together do
// so within a second, and so a second is what is bet on. After an abort nothing changes any more.
func (a *Analysis) Look(r Read) Decision {
	s := &a.s
	if s.Ended {
		return Abort
	}
	s.Down = r.Down
	switch {
	case r.Down || !r.At.After(s.At):
	case a.Plays(r.At):
		s.take(r, 1)
	default:
		if ahead := s.clone(); ahead.peek(r) {
			a.s = ahead
			return Abort
		}
	}
	d := s.decide()
	s.Ended = d == Abort
	return d
}

// peek plays a round of which only a part is over, as if all that the candidate is asked in the rest of the second went well.
func (s *state) peek(r Read) (aborts bool) {
	s.take(r, float64(time.Second)/float64(r.At.Sub(s.At)))
	s.Ended = s.decide() == Abort
	return s.Ended
}

// clone shares nothing with the state.
func (s *state) clone() state {
	c := *s
	c.Questions = slices.Clone(s.Questions)
	for i := range c.Questions {
		for _, w := range c.Questions[i].owners() {
			w.Parts = slices.Clone(w.Parts)
		}
	}
	return c
}

// take plays a round with what is new. The candidate's requests are taken for stretch times as many, of which no more are bad.
func (s *state) take(r Read, stretch float64) {
	if !s.At.IsZero() && r.At.Sub(s.At) >= s.Settings.Gap {
		s.forget()
	}
	if !r.Since.IsZero() && !r.Since.Equal(s.Since) {
		s.forget()
		// What was counted since a moment ago is new from nothing on; what began long ago may be of another world, and what began
		// before the last read is partly known.
		recent := r.At.Sub(r.Since) < s.Settings.Gap && !r.Since.Before(s.At)
		s.Since, s.Candidate.Missing, s.Live.Missing = r.Since, recent, recent
	}
	s.At, s.Alone = r.At, r.Alone
	candidate, live := s.Candidate.read(r.Candidate), metric.Counters{}
	if r.Alone {
		s.Live.forget()
	} else {
		live = s.Live.read(r.Live)
	}
	if candidate.Requests > 0 {
		s.DataAt = r.At
	}
	for i := range s.Questions {
		b := pair(s.Settings.Questions[i].Bad, candidate, live)
		b.N *= stretch
		t := terms{most: s.Settings.Questions[i].Max, effect: s.Settings.Effect, needed: 1 / s.part(i), lone: r.Alone || s.Live.Total.Requests == 0}
		s.Questions[i].look(b, t, r.Alone)
	}
}

// forget leaves out what is counted until the next read. What is known stays.
func (s *state) forget() {
	s.Candidate.forget()
	s.Live.forget()
	for i := range s.Questions {
		s.Questions[i].Comparison.Open = block{}
	}
}

func pair(bad Counted, candidate, live metric.Counters) block {
	b := block{N: float64(candidate.Requests), X: float64(candidate.Failed), LN: float64(live.Requests), LX: float64(live.Failed)}
	if bad == Slow {
		b.X, b.LX = float64(candidate.Slow), float64(live.Slow)
	}
	return b
}

// look plays the round of all tests. What is bet depends on earlier reads only.
func (q *question) look(b block, t terms, alone bool) {
	t.together = q.History.proven()
	if t.most > 0 {
		q.Limit.look(b, t)
	}
	if alone {
		q.Comparison.Open = block{}
		if q.History.Requests >= someHistory {
			t.most = q.baseline(t.effect)
			q.Baseline.look(b, t)
		}
		return
	}
	q.Comparison.look(b, &q.History, t.effect)
}

// baseline is the limit that takes the place of the live slot once the candidate is alone: further from what live was than chance and the
// smallest effect reach, because nobody knows what live would be now.
func (q *question) baseline(effect float64) float64 {
	high := q.History.high(3)
	if q.History.Requests < enoughHistory {
		_, high = surely(uint64(q.History.Bad), uint64(q.History.Requests), 1000)
	}
	return min(high+effect, 0.95)
}
