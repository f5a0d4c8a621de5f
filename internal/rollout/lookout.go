package rollout

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/guard"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/store"
)

// Guard judges the requests of a rollout's slots. Look returns soon and has no error: not being able to find out is an answer.
type Guard interface {
	Look(ctx context.Context, s guard.Scene) v1alpha1.Judgement
}

// How often the guard looks, whatever else a tick is busy with: lookPeriod, and lookMoved while traffic moves and for movedLately after it, when
// what a bad candidate does is new.
const (
	lookPeriod  = time.Second
	lookMoved   = 300 * time.Millisecond
	movedLately = 15 * time.Second
)

// scene is what the guard is shown; false in phases in which there is nothing to judge.
func scene(r v1alpha1.Rollout, o Observation, now time.Time) (guard.Scene, bool) {
	s := guard.Scene{
		Number: r.Number, Step: r.Step, Weight: o.Traffic.Split.Weights[r.Candidate], Known: r.Judgement,
		Subject: metric.Subject{
			Service: r.Service, Environment: r.Environment, Namespace: r.Namespace, Candidate: r.Candidate, Entry: r.Plan.Entry,
			Routes: map[v1alpha1.Slot]v1alpha1.Routes{},
		},
	}
	v := &view{r: r, o: o}
	switch {
	case r.Plan.Analysis == nil:
		return s, false
	case r.Phase == v1alpha1.Deploying:
		// Live is watched before the candidate is there, so that it is known by then. In place the old pods still answer.
		if !v.twoSlots() {
			return s, false
		}
	case r.Phase == v1alpha1.Settling:
		if v.oldGone() {
			return s, false
		}
	case r.Phase != v1alpha1.Shifting && r.Phase != v1alpha1.Analyzing:
		return s, false
	}
	s.Spec = *r.Plan.Analysis
	if v.twoSlots() {
		s.Subject.Live = r.Return.Slot
	}
	if o.Traffic.Split.Header == r.Candidate {
		s.Subject.Header = r.Plan.Header.OrDefault()
	}
	for slot, seen := range o.Slots {
		s.Subject.Routes[slot] = seen.Routes
	}
	// Where nothing is routed, both slots work as long as both are there.
	beside := r.Plan.Router == v1alpha1.RouterNone && v.twoSlots()
	s.Alone = o.Traffic.Split.Equal(v1alpha1.Only(r.Candidate)) && !o.Traffic.Transition && !beside
	if r.Phase == v1alpha1.Analyzing {
		s.Since = r.StepSince
	}
	s.Moved = moved(r, s.Weight, now)
	return s, true
}

// moved says that traffic moves or has just moved.
func moved(r v1alpha1.Rollout, weight int, now time.Time) bool {
	if weight == 0 {
		return false
	}
	return r.Phase == v1alpha1.Shifting || r.Phase == v1alpha1.Analyzing && now.Sub(r.StepSince) < movedLately
}

// judge asks the guard about what is observed.
func (m *Machine) judge(ctx context.Context, r v1alpha1.Rollout, o Observation) *v1alpha1.Judgement {
	s, ok := scene(r, o, m.o.Now())
	if !ok || m.o.Guard == nil {
		m.lookouts.show(store.KeyOf(r), r.Number, nil)
		return nil
	}
	m.lookouts.show(store.KeyOf(r), r.Number, &s)
	j := m.o.Guard.Look(ctx, s)
	if one := m.lookouts.of(store.KeyOf(r), r.Number); one != nil && j.Decision == string(analysis.Abort) {
		one.tell()
	}
	return &j
}

// lookouts are those of the rollouts that are driven.
type lookouts struct {
	mu  sync.Mutex
	all map[driven]*lookout
}

// driven tells rollouts apart.
type driven struct {
	store.Key
	number int
}

// lookout goes on looking while a tick waits for a gate or an act, and wakes the driver once the candidate is bad.
type lookout struct {
	guard Guard
	// watched says that changes are passed on.
	watched bool
	// wake ends the driver's rest; nil where nobody would.
	wake chan struct{}

	mu    sync.Mutex
	scene *guard.Scene
	shown time.Time
	// bad is closed by tell, once, when the guard has said so: it ends what a tick waits for.
	bad  chan struct{}
	tell func()
}

// begin looks out until ctx ends. changes are passed on to wake.
func (l *lookouts) begin(ctx context.Context, key store.Key, number int, g Guard, changes <-chan struct{}) *lookout {
	one := &lookout{guard: g, watched: changes != nil, bad: make(chan struct{})}
	if changes != nil || g != nil {
		one.wake = make(chan struct{}, 1)
	}
	one.tell = sync.OnceFunc(func() {
		close(one.bad)
		one.poke()
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[driven]*lookout{}
	}
	l.all[driven{key, number}] = one
	if changes != nil {
		go one.pass(ctx, changes)
	}
	if g != nil {
		go one.look(ctx)
	}
	return one
}

func (l *lookouts) end(key store.Key, number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, driven{key, number})
}

func (l *lookouts) of(key store.Key, number int) *lookout {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[driven{key, number}]
}

// show says what there is to be judged from now on; nil for nothing.
func (l *lookouts) show(key store.Key, number int, s *guard.Scene) {
	one := l.of(key, number)
	if one == nil {
		return
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	one.scene, one.shown = s, time.Now()
}

// seen is what was shown, if anything. A tick that takes long does not see that traffic has not moved for a while.
func (l *lookout) seen(now time.Time) (guard.Scene, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.scene == nil {
		return guard.Scene{}, false
	}
	s := *l.scene
	s.Moved = s.Moved && now.Sub(l.shown) < movedLately
	return s, true
}

func (l *lookout) pass(ctx context.Context, changes <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-changes:
			if !open {
				return
			}
			l.poke()
		}
	}
}

func (l *lookout) poke() {
	select {
	case l.wake <- struct{}{}:
	default: // it is awake already
	}
}

func (l *lookout) look(ctx context.Context) {
	ticker := time.NewTicker(lookMoved)
	defer ticker.Stop()
	var last time.Time
	for {
		var now time.Time
		select {
		case <-ctx.Done():
			return
		case now = <-ticker.C:
		}
		s, ok := l.seen(now)
		if !ok || !s.Moved && now.Sub(last) < lookPeriod-lookMoved/2 {
			continue
		}
		last = now
		if j := l.guard.Look(ctx, s); j.Decision == string(analysis.Abort) {
			l.tell()
		}
	}
}

// untilBad is a context for what may be given up once the candidate is known to be bad.
func (m *Machine) untilBad(ctx context.Context, r v1alpha1.Rollout) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if one := m.lookouts.of(store.KeyOf(r), r.Number); one != nil {
		go func() {
			select {
			case <-one.bad:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	return ctx, cancel
}
