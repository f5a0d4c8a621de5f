package metrictest_test

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/metric/metrictest"
)

func TestMemory(t *testing.T) {
	metrictest.Contract(t, func(*testing.T) metrictest.World {
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		m := metrictest.NewMemory(func() time.Time { return now }, v1alpha1.SlotBlue, v1alpha1.SlotGreen)
		return metrictest.World{
			Source: m, Slow: true, Codes: true,
			Serve: func(_ *testing.T, slot v1alpha1.Slot, requests, failed, slow uint64) {
				m.Serve(slot, requests, failed, slow)
			},
			Advance: func(*testing.T) { now = now.Add(10 * time.Second) },
			Down:    func(_ *testing.T, down bool) { m.Down(down) },
			Restart: func(*testing.T) { m.Restart() },
		}
	})
}
