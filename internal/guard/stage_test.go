package guard_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/guard"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/metric/metrictest"
)

const (
	blue  = v1alpha1.SlotBlue
	green = v1alpha1.SlotGreen
)

// stage is a rollout whose requests are counted in memory, and whose clock only the test moves.
type stage struct {
	t     *testing.T
	now   time.Time
	chaos *rand.Rand
	guard *guard.Guard
	scene guard.Scene
	// requests counts users, probe what Sluice sends itself; both are what the candidate's share of failures makes of it.
	requests, probe *counted
	counters        map[string]*counted
	numbers         map[string]*asked
	// bad is the share of each slot's requests that fail.
	bad map[v1alpha1.Slot]float64
	// rate is how many requests a second come in.
	rate int
	// soonest is how soon requests may be asked for again while traffic moves.
	soonest time.Duration
}

// counted is a source in memory that begins when it is made.
type counted struct {
	mu    sync.Mutex
	feed  *metrictest.Memory
	reads int
	err   error
	hangs chan struct{}
	// late is how far what it says lies behind.
	late time.Duration
}

func (c *counted) Read(ctx context.Context) (metric.Reading, error) {
	c.mu.Lock()
	c.reads++
	err, hangs := c.err, c.hangs
	c.mu.Unlock()
	if hangs != nil {
		<-hangs
		return metric.Reading{}, down()
	}
	if err != nil {
		return metric.Reading{}, err
	}
	r, err := c.feed.Read(ctx)
	r.At = r.At.Add(-c.late)
	return r, err
}

func (c *counted) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads
}

type asked struct {
	number float64
	err    error
}

func (a *asked) Value(context.Context) (metric.Value, error) {
	return metric.Value{Number: a.number}, a.err
}

func newStage(t *testing.T, spec v1alpha1.Analysis) *stage {
	s := &stage{
		t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), chaos: rand.New(rand.NewPCG(1, 2)), rate: 200,
		bad: map[v1alpha1.Slot]float64{}, counters: map[string]*counted{}, numbers: map[string]*asked{},
	}
	for _, m := range spec.Metrics {
		if m.Condition != "" {
			s.numbers[m.Name] = &asked{}
		}
	}
	s.scene = guard.Scene{
		Subject: metric.Subject{Service: "shop", Environment: "prod", Namespace: "shop-prod", Live: blue, Candidate: green, Entry: "http://shop", Header: v1alpha1.Header{Name: "canary", Value: "always"}},
		Number:  7, Spec: spec, Step: 1, Weight: 20,
	}
	s.begin()
	return s
}

// begin makes another guard, as another run does.
func (s *stage) begin() {
	s.requests, s.probe = s.source(), s.source()
	for _, m := range s.scene.Spec.Metrics {
		s.counters[m.Name] = s.source()
	}
	s.guard = guard.New(guard.Options{Sources: s, Now: func() time.Time { return s.now }})
}

func (s *stage) source() *counted {
	return &counted{feed: metrictest.NewMemory(func() time.Time { return s.now }, blue, green)}
}

func (s *stage) Requests(metric.Subject, v1alpha1.Analysis) (guard.Feed, error) {
	return guard.Feed{Source: s.requests, Every: time.Second, Soonest: s.soonest, Lag: s.requests.late}, nil
}

func (s *stage) Probe(metric.Subject, v1alpha1.Analysis, v1alpha1.Probe) (guard.Feed, error) {
	return guard.Feed{Source: s.probe, Every: time.Second}, nil
}

func (s *stage) Counters(_ metric.Subject, _ v1alpha1.Analysis, m v1alpha1.Metric) (guard.Feed, error) {
	return guard.Feed{Source: s.counters[m.Name], Every: time.Second}, nil
}

func (s *stage) Number(_ metric.Subject, _ v1alpha1.Analysis, m v1alpha1.Metric) (guard.Reader, error) {
	return guard.Reader{Valuer: s.numbers[m.Name], Every: 10 * time.Second}, nil
}

// serve lets a second of requests come in.
func (s *stage) serve(to *counted, rate int) {
	for slot, weight := range map[v1alpha1.Slot]int{blue: 100 - s.scene.Weight, green: s.scene.Weight} {
		n, failed := rate*weight/100, 0
		for range n {
			if s.chaos.Float64() < s.bad[slot] {
				failed++
			}
		}
		if n > 0 {
			to.feed.Serve(slot, uint64(n), uint64(failed), 0)
		}
	}
}

// pass lets time pass, a look each second, until the guard aborts; the last judgement is returned.
func (s *stage) pass(seconds int) v1alpha1.Judgement {
	s.t.Helper()
	var j v1alpha1.Judgement
	for range seconds {
		s.now = s.now.Add(time.Second)
		s.serve(s.requests, s.rate)
		if j = s.guard.Look(s.t.Context(), s.scene); j.Decision == "abort" {
			break
		}
	}
	return j
}

// arrive says that the traffic is where the step wants it.
func (s *stage) arrive() { s.scene.Since = s.now }

func down() error { return metric.Down(context.Background(), "count", context.DeadlineExceeded) }

func never() error {
	return fault.New(fault.Usage, "count requests", "Traefik does not count requests slower than 200ms: its nearest limits are 100ms and 300ms").
		WithHint("take one of them")
}
