package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/guard"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/metric/metrictest"
)

const (
	guarded = 2000
	// guardedSeconds are of the clock that the guard is told, and pass as fast as they can.
	guardedSeconds = 120
)

// guards watches 2 000 rollouts in one process, a look each second: 200 requests/s of each, 20 % of them to the candidate, 0.5 % failures.
func guards(ctx context.Context, _ *bed) error {
	c := newCounters()
	scenes := make([]guard.Scene, guarded)
	for i := range scenes {
		scenes[i] = c.scene(fmt.Sprintf("service-%04d", i))
	}
	c.serve()
	before := heap()
	g := guard.New(guard.Options{Sources: c, Now: c.clock})
	var spent time.Duration
	var last v1alpha1.Judgement
	aborted := 0
	for range guardedSeconds {
		c.serve()
		begin := processorTime()
		aborted = 0
		for _, s := range scenes {
			if last = g.Look(ctx, s); last.Decision == "abort" {
				aborted++
			}
		}
		spent += processorTime() - begin
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	after := heap()
	text, err := json.Marshal(last)
	if err != nil {
		return err
	}
	runtime.KeepAlive(g)
	fmt.Printf("%d analyses, %d looks each, %d aborted\n", guarded, guardedSeconds, aborted)
	figure("guard_cpu_us_per_look", float64(spent.Microseconds())/guarded/guardedSeconds, "µs")
	figure("guards_2000_cpu_percent", 100*spent.Seconds()/guardedSeconds, "%")
	figure("guard_heap_kb", float64(after-before)/guarded/1000, "kB")
	figure("guard_judgement_json_kb", float64(len(text))/1000, "kB")
	figure("guard_state_json_kb", float64(len(last.State))/1000, "kB")
	return nil
}

// counters are the sources of all rollouts, by service, and their clock.
type counters struct {
	of     map[string]*metrictest.Memory
	now    time.Time
	random *rand.Rand
}

func newCounters() *counters {
	return &counters{map[string]*metrictest.Memory{}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), rand.New(rand.NewPCG(5, 1))}
}

func (c *counters) clock() time.Time { return c.now }

// scene is a rollout at a step with 20 % of the traffic.
func (c *counters) scene(service string) guard.Scene {
	c.of[service] = metrictest.NewMemory(c.clock, v1alpha1.SlotBlue, v1alpha1.SlotGreen)
	return guard.Scene{
		Subject: metric.Subject{Service: service, Environment: "bench", Namespace: service, Live: v1alpha1.SlotBlue, Candidate: v1alpha1.SlotGreen},
		Number:  1, Step: 1, Weight: 20, Since: c.now,
	}
}

// serve lets a second pass.
func (c *counters) serve() {
	c.now = c.now.Add(time.Second)
	for _, service := range slices.Sorted(maps.Keys(c.of)) {
		for _, of := range []struct {
			slot     v1alpha1.Slot
			requests uint64
		}{{v1alpha1.SlotBlue, 160}, {v1alpha1.SlotGreen, 40}} {
			failed := uint64(0)
			for range of.requests {
				if c.random.Float64() < 0.005 {
					failed++
				}
			}
			c.of[service].Serve(of.slot, of.requests, failed, 0)
		}
	}
}

var _ guard.Sources = (*counters)(nil)

// Requests implements guard.Sources.
func (c *counters) Requests(subject metric.Subject, _ v1alpha1.Analysis) (guard.Feed, error) {
	return guard.Feed{Source: c.of[subject.Service], Every: time.Second}, nil
}

// Probe implements guard.Sources; nothing here asks for it, nor for what follows.
func (c *counters) Probe(subject metric.Subject, spec v1alpha1.Analysis, _ v1alpha1.Probe) (guard.Feed, error) {
	return c.Requests(subject, spec)
}

// Counters implements guard.Sources.
func (c *counters) Counters(subject metric.Subject, spec v1alpha1.Analysis, _ v1alpha1.Metric) (guard.Feed, error) {
	return c.Requests(subject, spec)
}

// Number implements guard.Sources.
func (c *counters) Number(metric.Subject, v1alpha1.Analysis, v1alpha1.Metric) (guard.Reader, error) {
	return guard.Reader{}, fmt.Errorf("there are no numbers here")
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
