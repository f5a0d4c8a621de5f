package metric

import (
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// maxCount is the largest number that a float counts to without leaving numbers out.
const maxCount = 1 << 53

// Count reads a number that a source gives as a float. Counters are whole and not negative: anything else is not one.
func Count(number float64) (uint64, error) {
	switch {
	case math.IsNaN(number), math.IsInf(number, 0), number < 0:
		return 0, fmt.Errorf("%v is no count of requests", number)
	case number > maxCount:
		return 0, fmt.Errorf("%v is more than can be counted exactly", number)
	case number != math.Trunc(number):
		return 0, fmt.Errorf("%v is no whole number, as a count of requests is", number)
	}
	return uint64(number), nil
}

// Follower makes one count, which only grows, of the counters of processes that come, go and begin anew. K is what tells the counters of
// one process apart.
type Follower[K comparable] struct {
	processes map[string]process[K]
}

type process[K comparable] struct {
	born   time.Time
	counts map[K]uint64
}

// bornTolerance is how far apart two statements of when a process began may be and still mean the same one: some say it as an age, in
// whole seconds.
const bornTolerance = 3 * time.Second

// Follow takes what a process counts now and returns by how much each counter grew.
//
//   - A process that was not known begins here: what it counted before belongs to nobody.
//   - A counter that a known process did not have before began at zero.
//   - A process that began anew, or a counter that fell, was at zero in between. What was counted from the last look until then is lost.
//
// born is when the process began; zero where it does not say. A process that is older than it was is another one: several answer in turn
// under one name, and their counters cannot be told apart.
func (f *Follower[K]) Follow(name string, born time.Time, counts map[K]uint64) (map[K]uint64, error) {
	if f.processes == nil {
		f.processes = map[string]process[K]{}
	}
	last, known := f.processes[name]
	age := last.compare(born)
	if age < 0 {
		return nil, fmt.Errorf("several processes answer under the name %s in turn: one began at %s, one at %s", name,
			last.born.UTC().Format(time.RFC3339), born.UTC().Format(time.RFC3339))
	}
	if age == 0 && !last.born.IsZero() {
		born = last.born // an age that is rounded must not drift
	}
	f.processes[name] = process[K]{born: born, counts: maps.Clone(counts)}
	if !known {
		return nil, nil
	}
	grown := map[K]uint64{}
	for k, n := range counts {
		if before := last.counts[k]; age == 0 && n >= before {
			n -= before
		}
		if n > 0 {
			grown[k] = n
		}
	}
	return grown, nil
}

// compare says whether a process that began then is the same, a later or an earlier one. Where one of the two is not known, it is the same.
func (p process[K]) compare(born time.Time) int {
	switch apart := born.Sub(p.born); {
	case born.IsZero() || p.born.IsZero():
		return 0
	case apart > bornTolerance:
		return 1
	case apart < -bornTolerance:
		return -1
	}
	return 0
}

// Knows says whether a process was followed before.
func (f *Follower[K]) Knows(name string) bool {
	_, known := f.processes[name]
	return known
}

// Keep forgets all processes but those named: one that comes back begins where it is found.
func (f *Follower[K]) Keep(names map[string]bool) {
	maps.DeleteFunc(f.processes, func(name string, _ process[K]) bool { return !names[name] })
}

// Tally is the count of a subject's slots since a moment.
type Tally struct {
	since, last time.Time
	slots       map[v1alpha1.Slot]Counters
	codes       map[v1alpha1.Slot]map[string]uint64
}

// NewTally begins to count.
func NewTally(since time.Time, slots []v1alpha1.Slot) *Tally {
	t := &Tally{since: since, last: since, slots: map[v1alpha1.Slot]Counters{}, codes: map[v1alpha1.Slot]map[string]uint64{}}
	for _, slot := range slots {
		t.slots[slot] = Counters{}
	}
	return t
}

// Add counts n requests of a slot, with the code of their answer; "" where it is not known.
func (t *Tally) Add(slot v1alpha1.Slot, code string, n uint64, failed bool) {
	c := t.slots[slot]
	c.Requests += n
	if failed {
		c.Failed += n
	}
	t.slots[slot] = c
	if code != "" && n > 0 {
		if t.codes[slot] == nil {
			t.codes[slot] = map[string]uint64{}
		}
		t.codes[slot][code] += n
	}
}

// AddSlow says that n of the requests that are counted were slow.
func (t *Tally) AddSlow(slot v1alpha1.Slot, n uint64) {
	c := t.slots[slot]
	c.Slow += n
	t.slots[slot] = c
}

// AddFailed says that n of the requests that are counted failed.
func (t *Tally) AddFailed(slot v1alpha1.Slot, n uint64) {
	c := t.slots[slot]
	c.Failed += n
	t.slots[slot] = c
}

// Reading is the count so far. Counters that a source increments one after the other may be read between the two: no part is given as
// larger than the whole. A clock that is set back does not turn the moments of readings around.
func (t *Tally) Reading(at time.Time) Reading {
	if at.After(t.last) {
		t.last = at
	}
	r := Reading{Since: t.since, At: t.last, Slots: map[v1alpha1.Slot]Counters{}, Codes: map[v1alpha1.Slot]map[string]uint64{}}
	for slot, c := range t.slots {
		c.Failed, c.Slow = min(c.Failed, c.Requests), min(c.Slow, c.Requests)
		r.Slots[slot] = c
	}
	for slot, codes := range t.codes {
		r.Codes[slot] = maps.Clone(codes)
	}
	return r
}
