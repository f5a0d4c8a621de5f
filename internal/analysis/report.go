package analysis

import "time"

// Decision is what the evidence so far allows.
type Decision string

// The decisions.
const (
	// Abort: the candidate is worse.
	Abort Decision = "abort"
	// Advance: it is not worse by the smallest effect worth acting on.
	Advance Decision = "advance"
	// More evidence is needed. Whether there is enough to go on once the time is over, Report.Enough says.
	More Decision = "more"
)

// Verdict is the word for the state of an analysis.
type Verdict string

// The words. Superseded and Aborted are given by whoever ends an analysis before it has an answer.
const (
	Good           Verdict = "good"
	Bad            Verdict = "bad"
	NoData         Verdict = "noData"
	SourceDown     Verdict = "sourceDown"
	Infrastructure Verdict = "infrastructure"
	Superseded     Verdict = "superseded"
	Aborted        Verdict = "aborted"
	// Invalid is given where an analysis cannot be made as it is configured.
	Invalid Verdict = "invalid"
)

// Test is what a candidate is held against.
type Test string

// The tests.
const (
	// AgainstLive is the live slot at the same time.
	AgainstLive Test = "live"
	// AgainstBaseline is what the live slot was before the candidate had all traffic.
	AgainstBaseline Test = "baseline"
	// AgainstLimit is Question.Max.
	AgainstLimit Test = "limit"
)

// Rate is a share of bad requests, with an interval that holds it with a confidence of 95 % however often one looks.
type Rate struct {
	Requests uint64  `json:"requests"`
	Bad      uint64  `json:"bad"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
}

// Share is Bad of Requests; 0 where there are none.
func (r Rate) Share() float64 {
	if r.Requests == 0 {
		return 0
	}
	return float64(r.Bad) / float64(r.Requests)
}

// Answer is the state of one question.
type Answer struct {
	Question string   `json:"question"`
	Decision Decision `json:"decision"`
	Verdict  Verdict  `json:"verdict,omitempty"`
	// Test is the one that decided, or that is nearest to an abort.
	Test      Test `json:"test,omitempty"`
	Candidate Rate `json:"candidate"`
	// Live is the live slot while it had traffic.
	Live Rate    `json:"live"`
	Max  float64 `json:"max,omitempty"`
	// Evidence is what a gambler who began with 1 and bet on the candidate being worse would own; Needed is what an abort takes.
	// If it is no worse, the chance that Evidence is ever c or more is at most 1 in c.
	Evidence float64 `json:"evidence"`
	Needed   float64 `json:"needed"`
	// Sentence says it to people.
	Sentence string `json:"sentence"`
}

// Report is the state of an analysis after a read.
type Report struct {
	At       time.Time `json:"at"`
	Decision Decision  `json:"decision"`
	// Verdict is empty while there is none: data come, and they are neither good nor bad.
	Verdict Verdict `json:"verdict,omitempty"`
	// Enough says that the candidate has had enough requests to be known. No step is passed without.
	Enough bool `json:"enough"`
	// DataAt is when the last request of the candidate was seen; zero for never.
	DataAt   time.Time `json:"dataAt,omitzero"`
	Answers  []Answer  `json:"answers"`
	Sentence string    `json:"sentence"`
}
