package analysis

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Counted says which requests a question is about.
type Counted string

// The requests a question can be about.
const (
	Failed Counted = "failed"
	Slow   Counted = "slow"
)

// Question is what is asked of the candidate: whether a smaller share of its requests is bad than it may be.
type Question struct {
	// Name of the question, for people: errors, slower than 500ms.
	Name string  `json:"name"`
	Bad  Counted `json:"bad"`
	// Max is the share of bad requests that is allowed in any case, above 0 and below 1; 0 for no limit.
	Max float64 `json:"max,omitempty"`
}

// Settings of an analysis. The zero value of each but Questions stands for its default.
type Settings struct {
	Questions []Question `json:"questions"`
	// FalseAbort is the chance that a release which is no worse is aborted, by any test of this analysis. Default 0.001.
	FalseAbort float64 `json:"falseAbort"`
	// Effect is the smallest difference of the shares of bad requests that is worth acting on. A candidate that is worse by less
	// may be aborted or not. Default 0.01.
	Effect float64 `json:"effect"`
	// FalseAdvance is the chance that a candidate which is worse by Effect or more is let go on before its time. Default 0.05.
	FalseAdvance float64 `json:"falseAdvance"`
	// Gap is the time between two reads from which on what was counted between them is left out, because the world may have been
	// another one. Default 30 s.
	Gap time.Duration `json:"gap"`
	// Enough is the number of the candidate's requests below which it is not known at all. Default 20.
	Enough uint64 `json:"enough"`
}

// complete fills in the defaults and says what cannot be.
func (s Settings) complete() (Settings, error) {
	s.Questions = slices.Clone(s.Questions)
	s.FalseAbort = or(s.FalseAbort, 0.001)
	s.Effect = or(s.Effect, 0.01)
	s.FalseAdvance = or(s.FalseAdvance, 0.05)
	s.Gap = or(s.Gap, 30*time.Second)
	s.Enough = or(s.Enough, 20)
	if len(s.Questions) == 0 {
		return s, unusable("nothing is asked of the candidate").WithHint("ask for errors, or for slow requests")
	}
	names := map[string]bool{}
	for _, q := range s.Questions {
		switch {
		case q.Name == "" || names[q.Name]:
			return s, unusable("each question needs a name of its own; %q does not do", q.Name)
		case q.Bad != Failed && q.Bad != Slow:
			return s, unusable("question %q is about %q; it can be about %s or %s", q.Name, q.Bad, Failed, Slow)
		case q.Max != 0 && !within(q.Max, 0.9):
			return s, unusable("the limit of %q is %v; it must be above 0 and at most 0.9", q.Name, q.Max)
		}
		names[q.Name] = true
	}
	for _, c := range []struct {
		name  string
		value float64
		most  float64
	}{{"falseAbort", s.FalseAbort, 0.2}, {"effect", s.Effect, 0.5}, {"falseAdvance", s.FalseAdvance, 0.5}} {
		if !within(c.value, c.most) {
			return s, unusable("%s is %v; it must be above 0 and at most %v", c.name, c.value, c.most)
		}
	}
	if s.Gap < 0 {
		return s, unusable("gap is %v; it must be above 0", s.Gap)
	}
	return s, nil
}

// within the range in which the arithmetic is good; what is not a number is not.
func within(v, most float64) bool { return v >= 1e-6 && v <= most && !math.IsNaN(v) }

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func unusable(format string, args ...any) *fault.Error {
	return fault.New(fault.Usage, "analysis", "%w", fmt.Errorf(format, args...))
}
