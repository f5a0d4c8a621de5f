package guard

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/metric"
)

const (
	// fresh is how long a judgement stands: whoever looks again sooner gets the same. While traffic moves it is fresher.
	fresh      = 700 * time.Millisecond
	freshMoved = 200 * time.Millisecond
	// patience is how long a look waits for answers. What comes later counts at the next look, so that a slow source does not make the
	// others blind.
	patience = time.Second
)

// Options are what a Guard needs.
type Options struct {
	Sources Sources
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Guard watches rollouts. It is safe for concurrent use.
type Guard struct {
	o Options

	mu      sync.Mutex
	watches map[subject]*watch
}

// subject tells rollouts apart.
type subject struct {
	service, environment, namespace string
	number                          int
}

// New returns a guard that watches nothing yet.
func New(o Options) *Guard {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Guard{o: o, watches: map[subject]*watch{}}
}

// Look reads the sources that are due and says what follows. It returns within about a second and has no error: not being able to find
// out is an answer. A rollout that is not known is gone on with from what Scene.Known recorded.
func (g *Guard) Look(ctx context.Context, s Scene) v1alpha1.Judgement {
	w := g.watch(s)
	if err := w.turn.Take(ctx); err != nil {
		return w.judgement()
	}
	defer w.turn.Give()
	now := g.o.Now()
	if last := w.judgement(); now.Sub(last.At) < s.fresh() && !now.Before(last.At) && w.seen.same(s) {
		return last
	}
	w.seen = s
	w.read(ctx, now)
	j := w.judge(now)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = j
	return j
}

func subjectOf(s Scene) subject {
	return subject{s.Subject.Service, s.Subject.Environment, s.Subject.Namespace, s.Number}
}

func (g *Guard) watch(s Scene) *watch {
	g.mu.Lock()
	defer g.mu.Unlock()
	w, known := g.watches[subjectOf(s)]
	if !known {
		w = newWatch(g.o, s)
		g.watches[subjectOf(s)] = w
	}
	return w
}

// same says that two scenes ask the same thing.
func (s Scene) same(o Scene) bool {
	return s.Step == o.Step && s.Since.Equal(o.Since) && s.Weight == o.Weight && s.Alone == o.Alone
}

func (s Scene) fresh() time.Duration {
	if s.Moved {
		return freshMoved
	}
	return fresh
}

// watch is the watch over one rollout.
type watch struct {
	o    Options
	turn metric.Turn
	seen Scene
	// broken says why there is nothing that could be asked.
	broken error
	// requests counts users' requests, or what takes their place; probe counts Sluice's own; metrics are the user's own counters.
	requests, probe *inquiry
	metrics         []*inquiry
	numbers         []*number
	step            step
	// probing says that this look sends requests of Sluice's own.
	probing bool

	mu   sync.Mutex
	last v1alpha1.Judgement
}

// step is the one whose requests are counted.
type step struct {
	Number int       `json:"number"`
	Since  time.Time `json:"since"`
	// Requests and Probes are how many the candidate had when it began.
	Requests uint64 `json:"requests"`
	Probes   uint64 `json:"probes"`
}

func newWatch(o Options, s Scene) *watch {
	w := &watch{o: o, turn: metric.NewTurn(), seen: s}
	if err := w.ask(s.Spec); err != nil {
		w.broken = err
		return w
	}
	if s.Known != nil {
		w.last = *s.Known
		w.last.At = time.Time{} // it is of another run's clock: look at once
		w.restore(s.Known.State)
	}
	return w
}

func (w *watch) judgement() v1alpha1.Judgement {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// all inquiries that are asked now.
func (w *watch) all() []*inquiry {
	all := []*inquiry{w.requests}
	if w.probing {
		all = append(all, w.probe)
	}
	return append(all, w.metrics...)
}

// thinly says that users' requests do not suffice at a step that gives the candidate traffic. A source that lags behind says nothing of the
// step before it has got there.
func (w *watch) thinly(now time.Time) bool {
	s := w.seen
	if w.probe == nil || s.Weight == 0 || !w.entered() || w.requests.total()-w.step.Requests >= Enough {
		return false
	}
	return w.requests.reaches(s.Since.Add(thin), now) || w.probe.total() > w.step.Probes
}

// entered says that what is counted is of the step that is analyzed.
func (w *watch) entered() bool {
	return !w.seen.Since.IsZero() && w.step.Since.Equal(w.seen.Since) && w.step.Number == w.seen.Step
}

// thin is how long a step waits for the requests of users before it sends some of its own.
const thin = 5 * time.Second

// read asks what is due, all at the same time.
func (w *watch) read(ctx context.Context, now time.Time) {
	if w.broken != nil {
		return
	}
	w.probing = w.thinly(now)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var waits []<-chan struct{}
	for _, i := range w.all() {
		waits = append(waits, i.ask(ctx, w.o.Sources, w.seen, now))
	}
	for _, n := range w.numbers {
		waits = append(waits, n.ask(ctx, w.o.Sources, w.seen, now))
	}
	for _, done := range waits {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	if w.probing {
		before := w.probe.seen()
		w.probe.take(w.seen)
		w.requests.sent = max(w.requests.sent+w.probe.seen()-before, 1) // one may be on its way
	}
	for _, i := range w.all() {
		i.take(w.seen)
	}
	for _, n := range w.numbers {
		n.take()
	}
	w.enter(now)
}

// enter marks where a step begins, once what is counted has got there.
func (w *watch) enter(now time.Time) {
	s := w.seen
	if s.Since.IsZero() || w.entered() || !w.requests.reaches(s.Since, now) {
		return
	}
	w.step = step{Number: s.Step, Since: s.Since, Requests: w.requests.total()}
	w.requests.beginStep()
	if w.probe != nil {
		w.step.Probes = w.probe.total()
		w.probe.beginStep()
	}
	for _, i := range w.metrics {
		i.beginStep()
	}
}

// ProbesPart is the part of the chance of a false abort that is kept for probes, which are few and stand in for users now and then only.
const ProbesPart = 0.1

// ask makes what the analysis of an environment asks.
func (w *watch) ask(spec v1alpha1.Analysis) error {
	asked := questionsOf(spec)
	chance := spec.FalseAbort.Or(FalseAbort)
	var err error
	if spec.Probe != nil && (spec.Source == nil || spec.Source.Probe == nil) {
		part := chance * ProbesPart
		chance -= part
		if w.probe, err = newInquiry("probe", spec, asked, part, probes(*spec.Probe)); err != nil {
			return err
		}
	}
	questions := len(asked)
	for _, m := range spec.Metrics {
		if m.Condition == "" {
			questions++
		}
	}
	share := chance / float64(questions)
	if w.requests, err = newInquiry("", spec, asked, share*float64(len(asked)), requests(spec)); err != nil {
		return err
	}
	for _, m := range spec.Metrics {
		if err := w.askOwn(spec, m, share); err != nil {
			return fmt.Errorf("metric %s: %w", m.Name, err)
		}
	}
	return nil
}

// askOwn makes what a metric of one's own asks.
func (w *watch) askOwn(spec v1alpha1.Analysis, m v1alpha1.Metric, share float64) error {
	if m.Condition != "" {
		n, err := newNumber(m)
		w.numbers = append(w.numbers, n)
		return err
	}
	i, err := newInquiry(m.Name, spec, questionOf(m), share, counters(m))
	w.metrics = append(w.metrics, i)
	return err
}
