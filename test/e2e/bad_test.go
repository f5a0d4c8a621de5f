//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// faulty are values under which version N breaks in one way.
func faulty(name, value string) map[string]any {
	return map[string]any{"env": map[string]any{"SAY_VERSION": "1", name: value}}
}

// TestBadReleaseIsTakenBack tries every kind of bad release, in slots and in place: exit 4, the cause named; in slots users never notice.
func TestBadReleaseIsTakenBack(t *testing.T) {
	for _, strategy := range []string{"slots", "direct"} {
		t.Run(strategy, func(t *testing.T) {
			s := newService(t, "bad-"+strategy)
			s.timeout = "30s"
			if strategy == "direct" {
				s.strategy = direct()
			}
			s.must(0)(s.release(nil))
			s.serves("1.0.0")
			for _, tt := range badReleases() {
				if strategy == "direct" && tt.reachesUsers {
					continue
				}
				t.Run(tt.name, func(t *testing.T) { tt.run(t, s) })
			}
		})
	}
}

type badRelease struct {
	name   string
	values map[string]any
	gates  []any
	quota  string
	image  bool // an image that does not exist
	say    []string
	// reachesUsers: in place, users see it until the gate does.
	reachesUsers bool
}

func badReleases() []badRelease {
	return []badRelease{
		{name: "image does not exist", image: true, say: []string{"nowhere"}},
		{name: "crash loop", values: faulty("CRASH", "1"), say: []string{"flux capacitor"}},
		{name: "never ready", values: faulty("NEVER_READY", "1"), say: []string{"ready"}},
		{name: "out of memory", values: faulty("EAT_MIB", "200"), say: []string{"OOMKilled"}},
		{name: "wrong status", values: faulty("FAIL", "1"), say: []string{"gate", "500"}, reachesUsers: true},
		{name: "wrong body", values: faulty("WRONG_BODY", "1"), say: []string{"gate", "41"}, reachesUsers: true},
		{name: "failing helm test", values: faulty("FAIL", "1"), gates: []any{map[string]any{"helmTest": map[string]any{}}}, say: []string{"test"}, reachesUsers: true},
		{name: "failing hook", values: map[string]any{"migration": "3"}, say: []string{"migrate", "exit 3"}},
		{name: "quota exceeded", quota: "2", say: []string{"quota"}},
	}
}

func (b badRelease) run(t *testing.T, s *service) {
	s = s.within(t)
	gates, spec := s.gates, s.spec
	defer func() { s.gates, s.spec = gates, spec }()
	if b.gates != nil {
		s.gates = b.gates
	}
	values := b.values
	if b.image {
		s.spec = map[string]any{"images": map[string]any{}, "imageValues": map[string]any{}}
		values = map[string]any{"image": s.Registry + "/nowhere/app:1.0.0"}
	}
	if b.quota != "" {
		s.apply("apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {pods: '" + b.quota + "'}}\n")
		defer s.kubectl("-n", s.namespace, "delete", "resourcequota", "q")
	}
	stop := s.users()
	s.must(4, b.say...)(s.release(values))
	stop()
	s.serves("1.0.0")
}

// TestFirstInstallationIsRemovedAgain fails at the first release ever: nothing is left, and it says so.
func TestFirstInstallationIsRemovedAgain(t *testing.T) {
	for name, strategy := range map[string]map[string]any{"direct": direct(), "nginx": blueGreen("nginx"), "gateway": blueGreen("gateway")} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, "first-"+name)
			s.strategy = strategy
			values := faulty("CRASH", "1")
			if name == "gateway" {
				values["router"] = "gateway"
			}
			s.must(4, "flux capacitor", "first installation")(s.release(values))
			left := s.kubectl("-n", s.namespace, "get", "deploy,svc,ingress,httproute,secret", "-o", "name")
			if strings.TrimSpace(left) != "" {
				t.Errorf("left behind:\n%s", left)
			}
		})
	}
}

// TestNothingChangedIsExitThree: a chart that does not render, and an abort before anything happened, change nothing.
func TestNothingChangedIsExitThree(t *testing.T) {
	s := newService(t, "refused")
	s.must(0)(s.release(nil))
	before := s.kubectl("-n", s.namespace, "get", "deploy,svc,ingress,secret", "-o", "name")
	code, out := s.release(map[string]any{"env": "this is no map"})
	if code != 3 && code != 2 {
		t.Fatalf("exit %d for a chart that does not render\n%s", code, out)
	}
	if after := s.kubectl("-n", s.namespace, "get", "deploy,svc,ingress,secret", "-o", "name"); after != before {
		t.Errorf("something was changed:\n%s\nbefore:\n%s", after, before)
	}
	s.serves("1.0.0")
}
