//go:build e2e

package e2e

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// metricsURL is where this machine finds the metrics of the local cluster's entry point.
func (s *service) metricsURL() *url.URL {
	s.t.Helper()
	out, err := exec.Command(s.bin, "local", "status", "-o", "json").Output()
	var status struct{ MetricsURL string }
	if err != nil || json.Unmarshal(out, &status) != nil || status.MetricsURL == "" {
		s.t.Fatalf("sluice local status: %v in %s", err, out)
	}
	u, err := url.Parse(status.MetricsURL)
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

// TestSourceThatGoesAway takes the metrics away for a minute in the middle of a healthy release: it is not aborted, does not pass meanwhile, and
// goes on.
func TestSourceThatGoesAway(t *testing.T) {
	s := newService(t, "outage")
	real := s.metricsURL()
	path := real.Path
	real.Path = ""
	var gone atomic.Bool
	forward := httputil.NewSingleHostReverseProxy(real)
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gone.Load() {
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(source.Close)
	s.strategy, s.rate, s.timeout = holding("nginx", "3s"), 100, "2m"
	s.must(0)(s.releaseFirst())
	s.environment = map[string]any{"analysis": map[string]any{"source": map[string]any{"ingress": map[string]any{"urls": []any{source.URL + path}}}}}
	users := s.audience()
	cmd, out := s.begin(s.prepare(nil)...)
	s.reaches("Shifting", 1)
	gone.Store(true)
	since := time.Now()
	s.until("the record says that the source is down", func() bool { return s.record().Judgement.Verdict == "sourceDown" })
	// That it stays down for a minute is what is tested.
	time.Sleep(time.Until(since.Add(time.Minute)))
	if r := s.record(); r.Phase != "Analyzing" || r.Step != 1 || r.Judgement.Verdict != "sourceDown" {
		t.Errorf("after a minute without its source the record says %s(%d), %q", r.Phase, r.Step, r.Judgement.Verdict)
	}
	gone.Store(false)
	if code := exitCode(t, cmd.Wait()); code != 0 {
		t.Errorf("exit %d\n%s", code, out)
	}
	s.serves("2.0.0")
	users.leave()
}

// startPrometheus runs Debian's Prometheus, which scrapes the entry point's metrics every second, and returns its URL. It ends with the test.
func (s *service) startPrometheus() string {
	t := s.t
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("no Prometheus to test with: apt-get install prometheus")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	write(t, config, []byte("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs: [{job_name: traefik, static_configs: [{targets: ['"+s.metricsURL().Host+"']}]}]\n"))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	cmd := exec.CommandContext(t.Context(), program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=warn")
	cmd.Stderr = t.Output()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	s.until("Prometheus is ready", func() bool {
		response, err := http.Get("http://" + address + "/-/ready")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return "http://" + address
}

// TestPrometheusAsSource judges by the counters of a real Prometheus, which scrapes the entry point.
func TestPrometheusAsSource(t *testing.T) {
	s := newAnalyzed(t, "prometheus", holding("gateway", "30s"), nil)
	const service = `service=~".*-svc-{{.Namespace}}-{{.Release}}-[0-9]+@kubernetesgateway"`
	s.environment = map[string]any{"analysis": map[string]any{
		"prometheus": map[string]any{"url": s.startPrometheus(), "delay": "1s"},
		"source": map[string]any{"prometheus": map[string]any{
			"requests": `traefik_service_requests_total{` + service + `}`,
			"failed":   `traefik_service_requests_total{` + service + `,code=~"5.."}`,
		}},
	}}
	users := s.audience()
	s.must(4, "requests failed")(s.release(failing("gateway", "0.05")))
	s.serves("1.0.0")
	if users.leave() == 0 {
		t.Error("no request failed: nothing was tested")
	}
	if r := s.record(); r.Judgement.Verdict != "bad" || r.Phase != "RolledBack" {
		t.Errorf("the record says %s, %q", r.Phase, r.Judgement.Verdict)
	}
}

// noToken asks a Prometheus with a token that the run does not have: in place that would be told too late, when it has been changed.
func (s *service) noToken() {
	s.t.Helper()
	environment, before := s.environment, s.record().Number
	defer func() { s.environment = environment }()
	s.environment = map[string]any{"analysis": map[string]any{
		"errors":     map[string]any{"max": "1%"},
		"prometheus": map[string]any{"url": "http://127.0.0.1:1", "token": map[string]any{"env": "SLUICE_TEST_NO_TOKEN"}},
		"source":     map[string]any{"prometheus": map[string]any{"requests": `r{pod=~"{{.Release}}-.*"}`, "failed": `f{pod=~"{{.Release}}-.*"}`}},
	}}
	s.must(2, "nothing was deployed", "environments.test.analysis.prometheus.token", "export SLUICE_TEST_NO_TOKEN")(s.release(nil))
	s.serves("1.0.0")
	if r := s.record(); r.Number != before {
		s.t.Errorf("rollout %d was begun, and is %s", r.Number, r.Phase)
	}
}

// TestAnalysisInPlace has nothing to compare with but a limit.
func TestAnalysisInPlace(t *testing.T) {
	s := newAnalyzed(t, "in-place", direct(), judging(map[string]any{"errors": map[string]any{"max": "1%"}}))
	// A gate that a failing version passes.
	s.gates = []any{map[string]any{"http": map[string]any{"path": "/readyz", "expect": map[string]any{"status": 200}}}}
	s.noToken()
	users := s.audience()
	s.must(4, "requests failed", "1 % may")(s.release(failing("nginx", "0.2")))
	s.serves("1.0.0")
	if users.leave() == 0 {
		t.Error("no request failed: nothing was tested")
	}
	r := s.record()
	if said := strings.Join(r.Testimony, "\n"); r.Judgement.Verdict != "bad" || !strings.Contains(said, "env.FAIL_SHARE") {
		t.Errorf("the record says %q:\n%s", r.Judgement.Verdict, said)
	}
}
