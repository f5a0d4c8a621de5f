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

// TestBadReleaseIsTakenBack tries every kind of bad release: exit 4, the cause named, and users never notice.
func TestBadReleaseIsTakenBack(t *testing.T) {
	s := newService(t, "bad")
	s.timeout = "40s"
	s.must(0)(s.release(nil))
	s.serves("1.0.0")
	env := func(name, value string) map[string]any {
		return map[string]any{"env": map[string]any{"SAY_VERSION": "1", name: value}}
	}
	for _, tt := range []struct {
		name   string
		values map[string]any
		say    string
	}{
		{"crash loop", env("CRASH", "1"), "flux capacitor"},
		{"never ready", env("NEVER_READY", "1"), "ready"},
		{"out of memory", env("EAT_MIB", "200"), "OOMKilled"},
		{"wrong status", env("FAIL", "1"), "status"},
		{"wrong body", env("WRONG_BODY", "1"), "answer"},
		{"failing hook", map[string]any{"migration": "3"}, "migrate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.t = t
			stop := s.users()
			s.must(4, tt.say)(s.release(tt.values))
			stop()
			s.serves("1.0.0")
		})
	}
}
