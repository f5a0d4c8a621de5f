package traffictest

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/traffic"
)

// world is the routes of one service.
type world struct {
	generation int64
	shiftedAt  time.Time
	main       v1alpha1.Slot
	canary     *canary
	callers    v1alpha1.Slot
	foreign    string
	served     []Served
}

// canary is the route beside the main one: a share of the requests, and those with the header.
type canary struct {
	slot   v1alpha1.Slot
	weight int
}

func (w *world) state() traffic.State {
	s := traffic.State{Generation: w.generation, Foreign: w.foreign}
	switch c := w.canary; {
	case w.main == v1alpha1.SlotNone:
		return s
	case c == nil:
		s.Split = v1alpha1.Only(w.main)
		s.Transition = w.callers != w.main
	case c.slot == w.main:
		s.Split = v1alpha1.Between(w.main, c.slot, 100)
		s.Transition = true
	default:
		s.Split = v1alpha1.Between(w.main, c.slot, c.weight)
		s.Transition = c.weight == 100 || w.callers != w.main
	}
	return s
}

func (w *world) note(at time.Time) {
	w.served = append(w.served, Served{At: at, Split: w.state().Split, Callers: w.callers, Generation: w.generation})
}

func (w *world) fence(generation int64) error {
	if generation < w.generation {
		return fault.New(fault.Conflict, "shift traffic", "generation %d has been here, this is %d", w.generation, generation)
	}
	return nil
}

// next is the next safe write towards a split, or "" where there is none now.
func (f *Fake) next(w *world, s v1alpha1.Split) (string, func()) {
	live, candidate, weight := traffic.Sides(s)
	switch {
	case w.main == v1alpha1.SlotNone:
		return "main created", func() { w.main = live }
	case candidate != v1alpha1.SlotNone:
		return f.between(w, live, candidate, weight)
	case f.o.Staged && w.canary != nil && w.canary.slot == live:
		return f.forward(w, live)
	}
	return f.back(w, live)
}

// between sets a canary beside the live slot.
func (f *Fake) between(w *world, live, candidate v1alpha1.Slot, weight int) (string, func()) {
	c := w.canary
	switch {
	case !f.o.Staged:
		if w.main != live || c == nil || *c != (canary{candidate, weight}) {
			return "route", func() { w.main, w.canary = live, &canary{candidate, weight} }
		}
	case w.main != live:
		return "main", func() { w.main = live }
	case c == nil || c.slot != candidate:
		return "canary without weight", func() { w.canary = &canary{slot: candidate} }
	case c.weight != weight:
		return "canary weight", func() { w.canary.weight = weight }
	}
	return f.callersTo(w, live)
}

// forward promotes the canary's slot: every write builds on the proxies having followed the one before.
func (f *Fake) forward(w *world, slot v1alpha1.Slot) (string, func()) {
	switch {
	case w.main != slot && w.canary.weight < 100:
		return "canary weight 100", func() { w.canary.weight = 100 }
	case !f.settled(w):
		return "", nil
	case w.main != slot:
		return "main", func() { w.main = slot }
	case w.canary.weight > 0:
		return "canary weight 0", func() { w.canary.weight = 0 }
	}
	return "canary removed", func() { w.canary = nil }
}

// back leads everything to a slot at once, and takes a canary that leads elsewhere away once nobody uses it.
func (f *Fake) back(w *world, slot v1alpha1.Slot) (string, func()) {
	switch {
	case !f.o.Staged && (w.main != slot || w.canary != nil):
		return "route", func() { w.main, w.canary = slot, nil }
	case w.main != slot:
		return "main", func() { w.main = slot }
	case w.canary != nil && w.canary.weight > 0:
		return "canary weight 0", func() { w.canary.weight = 0 }
	case w.callers != slot:
		return f.callersTo(w, slot)
	case w.canary != nil && f.settled(w):
		return "canary removed", func() { w.canary = nil }
	}
	return "", nil
}

func (f *Fake) callersTo(w *world, slot v1alpha1.Slot) (string, func()) {
	if w.callers == slot {
		return "", nil
	}
	return "stable Services", func() { w.callers = slot }
}
