//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/test/load"
)

// newAnalyzed is a service with a live version 1.0.0, and no user yet. Later versions are judged as the analysis says; nil judges nothing.
func newAnalyzed(t *testing.T, name string, strategy, analysis map[string]any) *service {
	t.Helper()
	s := newService(t, name)
	s.counts("sluice-system")
	s.strategy, s.rate = strategy, 100
	s.must(0)(s.releaseFirst())
	s.serves("1.0.0")
	s.environment = map[string]any{"analysis": analysis}
	return s
}

// releaseFirst takes the way without holds and without an analysis, for which there is nobody yet.
func (s *service) releaseFirst() (int, string) {
	s.t.Helper()
	if s.strategy["direct"] != nil {
		return s.release(nil)
	}
	return s.releaseFast(map[string]any{"router": routerOf(s.strategy)})
}

// judging is an analysis that finds the ingress controller where the deployer may look.
func judging(more map[string]any) map[string]any {
	analysis := map[string]any{"source": map[string]any{"ingress": map[string]any{"namespace": "sluice-system"}}}
	maps.Copy(analysis, more)
	return analysis
}

// holding are steps of a canary at 50 % for a time, and then at once.
func holding(router, hold string) map[string]any {
	strategy := canary(router, 0, 50, 100)
	strategy["canary"].(map[string]any)["steps"].([]any)[1].(map[string]any)["hold"] = hold
	return strategy
}

// failing are values of a version that fails a share of its requests.
func failing(router, share string) map[string]any {
	return map[string]any{"router": router, "env": map[string]any{"SAY_VERSION": "1", "FAIL_SHARE": share}}
}

// record is what the record of the newest rollout says to programs.
type record struct {
	Number    int      `json:"number"`
	Phase     string   `json:"phase"`
	Step      int      `json:"step"`
	Cause     string   `json:"cause"`
	Evidence  []string `json:"evidence"`
	Testimony []string `json:"testimony"`
	CreatedAt time.Time
	StepSince time.Time
	Judgement struct {
		At       time.Time
		Decision string
		Verdict  string
		Sentence string
		Evidence []string
	}
	History []struct {
		At      time.Time
		Phase   string
		Message string
	}
}

func (s *service) record() record {
	s.t.Helper()
	code, out := s.run("history", "app", "--env", "test", "-o", "json")
	var doc struct{ Rollouts []record }
	if err := json.Unmarshal([]byte(out), &doc); code != 0 || err != nil || len(doc.Rollouts) == 0 {
		s.t.Fatalf("history: exit %d, %v\n%s", code, err, out)
	}
	return slices.MaxFunc(doc.Rollouts, func(a, b record) int { return a.Number - b.Number })
}

// entered is when a phase was entered first.
func (r record) entered(phase string) time.Time {
	for _, e := range r.History {
		if e.Phase == phase {
			return e.At
		}
	}
	return time.Time{}
}

// audience are users who tell answers that failed on purpose from requests that were lost.
type audience struct {
	stream *load.Stream
	s      *service
}

func (s *service) audience() *audience {
	a := &audience{s: s, stream: load.Start(context.Background(), load.Options{
		URL: s.url() + "/", Rate: s.rate, Timeout: 20 * time.Second,
		Good: func(status int, body []byte) bool {
			return status == http.StatusOK && bytes.Contains(body, []byte(`"answer":42`))
		},
	})}
	s.t.Cleanup(func() { a.stream.Stop() })
	return a
}

// leave ends the stream, and fails the test where a request was lost. It returns how many answers failed on purpose.
func (a *audience) leave() (bad int) {
	a.s.t.Helper()
	r := a.stream.Stop()
	a.s.t.Logf("users: %v; %.1f s from the first to the last bad answer", r, r.BadFor().Seconds())
	for reason, n := range r.Reasons {
		if strings.HasPrefix(reason, "status 500: ") && strings.Contains(reason, `"failed":true`) {
			bad += n
			continue
		}
		a.s.t.Errorf("users lost %d requests: %s", n, reason)
	}
	if r.Requests < 100 {
		a.s.t.Errorf("only %d requests were sent: the load proves nothing", r.Requests)
	}
	return bad
}

// refuted checks the record of a version that failed a share of its requests.
func (s *service) refuted(r record) {
	s.t.Helper()
	said := strings.Join(slices.Concat(r.Evidence, r.Testimony), "\n")
	for _, word := range []string{
		" × 500", "answers of the candidate:", "answers of the live:", "one mark is", // codes and chart
		"env.FAIL_SHARE", "the improbability drive has failed", // testimony
	} {
		if !strings.Contains(said, word) {
			s.t.Errorf("the record does not say %q:\n%s", word, said)
		}
	}
	if r.Phase != "RolledBack" || r.Judgement.Verdict != "bad" || r.Judgement.Decision != "abort" || !strings.Contains(r.Cause, "of ") {
		s.t.Errorf("the record says %s, %s, %s: %s", r.Phase, r.Judgement.Decision, r.Judgement.Verdict, r.Cause)
	}
}

// TestAnalysis releases versions under the eyes of the default source: the ingress controller's own metrics.
func TestAnalysis(t *testing.T) {
	testRouters(t, func(t *testing.T, router string) {
		s := newAnalyzed(t, "analysis-"+router, holding(router, "3m"), judging(map[string]any{"early": true}))
		t.Run("failing now and then", func(t *testing.T) {
			s := s.within(t)
			users := s.audience()
			s.must(4, "requests failed", "env.FAIL_SHARE", "improbability drive")(s.release(failing(router, "0.05")))
			s.serves("1.0.0")
			if users.leave() == 0 {
				t.Error("no request failed: nothing was tested")
			}
			s.refuted(s.record())
		})
		t.Run("healthy, and early", func(t *testing.T) {
			s := s.within(t)
			users := s.audience()
			s.must(0, "good")(s.release(map[string]any{"router": router}))
			s.serves(fmt.Sprintf("%d.0.0", s.version))
			users.leave()
			r := s.record()
			if took := r.entered("Settling").Sub(r.CreatedAt); took >= 3*time.Minute {
				t.Errorf("it took %s, no step ended before its hold", took)
			}
		})
		if router == "nginx" {
			t.Run("no such bucket", func(t *testing.T) { s.within(t).noSuchBucket() })
		}
	})
}

// noSuchBucket asks for a limit that nobody counts at: that is said before anything is changed.
func (s *service) noSuchBucket() {
	s.t.Helper()
	live, before := fmt.Sprintf("%d.0.0", s.version), s.record().Number
	environment := s.environment
	defer func() { s.environment = environment }()
	s.environment = map[string]any{"analysis": judging(map[string]any{"slower": map[string]any{"than": "400ms"}})}
	stream := load.Start(s.t.Context(), load.Options{URL: s.url() + "/", Rate: s.rate, Timeout: 20 * time.Second, Good: func(_ int, body []byte) bool {
		return bytes.Contains(body, []byte(`"version":"`+live+`"`))
	}})
	s.must(2, "nothing was deployed", "400ms", "300ms", "500ms")(s.release(nil))
	if r := s.record(); r.Number != before {
		s.t.Errorf("rollout %d was begun, and is %s", r.Number, r.Phase)
	}
	if r := stream.Stop(); r.Failed > 0 || r.Requests < 20 {
		s.t.Errorf("users met the version: %v", r)
	}
}

// TestNoEvidenceIsNoSuccess: without traffic and without a probe the run ends, the traffic stays, and a later run goes on with users.
func TestNoEvidenceIsNoSuccess(t *testing.T) {
	s := newAnalyzed(t, "evidence", holding("nginx", "2s"), judging(nil))
	// It asks within the cluster: no request that the ingress controller would count, nor one that could be sent as a probe.
	s.gates = []any{map[string]any{"helmTest": map[string]any{}}}
	s.timeout = "20s"
	s.must(6, "waiting for evidence", "sluice resume")(s.release(nil))
	if r := s.record(); r.Phase != "Analyzing" || r.Step != 1 || r.Judgement.Verdict != "noData" {
		t.Errorf("the record says %s(%d), %q", r.Phase, r.Step, r.Judgement.Verdict)
	}
	s.both("1.0.0", "2.0.0")
	users := s.audience()
	s.must(0)(s.run("resume", "app", "--env", "test"))
	s.serves("2.0.0")
	users.leave()
}

// both fails the test unless users get the two versions.
func (s *service) both(versions ...string) {
	s.t.Helper()
	seen := map[string]bool{}
	for range 60 {
		_, body := s.answers(nil)
		seen[fmt.Sprint(body["version"])] = true
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, versions) {
		s.t.Errorf("users get %v, want %v", got, versions)
	}
}

// counted is how many requests of the candidate a sentence says; 0 where it says none.
func counted(t *testing.T, sentence string) int {
	t.Helper()
	found := regexp.MustCompile(`of (\d[\d ]*) requests`).FindStringSubmatch(sentence)
	if found == nil {
		return 0
	}
	n, err := strconv.Atoi(strings.ReplaceAll(found[1], " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestEvidenceOutlivesItsRun ends a run with SIGKILL in the middle of a hold: whoever resumes goes on from what it had counted.
func TestEvidenceOutlivesItsRun(t *testing.T) {
	s := newAnalyzed(t, "survive", holding("nginx", "40s"), judging(nil))
	users := s.audience()
	cmd, _ := s.begin(s.prepare(nil)...)
	s.reaches("Analyzing", 1)
	var before record
	s.until("some hundred requests are recorded", func() bool {
		before = s.record()
		return before.Judgement.Decision != "" && before.Step == 1 && counted(t, before.Judgement.Sentence) >= 300
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	before = s.record()
	resumed, out := s.begin("resume", "app", "--env", "test")
	var after record
	for deadline := time.Now().Add(time.Minute); !after.Judgement.At.After(before.Judgement.At); after = s.record() {
		time.Sleep(300 * time.Millisecond)
		if time.Now().After(deadline) {
			t.Fatalf("nothing was judged after the kill\n%s", out)
		}
	}
	if was, is := counted(t, before.Judgement.Sentence), counted(t, after.Judgement.Sentence); is < was {
		t.Errorf("%d requests had been counted, and after the kill %d", was, is)
	}
	if code := exitCode(t, resumed.Wait()); code != 0 {
		t.Errorf("exit %d\n%s", code, out)
	}
	s.serves("2.0.0")
	users.leave()
}

// TestCrashLoopIsTakenBackAtOnce looks at how long it takes, and that nobody meets the version.
func TestCrashLoopIsTakenBackAtOnce(t *testing.T) {
	s := newAnalyzed(t, "crash", holding("nginx", "3s"), judging(nil))
	users := s.audience()
	cmd, out := s.begin(s.prepare(faulty("CRASH", "1"))...)
	var crashed time.Time
	s.until("a pod has crashed", func() bool {
		for _, line := range strings.Fields(s.kubectl("-n", s.namespace, "get", "pods", "-o",
			"jsonpath={range .items[*].status.containerStatuses[*]}{.lastState.terminated.finishedAt} {.state.terminated.finishedAt} {end}")) {
			if at, err := time.Parse(time.RFC3339, line); err == nil && (crashed.IsZero() || at.Before(crashed)) {
				crashed = at
			}
		}
		return !crashed.IsZero()
	})
	if code := exitCode(t, cmd.Wait()); code != 4 || !strings.Contains(out.String(), "flux capacitor") {
		t.Errorf("exit %d\n%s", code, out)
	}
	r := s.record()
	took := r.entered("RollingBack").Sub(crashed)
	t.Logf("taken back %.1f s after the second of the first crash", took.Seconds())
	if took > 15*time.Second || r.entered("Shifting") != (time.Time{}) {
		t.Errorf("it took %s; traffic was moved at %v", took, r.entered("Shifting"))
	}
	if bad := users.leave(); bad > 0 {
		t.Errorf("%d users met the version", bad)
	}
}
