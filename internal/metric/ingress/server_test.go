//go:build e2e

package ingress_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// server answers for a slot, and knows how often it did.
type server struct {
	slot v1alpha1.Slot
	// fails and slow are how many of the next answers are; every is which one of all fails, 0 for none.
	fails, slow, every atomic.Int64
	served, failed     atomic.Int64
}

func (s *server) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	n := s.served.Add(1)
	if s.slow.Add(-1) >= 0 {
		time.Sleep(700 * time.Millisecond)
	}
	if every := s.every.Load(); s.fails.Add(-1) >= 0 || every > 0 && n%every == 0 {
		s.failed.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = fmt.Fprintln(w, s.slot)
}
