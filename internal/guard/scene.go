// Package guard watches the requests of a rollout's slots in every phase and says when the candidate is worse; it must not move anything,
// and it never takes missing evidence for an answer.
package guard

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/metric"
)

// Scene is what the guard is told of a rollout.
type Scene struct {
	// Subject are the slots whose requests are counted. Its routes are those that are observed.
	Subject metric.Subject
	// Number of the rollout, and what its plan asks.
	Number int
	Spec   v1alpha1.Analysis
	// Step that is analyzed, and Since when; Since is zero while traffic is on its way to it.
	Step  int
	Since time.Time
	// Weight of the candidate in percent, as observed.
	Weight int
	// Alone says that the candidate has all traffic.
	Alone bool
	// Moved says that traffic moves or has just moved: a look may tell something new sooner than at other times.
	Moved bool
	// Known is what is recorded, to go on from where another run ended.
	Known *v1alpha1.Judgement
}

// Feed is a source with its pace.
type Feed struct {
	Source metric.Source
	// Every is how often asking again may tell something new.
	Every time.Duration
	// Soonest is how soon asking again may tell something new while traffic moves; zero for no sooner than Every.
	Soonest time.Duration
	// Lag is how far what is counted lies behind: for so long a source that has no data says nothing of now.
	Lag time.Duration
	// Gap is the time between two readings from which on what was counted between them is left out.
	Gap time.Duration
}

// Reader is a number of one's own with its pace.
type Reader struct {
	Valuer metric.Valuer
	Every  time.Duration
}

// Sources makes what is read. Errors are of kind fault.Usage where asking again will not help.
type Sources interface {
	// Requests counts requests as the analysis's source says.
	Requests(subject metric.Subject, spec v1alpha1.Analysis) (Feed, error)
	// Probe counts requests that it sends itself.
	Probe(subject metric.Subject, spec v1alpha1.Analysis, probe v1alpha1.Probe) (Feed, error)
	// Counters counts what a metric with a pair of counters asks.
	Counters(subject metric.Subject, spec v1alpha1.Analysis, m v1alpha1.Metric) (Feed, error)
	// Number reads what a metric with a condition asks.
	Number(subject metric.Subject, spec v1alpha1.Analysis, m v1alpha1.Metric) (Reader, error)
}

// QuestionOf is what is counted of requests for an analysis.
func QuestionOf(spec v1alpha1.Analysis) metric.Question {
	var q metric.Question
	if spec.Errors != nil {
		q.Failed = spec.Errors.Codes
	}
	if spec.Slower != nil {
		q.SlowerThan = spec.Slower.Than.D()
	}
	return q
}
