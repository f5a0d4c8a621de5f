//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestAbortAtEachPhase aborts a canary in every phase and at every weight, with both routers, under load: exit 4, the old version serves, nothing is lost.
func TestAbortAtEachPhase(t *testing.T) {
	testRouters(t, func(t *testing.T, router string) {
		s := newService(t, "abort-"+router)
		steps := canary(router, 0, 50, 100)
		for _, step := range steps["canary"].(map[string]any)["steps"].([]any) {
			step.(map[string]any)["hold"] = "15s"
		}
		s.strategy = steps
		good := map[string]any{"router": router}
		s.must(0)(s.releaseFast(good))
		s.serves("1.0.0")
		for _, at := range []struct {
			phase string
			step  int
			env   string
		}{
			{"Deploying", 0, "NEVER_READY"}, {"Analyzing", 0, ""}, {"Shifting", 1, ""}, {"Analyzing", 1, ""}, {"Shifting", 2, ""}, {"Analyzing", 2, ""},
		} {
			t.Run(fmt.Sprintf("%s %d", at.phase, at.step), func(t *testing.T) {
				s := s.within(t)
				values := map[string]any{"router": router}
				if at.env != "" {
					values["env"] = map[string]any{"SAY_VERSION": "1", at.env: "1"}
				}
				stop := s.users()
				cmd, out := s.begin(s.prepare(values)...)
				s.reaches(at.phase, at.step)
				if code, said := s.run("abort", "app", "--env", "test"); code != 0 && code != 4 {
					t.Errorf("abort: exit %d\n%s", code, said)
				}
				// An abort that comes before the first change refuses the rollout; one that comes later takes it back.
				code := exitCode(t, cmd.Wait())
				if early := at.phase == "Deploying" && code == 3; (code != 4 && !early) || !strings.Contains(out.String(), "abort requested") {
					t.Errorf("exit %d, want 4\n%s", code, out.String())
				}
				s.serves("1.0.0")
				stop()
			})
		}
	})
}

// TestRollbackWhileTheOldSlotIsKept goes back by one write of the route.
func TestRollbackWhileTheOldSlotIsKept(t *testing.T) {
	testRouters(t, func(t *testing.T, router string) {
		s := newService(t, "keep-"+router)
		s.strategy = blueGreen(router)
		s.strategy["blueGreen"].(map[string]any)["keepOld"] = "10m"
		values := map[string]any{"router": router}
		s.must(0)(s.release(values))
		stop := s.users()
		s.must(0)(s.release(values))
		s.serves("2.0.0")
		s.must(0)(s.run("rollback", "app", "--env", "test"))
		s.serves("1.0.0")
		stop()
	})
}

// releaseFast deploys with every hold left out.
func (s *service) releaseFast(values map[string]any) (int, string) {
	s.t.Helper()
	slow := s.strategy
	s.strategy = blueGreen(routerOf(slow))
	defer func() { s.strategy = slow }()
	return s.release(values)
}

func routerOf(strategy map[string]any) string {
	for _, spec := range strategy {
		for router := range spec.(map[string]any)["traffic"].(map[string]any) {
			if router != "convergence" {
				return router
			}
		}
	}
	return ""
}

// reaches waits until the newest rollout is in a phase and step.
func (s *service) reaches(phase string, step int) {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(400 * time.Millisecond) {
		var list struct {
			Items []struct {
				Data map[string]string `json:"data"`
			} `json:"items"`
		}
		out := s.kubectl("-n", s.namespace, "get", "cm", "-l", "sluice.dev/phase="+phase, "-o", "json")
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			s.t.Fatal(err)
		}
		for _, item := range list.Items {
			for _, payload := range item.Data {
				var record struct {
					Step int `json:"step"`
				}
				if json.Unmarshal([]byte(payload), &record) == nil && record.Step == step {
					return
				}
			}
		}
	}
	s.t.Fatalf("the rollout did not reach %s(%d)", phase, step)
}
