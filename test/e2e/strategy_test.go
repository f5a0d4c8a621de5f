//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// image returns the reference of the application image that the last build pushed.
func (s *service) image() string {
	s.t.Helper()
	out := s.kubectl("-n", s.namespace, "get", "pods", "-l", "app.kubernetes.io/name=app", "-o", "jsonpath={.items[0].spec.containers[0].image}")
	return strings.TrimSpace(out)
}

// TestChangeOfStrategyLosesNothing goes from direct to slots, once around, and back, while users and callers inside the cluster go on.
func TestChangeOfStrategyLosesNothing(t *testing.T) {
	testRouters(t, func(t *testing.T, router string) {
		s := newService(t, "change-"+router)
		values := map[string]any{"router": router}
		s.strategy = direct()
		s.must(0)(s.release(values))
		s.serves("1.0.0")
		stop, hangUp := s.users(), s.callers(s.image(), "app")
		s.strategy = canary(router, 0, 50, 100)
		s.must(0)(s.release(values))
		s.serves("2.0.0")
		s.must(0)(s.release(values))
		s.serves("3.0.0")
		s.strategy = direct()
		s.must(0)(s.release(values))
		s.serves("4.0.0")
		s.must(0)(s.release(values))
		s.serves("5.0.0")
		hangUp()
		stop()
	})
}

// TestTakeoverFromHelm takes over what plain Helm installed: a bad release first, then a good one, then the way back.
func TestTakeoverFromHelm(t *testing.T) {
	testRouters(t, func(t *testing.T, router string) {
		s := newService(t, "takeover-"+router)
		s.strategy = blueGreen(router)
		values := map[string]any{"router": router}
		args := s.prepare(values)
		image := s.built()
		s.helmInstall(map[string]any{"host": s.host, "router": router, "image": image, "env": map[string]any{"SAY_VERSION": "1"}})
		s.serves("0.0.0")
		stop, hangUp := s.users(), s.callers(image, "app")
		s.must(4)(s.release(map[string]any{"router": router, "env": map[string]any{"SAY_VERSION": "1", "WRONG_BODY": "1"}}))
		s.serves("0.0.0")
		s.must(0)(s.run(args...))
		s.serves("1.0.0")
		s.version++
		s.must(0)(s.release(values))
		s.must(0)(s.run("rollback", "app", "--env", "test"))
		s.serves("1.0.0")
		hangUp()
		stop()
	})
}

// TestTakeoverInPlace goes on from plain Helm with the direct strategy, and back to Helm's own revision when the release is bad.
func TestTakeoverInPlace(t *testing.T) {
	s := newService(t, "takeover-direct")
	s.strategy = direct()
	args := s.prepare(nil)
	s.helmInstall(map[string]any{"host": s.host, "router": "nginx", "image": s.built(), "env": map[string]any{"SAY_VERSION": "1"}})
	s.serves("0.0.0")
	s.must(4, "flux capacitor")(s.release(map[string]any{"env": map[string]any{"SAY_VERSION": "1", "CRASH": "1"}}))
	s.serves("0.0.0")
	s.must(0)(s.run(args...))
	s.serves("1.0.0")
}

// TestUninstallLeavesNothing removes a service with two slots.
func TestUninstallLeavesNothing(t *testing.T) {
	testRouters(t, func(t *testing.T, router string) {
		s := newService(t, "uninstall-"+router)
		s.strategy = blueGreen(router)
		values := map[string]any{"router": router}
		s.must(0)(s.release(values))
		s.must(0)(s.release(values))
		s.must(0)(s.run("uninstall", "app", "--env", "test", "--yes"))
		s.kubectl("-n", s.namespace, "wait", "--for=delete", "pod", "--all", "--timeout=60s")
		left := s.kubectl("-n", s.namespace, "get", "deploy,svc,ingress,httproute,secret,cm,lease,hpa", "-o", "name")
		for _, line := range strings.Fields(left) {
			if line != "configmap/kube-root-ca.crt" {
				t.Errorf("left behind: %s", line)
			}
		}
	})
}

// TestServiceSelector switches a service that has no route: callers inside the cluster know its name only, and gates go through the API server.
func TestServiceSelector(t *testing.T) {
	s := newService(t, "selector")
	s.strategy = blueGreen("service")
	s.gates = []any{map[string]any{"http": map[string]any{"url": "http://app/", "expect": map[string]any{"json": map[string]any{"answer": 42}}}}}
	values := map[string]any{"router": "none"}
	s.must(0)(s.release(values))
	hangUp := s.callers(s.image(), "app")
	s.must(0)(s.release(values))
	s.must(4, "gate")(s.release(map[string]any{"router": "none", "env": map[string]any{"WRONG_BODY": "1"}}))
	s.must(0)(s.release(values))
	hangUp()
}
