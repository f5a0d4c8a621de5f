package metrictest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/metric"
)

// Memory is a source that counts what it is told. It is safe for concurrent use.
type Memory struct {
	now   func() time.Time
	slots []v1alpha1.Slot

	mu     sync.Mutex
	down   bool
	counts map[memoryKey]uint64
	follow metric.Follower[memoryKey]
	tally  *metric.Tally
	known  bool
	born   time.Time
}

type memoryKey struct {
	slot v1alpha1.Slot
	what string
}

var _ metric.Source = (*Memory)(nil)

// NewMemory returns a source for slots.
func NewMemory(now func() time.Time, slots ...v1alpha1.Slot) *Memory {
	return &Memory{now: now, slots: slots, counts: map[memoryKey]uint64{}, born: now()}
}

// Serve counts requests of a slot.
func (m *Memory) Serve(slot v1alpha1.Slot, requests, failed, slow uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[memoryKey{slot, "200"}] += requests - failed
	m.counts[memoryKey{slot, "500"}] += failed
	m.counts[memoryKey{slot, "slow"}] += slow
}

// Down takes the source away, or brings it back.
func (m *Memory) Down(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// Restart lets the counters begin anew.
func (m *Memory) Restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts, m.born = map[memoryKey]uint64{}, m.now()
}

// Read implements metric.Source.
func (m *Memory) Read(ctx context.Context) (metric.Reading, error) {
	const op = "count requests in memory"
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil || m.down {
		return metric.Reading{}, metric.Down(ctx, op, errors.New("it is down")).WithHint("bring it back")
	}
	if m.tally == nil {
		m.tally = metric.NewTally(m.now(), m.slots)
	}
	grown, err := m.follow.Follow("memory", m.born, m.counts)
	if err != nil {
		return metric.Reading{}, metric.Down(ctx, op, err).WithHint("tell the processes apart")
	}
	m.known = m.known || len(m.counts) > 0
	if !m.known {
		return metric.Reading{}, metric.NoData(op, "nothing was served yet").WithHint("serve something")
	}
	for k, n := range grown {
		if k.what == "slow" {
			m.tally.AddSlow(k.slot, n)
			continue
		}
		m.tally.Add(k.slot, k.what, n, k.what == "500")
	}
	r := m.tally.Reading(m.now())
	r.Cost = metric.Cost{Requests: 1, Bytes: int64(len(m.counts)) * 8}
	return r, nil
}
