package ingress

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
)

// Source counts the requests of one subject. It reads every replica's counters by itself, so that one that restarts is not mistaken for
// all of them.
type Source struct {
	ingress  *Ingress
	subject  metric.Subject
	question metric.Question
	names    names

	mu     sync.Mutex
	last   *round
	follow metric.Follower[counterKey]
	tally  *metric.Tally
	// seen says that a counter of a slot was ever found, unsplit that there was one of the subject that is no slot's.
	seen, unsplit bool
	// durations are requests by slot whose duration is known, and how many of them took no longer than the limit.
	durations map[v1alpha1.Slot]duration
}

type duration struct{ timed, fast, slow uint64 }

// counterKey tells the counters of one replica apart.
type counterKey struct {
	slot   v1alpha1.Slot
	kind   kind
	code   string
	labels string
}

var _ metric.Source = (*Source)(nil)

func (s *Source) op() string {
	return fmt.Sprintf("count requests of %s at %s", s.subject.Service, s.ingress.o.Finder)
}

// has says that the source has taken a round already.
func (s *Source) has(r *round) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last == r
}

// Read asks the controller, unless somebody else did within the last second.
func (s *Source) Read(ctx context.Context) (metric.Reading, error) {
	r, cost, err := s.ingress.round(ctx, s)
	if err != nil {
		return metric.Reading{}, fault.Wrap(fault.KindOf(err), s.op(), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.take(r); err != nil {
		return metric.Reading{}, err
	}
	if !s.seen {
		return metric.Reading{}, s.silent(r)
	}
	reading := s.tally.Reading(s.last.at)
	reading.Cost = cost
	if n := len(r.lacking); n > 0 {
		reading.Lacking = fmt.Sprintf("%d of %d replicas did not answer: %s", n, len(r.present), strings.Join(r.lacking, ", "))
	}
	return reading, nil
}

// take counts what a round found. Of two reads at the same time the later round may come first: the older one has nothing to add.
func (s *Source) take(r *round) error {
	if s.last != nil && r.number <= s.last.number {
		return nil
	}
	if err := s.check(r); err != nil {
		return err
	}
	if s.tally == nil {
		s.tally = metric.NewTally(r.at, s.subject.Slots())
		s.durations = map[v1alpha1.Slot]duration{}
	}
	for name, p := range r.pages {
		grown, err := s.follow.Follow(name, p.born, s.counts(p))
		if err != nil {
			return metric.Down(context.Background(), s.op(), err).
				WithHint("name every replica's own URL, or let the pods be found through the API server")
		}
		for k, n := range grown {
			s.add(k, n)
		}
	}
	s.last = r
	s.follow.Keep(r.present)
	for slot, d := range s.durations {
		if slow := d.timed - min(d.timed, d.fast); slow > d.slow {
			s.tally.AddSlow(slot, slow-d.slow)
			d.slow = slow
			s.durations[slot] = d
		}
	}
	return nil
}

// counts are the subject's counters on a page; nil for none.
func (s *Source) counts(p *page) map[counterKey]uint64 {
	var counts map[counterKey]uint64
	limit := s.question.SlowerThan
	for _, one := range p.series[s] {
		what := one.kind
		switch {
		case limit == 0 && what != counted, what == fast && one.bound != limit, limit > 0 && p.format.timed && what == counted:
			continue
		case what == timed && p.format.timed:
			what = both
		}
		slot, ours := s.names.slotOf(p.format, one.identity)
		switch {
		case !ours:
		case slot == v1alpha1.SlotNone:
			s.unsplit = true
		default:
			s.seen = true
			if counts == nil {
				counts = map[counterKey]uint64{}
			}
			counts[counterKey{slot, what, one.code, one.labels}] += one.value
		}
	}
	return counts
}

func (s *Source) add(k counterKey, n uint64) {
	d := s.durations[k.slot]
	switch k.kind {
	case counted:
		s.tally.Add(k.slot, k.code, n, s.question.Fails(k.code))
	case both:
		s.tally.Add(k.slot, k.code, n, s.question.Fails(k.code))
		d.timed += n
	case timed:
		d.timed += n
	case fast:
		d.fast += n
	}
	s.durations[k.slot] = d
}

// check refuses a limit that the controller's histogram has no bucket for. Another controller beside it, which does not serve the
// subject, may have other buckets.
func (s *Source) check(r *round) error {
	limit := s.question.SlowerThan
	if limit == 0 {
		return nil
	}
	var mine, other *page
	serves := false
	for _, p := range r.pages {
		_, found := slices.BinarySearch(p.bounds, limit)
		switch {
		case found:
			serves = true
		case len(p.bounds) > 0 && s.counts(p) != nil:
			mine = p
		case len(p.bounds) > 0:
			other = p
		}
	}
	if mine == nil && (serves || other == nil || len(r.lacking) > 0) {
		return nil
	}
	lacks := mine
	if lacks == nil {
		lacks = other
	}
	at, _ := slices.BinarySearch(lacks.bounds, limit)
	var near []string
	for _, b := range lacks.bounds[max(0, at-1):min(len(lacks.bounds), at+1)] {
		near = append(near, b.String())
	}
	return fault.New(fault.Usage, s.op(), "%s does not count requests slower than %s: its nearest limits are %s", lacks.format.title, limit, strings.Join(near, " and ")).
		WithHint("take one of %s as the limit, or give %s a bucket of %s", bounds(lacks.bounds), lacks.format.title, limit)
}

func bounds(all []time.Duration) string {
	var texts []string
	for _, b := range all {
		texts = append(texts, b.String())
	}
	return strings.Join(texts, ", ")
}

// silent says why there is nothing.
func (s *Source) silent(r *round) error {
	var title, hint string
	for _, p := range r.pages {
		title, hint = p.format.title, p.format.silence
	}
	if s.unsplit {
		return fault.New(fault.Usage, s.op(), "%s counts all backends of a rule together, and not the slots", title).
			WithHint("name the slots' clusters if it has some of their own, or take another source of metrics: prometheus with the application's own counters, or probe")
	}
	return metric.NoData(s.op(), "%s counted no request of %s in namespace %s yet", title, s.subject.Service, s.subject.Namespace).
		WithHint("if requests do come in: %s", hint)
}
