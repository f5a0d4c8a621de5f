//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/test/load"
	"github.com/sluice-dev/sluice/test/traefik"
)

// TestIngressRestarts ends the way in under its users, in the middle of a healthy release, and starts it anew: the release waits, is not blamed for
// what nobody answered, and ends verified, by what was counted before and after.
func TestIngressRestarts(t *testing.T) {
	testRouters(t, func(t *testing.T, router string) {
		s := newAnalyzed(t, "restart-"+router, holding(router, "30s"), nil)
		in, err := traefik.New(t.Context(), traefik.Options{Bin: s.bin, Dir: t.TempDir(), Log: t.Output()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(in.Close)
		s.leads(in)
		s.environment = map[string]any{"analysis": map[string]any{"source": map[string]any{"ingress": map[string]any{"urls": []any{in.Metrics}}}}}
		users := load.Start(context.Background(), load.Options{
			URL: s.url() + "/", Address: in.Address, Rate: s.rate, Timeout: 20 * time.Second,
			Good: func(status int, body []byte) bool {
				return status == http.StatusOK && bytes.Contains(body, []byte(`"answer":42`))
			},
		})
		t.Cleanup(func() { users.Stop() })
		cmd, out := s.begin(s.prepare(map[string]any{"router": router})...)
		s.reaches("Analyzing", 1)
		before := s.learns(100)
		if r := users.Snapshot(); r.Failed > 0 {
			t.Errorf("users lost requests before anything ended: %v", r)
		}

		if err := in.Kill(); err != nil {
			t.Fatal(err)
		}
		s.until("the record says that the source is down", func() bool { return s.record().Judgement.Verdict == "sourceDown" })
		if r := s.record(); r.Phase != "Analyzing" || r.Step != 1 || r.Judgement.Decision != "more" {
			t.Errorf("without its way in the record says %s(%d), %s, %s", r.Phase, r.Step, r.Judgement.Decision, r.Judgement.Verdict)
		}
		if err := in.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.leads(in)
		sent := users.Snapshot().Requests
		s.until("users come in again", func() bool { return users.Snapshot().Requests >= sent+s.rate })
		away := users.Snapshot()
		s.learns(before + 100)

		if code := exitCode(t, cmd.Wait()); code != 0 {
			t.Errorf("exit %d\n%s", code, out)
		}
		s.serves("2.0.0")
		result := users.Stop()
		t.Logf("users: %v", result)
		if away.Failed == 0 || result.Failed > away.Failed {
			t.Errorf("users are to lose requests while it is away, and only then: %v, and at the end %v", away, result)
		}
		for reason := range result.Reasons {
			if strings.HasPrefix(reason, "status 5") {
				t.Errorf("users got an answer that speaks against the version: %s", reason)
			}
		}
		s.verified(s.record(), before+100)
	})
}

// leads waits until a way in leads to the service.
func (s *service) leads(in *traefik.Process) {
	s.t.Helper()
	s.until("the way in leads to the service", func() bool {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+in.Address+"/", nil)
		if err != nil {
			s.t.Fatal(err)
		}
		req.Host = strings.TrimPrefix(s.url(), "http://")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// learns waits until the record knows of some requests of the candidate, and returns of how many.
func (s *service) learns(n int) int {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(300 * time.Millisecond) {
		r := s.record()
		if known := counted(s.t, r.Judgement.Sentence); known >= n {
			return known
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the record never knows of %d requests: %s, %s", n, r.Judgement.Verdict, r.Judgement.Sentence)
		}
	}
}

// verified checks the record of a version that has proved itself to users.
func (s *service) verified(r record, requests int) {
	s.t.Helper()
	said := strings.Join(r.Judgement.Evidence, "\n")
	s.t.Logf("the record says %s, %s: %s\n%s", r.Phase, r.Judgement.Verdict, r.Judgement.Sentence, said)
	settled := false
	for _, e := range r.History {
		settled = settled || e.Phase == "Settling" && strings.HasPrefix(e.Message, "verified")
		if e.Phase == "RollingBack" {
			s.t.Errorf("it was taken back: %s", e.Message)
		}
	}
	if !settled || r.Phase != "Succeeded" || r.Cause != "" || r.Judgement.Decision == "abort" {
		s.t.Errorf("the record says %s, %s, %q: %+v", r.Phase, r.Judgement.Verdict, r.Cause, r.History)
	}
	if counted(s.t, r.Judgement.Sentence) < requests || !strings.Contains(said, "answers of the candidate:") || strings.Contains(said, " × 5") {
		s.t.Errorf("%d requests had been counted, and the record says %s\n%s", requests, r.Judgement.Sentence, said)
	}
}
