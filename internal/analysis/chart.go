package analysis

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/internal/metric"
)

const (
	// mostBuckets is how many stretches of time a course has. When they are full, two by two become one.
	mostBuckets = 60
	// shortest is the first length of a bucket.
	shortest = time.Second
	// fewestMarks are drawn however narrow the chart should be, if there are as many stretches.
	fewestMarks = 8
)

// Course is how the shares of bad requests of both slots went, for people. It has at most 60 stretches of time, which grow with the whole, so
// that it stays small however long it lasts. Its zero value is empty and is about failed requests. It is not safe for concurrent use.
type Course struct {
	// Bad says which requests are bad. Default: those that failed.
	Bad Counted
	c   course
}

// course is what is kept of a Course.
type course struct {
	Bad Counted `json:"bad,omitempty"`
	// From is when the first bucket begins, Step how long each is.
	From    time.Time     `json:"from,omitzero"`
	Step    time.Duration `json:"step,omitempty"`
	Buckets []bucket      `json:"buckets,omitempty"`
}

// bucket is what both slots did in a stretch of time.
type bucket struct {
	Candidate    uint64 `json:"n,omitempty"`
	CandidateBad uint64 `json:"x,omitempty"`
	Live         uint64 `json:"ln,omitempty"`
	LiveBad      uint64 `json:"lx,omitempty"`
}

func (b bucket) plus(o bucket) bucket {
	return bucket{b.Candidate + o.Candidate, b.CandidateBad + o.CandidateBad, b.Live + o.Live, b.LiveBad + o.LiveBad}
}

// Follow takes in what was counted between two reports of a question.
func (c *Course) Follow(at time.Time, was, is Answer) {
	more := func(was, is Rate) metric.Counters {
		return metric.Counters{Requests: is.Requests - was.Requests, Failed: is.Bad - was.Bad}
	}
	c.Add(at, more(was.Candidate, is.Candidate), more(was.Live, is.Live))
}

// Add takes in what was new at a moment. What is said to be from before the first is counted with the first.
func (c *Course) Add(at time.Time, candidate, live metric.Counters) {
	s := &c.c
	if len(s.Buckets) == 0 {
		s.From, s.Step = at, shortest
	}
	for at.Sub(s.From)/s.Step >= mostBuckets {
		s.Buckets, s.Step = halved(s.Buckets), 2*s.Step
	}
	i := int(max(at.Sub(s.From), 0) / s.Step)
	for len(s.Buckets) <= i {
		s.Buckets = append(s.Buckets, bucket{})
	}
	b := bucket{candidate.Requests, candidate.Failed, live.Requests, live.Failed}
	if c.Bad == Slow {
		b.CandidateBad, b.LiveBad = candidate.Slow, live.Slow
	}
	b.CandidateBad, b.LiveBad = min(b.CandidateBad, b.Candidate), min(b.LiveBad, b.Live)
	s.Buckets[i] = s.Buckets[i].plus(b)
}

// halved makes one bucket of each two.
func halved(all []bucket) []bucket {
	half := make([]bucket, (len(all)+1)/2)
	for i, b := range all {
		half[i/2] = half[i/2].plus(b)
	}
	return half
}

// MarshalJSON gives all of it.
func (c Course) MarshalJSON() ([]byte, error) {
	c.c.Bad = c.Bad
	return json.Marshal(c.c)
}

// UnmarshalJSON takes it up again. What cannot be a course is refused.
func (c *Course) UnmarshalJSON(text []byte) error {
	var s course
	if err := json.Unmarshal(text, &s); err != nil {
		return unusable("the recorded course cannot be read: %w", err)
	}
	if len(s.Buckets) > mostBuckets || len(s.Buckets) > 0 && s.Step < shortest {
		return unusable("the recorded course has %d stretches of %v", len(s.Buckets), s.Step)
	}
	for _, b := range s.Buckets {
		if b.CandidateBad > b.Candidate || b.LiveBad > b.Live {
			return unusable("the recorded course has more bad requests than requests")
		}
	}
	*c = Course{Bad: s.Bad, c: s}
	return nil
}

// Lines is a small chart with as many marks as fit into that many columns: a mark for each stretch of time, blank where a
// slot had no request, both slots on one scale. It is empty before the first request.
func (c Course) Lines(width int) []string {
	const around = len("candidate ") + len("  up to 0.0012 % bad")
	marks, step := c.c.Buckets, c.c.Step
	for len(marks) > max(width-around, fewestMarks) {
		marks, step = halved(marks), 2*step
	}
	var candidate, live, top float64
	requests := uint64(0)
	for _, b := range marks {
		candidate = max(candidate, part(b.CandidateBad, b.Candidate))
		live = max(live, part(b.LiveBad, b.Live))
		requests += b.Candidate + b.Live
	}
	if requests == 0 {
		return nil
	}
	top = max(candidate, live)
	mine, theirs := row{}, row{}
	for _, b := range marks {
		mine.mark(b.CandidateBad, b.Candidate, top)
		theirs.mark(b.LiveBad, b.Live, top)
	}
	scale := fmt.Sprintf("%s, one mark is %s", lasting(time.Duration(len(marks))*step), lasting(step))
	if top > 0 {
		scale += ", █ is " + percent(top)
	}
	return []string{"candidate " + mine.line(candidate), "live      " + theirs.line(live), "          " + scale}
}

func part(bad, all uint64) float64 { return Rate{Requests: all, Bad: bad}.Share() }

// row is a line of a chart.
type row struct {
	text strings.Builder
	any  bool
}

// mark adds one. The lowest is nothing bad at all, so that one bad request of many is seen.
func (r *row) mark(bad, all uint64, top float64) {
	marks := []rune("▁▂▃▄▅▆▇█")
	switch {
	case all == 0:
		r.text.WriteRune(' ')
		return
	case bad == 0:
		r.text.WriteRune(marks[0])
	default:
		r.text.WriteRune(marks[max(1, int(math.Ceil(part(bad, all)/top*7-1e-9)))])
	}
	r.any = true
}

func (r *row) line(most float64) string {
	switch {
	case !r.any:
		return r.text.String() + "  no request"
	case most == 0:
		return r.text.String() + "  none bad"
	}
	return fmt.Sprintf("%s  up to %s bad", r.text.String(), percent(most))
}

// lasting is a time of whole seconds in its two largest units.
func lasting(d time.Duration) string {
	s := int64(d / time.Second)
	for _, u := range []struct {
		size        int64
		large, unit string
	}{{86400, "d", "h"}, {3600, "h", "min"}, {60, "min", "s"}} {
		if s < u.size {
			continue
		}
		small := map[string]int64{"h": 3600, "min": 60, "s": 1}[u.unit]
		if rest := s % u.size / small; rest > 0 {
			return fmt.Sprintf("%d %s %d %s", s/u.size, u.large, rest, u.unit)
		}
		return fmt.Sprintf("%d %s", s/u.size, u.large)
	}
	return fmt.Sprintf("%d s", s)
}
