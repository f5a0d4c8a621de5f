//go:build e2e

package e2e

import (
	"testing"
)

// TestGoodReleaseLosesNothing releases twice more under load, with every strategy and router.
func TestGoodReleaseLosesNothing(t *testing.T) {
	for _, tt := range []struct {
		name     string
		router   string
		strategy map[string]any
	}{
		{"bluegreen-nginx", "nginx", blueGreen("nginx")},
		{"bluegreen-gateway", "gateway", blueGreen("gateway")},
		{"canary-nginx", "nginx", canary("nginx", 0, 20, 60, 100)},
		{"canary-gateway", "gateway", canary("gateway", 0, 20, 60, 100)},
		{"direct", "nginx", direct()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newService(t, tt.name)
			s.strategy = tt.strategy
			values := map[string]any{"router": tt.router}
			s.must(0)(s.release(values))
			s.serves("1.0.0")
			stop := s.users()
			s.must(0)(s.release(values))
			s.serves("2.0.0")
			s.must(0)(s.release(values))
			s.serves("3.0.0")
			stop()
		})
	}
}
