package analysis

import "github.com/sluice-dev/sluice/internal/metric"

// mostAhead is by how many a counter may be ahead of the requests before the source is not believed that they will come.
const mostAhead = 100

// slot turns counters that only grow, and sometimes start again, into what is new since the last read.
type slot struct {
	// Missing says that an earlier read had no counters of the slot: when they appear, they have begun at 0.
	Missing bool `json:"missing,omitempty"`
	// Known says that Base is what was read last.
	Known bool            `json:"known,omitempty"`
	Base  metric.Counters `json:"base"`
	// Total is all that was taken in.
	Total metric.Counters `json:"total"`
}

// read says what is new. A counter that fell has started again: what it counted in between is lost, not guessed, because in a sum over
// several counters of which one started again the rest is old.
func (s *slot) read(c *metric.Counters) metric.Counters {
	if c == nil {
		s.Missing = s.Missing || !s.Known
		return metric.Counters{}
	}
	base, known := s.Base, s.Known || s.Missing
	s.Base, s.Known, s.Missing = *c, true, false
	if !known || c.Requests < base.Requests || c.Failed < base.Failed || c.Slow < base.Slow {
		return metric.Counters{}
	}
	n := metric.Counters{Requests: c.Requests - base.Requests, Failed: c.Failed - base.Failed, Slow: c.Slow - base.Slow}
	// A source does not read all its counters in the same instant. What is ahead of the requests is taken in with the next read.
	if ahead := n.Failed - min(n.Failed, n.Requests); ahead > 0 {
		s.Base.Failed -= min(ahead, mostAhead)
		n.Failed -= ahead
	}
	if ahead := n.Slow - min(n.Slow, n.Requests); ahead > 0 {
		s.Base.Slow -= min(ahead, mostAhead)
		n.Slow -= ahead
	}
	s.Total.Requests += n.Requests
	s.Total.Failed += n.Failed
	s.Total.Slow += n.Slow
	return n
}

// forget makes the next read the one to count from.
func (s *slot) forget() { s.Known, s.Missing, s.Base = false, false, metric.Counters{} }
