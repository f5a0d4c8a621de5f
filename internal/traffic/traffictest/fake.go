// Package traffictest holds the contract every traffic.Router keeps, and an in-memory fake that keeps it; it must not be used outside tests.
package traffictest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/traffic"
)

// Verb is a method of the port.
type Verb string

// The verbs.
const (
	Split  Verb = "Split"
	Shift  Verb = "Shift"
	Remove Verb = "Remove"
)

// Moment is a point of a call at which the hook runs.
type Moment string

// The moments of a call. Write is right before each write of Shift and Remove: dying there leaves the writes before it done.
const (
	Before Moment = "before"
	Write  Moment = "write"
	After  Moment = "after"
)

// Call is one call of the fake, as the hook sees it.
type Call struct {
	Verb   Verb
	Moment Moment
	Target traffic.Target
	// Shift holds the request of that verb.
	Shift *traffic.Shift
	// Writing says which write comes next, at the moment Write.
	Writing string
}

// Options of a fake. The zero value writes a split in one step and converges at once.
type Options struct {
	// Now is the clock. Default: it stands still at the zero time.
	Now func() time.Time
	// Convergence is how long the proxies take to follow a write.
	Convergence time.Duration
	// Staged moves between two slots in several writes with intermediate states, as routers of the canary Ingress kind do.
	Staged bool
	// AllOrNothing knows neither weights between 0 and 100 nor the header, as a Service's selector.
	AllOrNothing bool
}

// Served is what ordinary users and the header got from one moment on.
type Served struct {
	At         time.Time
	Split      v1alpha1.Split
	Callers    v1alpha1.Slot
	Generation int64
}

// Fake is an in-memory traffic.Router: no cluster, no proxies. It holds a main route, a canary beside it and the slot that the stable
// Services select. It is safe for concurrent use. The hook runs without the lock, so it may call the fake, return an error or panic.
type Fake struct {
	o      Options
	mu     sync.Mutex
	hook   func(context.Context, Call) error
	worlds map[place]*world
}

var _ traffic.Router = (*Fake)(nil)

// place tells services apart; a target is not comparable.
type place struct{ service, environment, namespace string }

// NewFake returns an empty fake.
func NewFake(o Options) *Fake {
	if o.Now == nil {
		o.Now = func() time.Time { return time.Time{} }
	}
	return &Fake{o: o, worlds: map[place]*world{}}
}

// Hook installs what runs around every call and before every write; an error it returns is the call's error, and nothing of the call
// happens after it.
func (f *Fake) Hook(h func(context.Context, Call) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = h
}

// Peek observes without the hook.
func (f *Fake) Peek(t traffic.Target) traffic.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.world(t)
	s := w.state()
	s.Wait = f.wait(w)
	return s
}

// History lists what was served after each write, in order.
func (f *Fake) History(t traffic.Target) []Served {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Served(nil), f.world(t).served...)
}

// Callers is the slot that the stable Services select.
func (f *Fake) Callers(t traffic.Target) v1alpha1.Slot {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.world(t).callers
}

// Adopt puts routes there as plain Helm made them, leading to the slot.
func (f *Fake) Adopt(t traffic.Target, slot v1alpha1.Slot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.world(t)
	w.main, w.callers, w.canary = slot, slot, nil
	w.note(f.o.Now())
}

// Tamper changes the canary's weight by a foreign hand; there must be a canary.
func (f *Fake) Tamper(t traffic.Target, weight int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.world(t)
	w.canary.weight, w.foreign = weight, fmt.Sprintf("weight of %s was changed to %d", w.canary.slot, weight)
	w.note(f.o.Now())
}

// Split implements traffic.Router.
func (f *Fake) Split(ctx context.Context, t traffic.Target) (traffic.State, error) {
	call := Call{Verb: Split, Target: t}
	if err := f.at(ctx, call, Before); err != nil {
		return traffic.State{}, err
	}
	s := f.Peek(t)
	return s, f.at(ctx, call, After)
}

// Shift implements traffic.Router.
func (f *Fake) Shift(ctx context.Context, s traffic.Shift) error {
	call := Call{Verb: Shift, Target: s.Target, Shift: &s}
	if err := f.at(ctx, call, Before); err != nil {
		return err
	}
	if err := f.expressible(s.Split); err != nil {
		return err
	}
	if err := f.write(ctx, call, s.Generation, func(w *world) (string, func()) { return f.next(w, s.Split) }); err != nil {
		return err
	}
	return f.at(ctx, call, After)
}

// Remove implements traffic.Router.
func (f *Fake) Remove(ctx context.Context, t traffic.Target, generation int64) error {
	call := Call{Verb: Remove, Target: t}
	if err := f.at(ctx, call, Before); err != nil {
		return err
	}
	err := f.write(ctx, call, generation, func(w *world) (string, func()) {
		switch {
		case w.canary != nil:
			return "canary removed", func() { w.canary = nil }
		case w.main != v1alpha1.SlotNone:
			return "main removed", func() { w.main = v1alpha1.SlotNone }
		case w.callers != v1alpha1.SlotNone:
			return "stable Services removed", func() { w.callers = v1alpha1.SlotNone }
		}
		return "", nil
	})
	if err != nil {
		return err
	}
	return f.at(ctx, call, After)
}

// write makes one write after the other as long as there is a safe one. Like an update that is conditional on what was read,
// each is refused where a newer generation came in between.
func (f *Fake) write(ctx context.Context, call Call, generation int64, next func(*world) (string, func())) error {
	for {
		name, err := f.plan(call.Target, generation, next)
		if err != nil || name == "" {
			return err
		}
		call.Writing = name
		if err := f.at(ctx, call, Write); err != nil {
			return err
		}
		if err := f.apply(call.Target, generation, name, next); err != nil {
			return err
		}
	}
}

func (f *Fake) plan(t traffic.Target, generation int64, next func(*world) (string, func())) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.world(t)
	if err := w.fence(generation); err != nil {
		return "", err
	}
	name, _ := next(w)
	return name, nil
}

func (f *Fake) apply(t traffic.Target, generation int64, name string, next func(*world) (string, func())) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.world(t)
	if err := w.fence(generation); err != nil {
		return err
	}
	now, act := next(w)
	if now != name {
		return fault.New(fault.Conflict, "shift traffic", "the routes were changed meanwhile")
	}
	act()
	w.generation, w.shiftedAt, w.foreign = generation, f.o.Now(), ""
	if w.main == v1alpha1.SlotNone && w.canary == nil && w.callers == v1alpha1.SlotNone {
		// The generation is written on the objects: with the last one it is gone.
		w.generation = 0
	}
	w.note(f.o.Now())
	return nil
}

func (f *Fake) expressible(s v1alpha1.Split) error {
	if err := traffic.Expressible(s); err != nil {
		return err
	}
	if f.o.AllOrNothing && (s.Header != v1alpha1.SlotNone || s.Weights[s.Live()] != 100) {
		return fault.New(fault.Usage, "shift traffic", "this router sends everything to one slot")
	}
	return nil
}

func (f *Fake) at(ctx context.Context, call Call, m Moment) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.mu.Lock()
	hook := f.hook
	f.mu.Unlock()
	if hook == nil {
		return nil
	}
	call.Moment = m
	return hook(ctx, call)
}

func (f *Fake) world(t traffic.Target) *world {
	p := place{t.Service, t.Environment, t.Namespace}
	if f.worlds[p] == nil {
		f.worlds[p] = &world{}
	}
	return f.worlds[p]
}

// wait is how much time the proxies have left to follow the last write.
func (f *Fake) wait(w *world) time.Duration {
	return max(0, f.o.Convergence-f.o.Now().Sub(w.shiftedAt))
}

func (f *Fake) settled(w *world) bool { return f.wait(w) == 0 }
