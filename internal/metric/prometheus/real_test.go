//go:build e2e

package prometheus_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/test/proxy"
)

func servers() map[string]func(*testing.T) *bed {
	return map[string]func(*testing.T) *bed{"fake": startFake, "real": startReal}
}

// startReal starts Debian's Prometheus with a configuration and a folder of its own. It ends with the test.
func startReal(t *testing.T) *bed {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("no Prometheus to test with: apt-get install prometheus")
	}
	x := &target{counts: map[string]uint64{}}
	scraped := httptest.NewServer(x)
	t.Cleanup(scraped.Close)
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := "global: {scrape_interval: 100ms, scrape_timeout: 100ms}\nscrape_configs: [{job_name: demo, static_configs: [{targets: ['" + scraped.Listener.Addr().String() + "']}]}]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	command := exec.CommandContext(t.Context(), program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=warn")
	command.Stderr = t.Output()
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Wait() })
	base := &url.URL{Scheme: "http", Host: address}
	b := &bed{target: x, now: time.Now, Proxy: proxy.New(t, httputil.NewSingleHostReverseProxy(base))}
	b.advance = func(t *testing.T) {
		x.mu.Lock()
		from := x.scrapes
		x.mu.Unlock()
		until(t, "it scrapes twice", func() bool {
			x.mu.Lock()
			defer x.mu.Unlock()
			return x.scrapes >= from+3
		})
	}
	until(t, "Prometheus is ready", func() bool {
		response, err := http.Get(base.String() + "/-/ready")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	b.advance(t)
	return b
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// What the real server says to questions of one's own.
func TestRealValues(t *testing.T) {
	b := startReal(t)
	b.target.serve(blue, 10, 2, 0)
	b.target.serve(green, 8, 0, 0)
	b.advance(t)
	s := b.server(t, nil)
	for name, test := range map[string]struct {
		query  string
		want   float64
		kind   fault.Kind
		says   string
		noData bool
	}{
		"a ratio":        {`sum(demo_requests_total{release="{{.Release}}",code="200"}) / sum(demo_requests_total{release="{{.Release}}"})`, 1, 0, "", false},
		"a scalar":       {`scalar(sum(demo_requests_total))`, 18, 0, "", false},
		"nothing":        {`demo_requests_total{release="none"}`, 0, fault.Waiting, "found no series", true},
		"not a number":   {`0 * demo_requests_total{release="shop-green"} / 0`, 0, fault.Waiting, "gave NaN", true},
		"infinity":       {`1 / (demo_requests_total{release="shop-green"} * 0)`, 0, fault.Waiting, "gave +Inf", true},
		"several":        {`demo_requests_total`, 0, fault.Usage, "gave 3 series", false},
		"a range":        {`demo_requests_total[1m]`, 0, fault.Usage, "gave a matrix", false},
		"a text":         {`"x"`, 0, fault.Usage, "gave a string", false},
		"no query":       {`sum(`, 0, fault.Usage, "does not take the query", false},
		"no execution":   {`demo_requests_total + on(release) demo_requests_total`, 0, fault.Usage, "does not take the query", false},
		"a NaN constant": {`vector(NaN)`, 0, fault.Waiting, "gave NaN", true},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := s.Query(subject(), test.query)
			if err != nil {
				t.Fatal(err)
			}
			v, err := q.Value(t.Context())
			if test.says == "" {
				if err != nil || v.Number != test.want || v.Cost.Requests != 1 || v.Cost.Bytes == 0 {
					t.Errorf("it gave %+v, %v", v, err)
				}
				return
			}
			if !fault.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) || fault.HintOf(err) == "" ||
				strings.Contains(err.Error(), metric.ErrNoData.Error()) != test.noData {
				t.Errorf("it gave %+v, %v (%s)", v, err, fault.HintOf(err))
			}
		})
	}
}

// A sum hides which process began anew: what is lost is less than what would be invented.
func TestRealSum(t *testing.T) {
	b := startReal(t)
	s, err := b.server(t, nil).Source(subject(), queriesOf(`sum(demo_requests_total{release="{{.Release}}"})`))
	if err != nil {
		t.Fatal(err)
	}
	b.target.serve(blue, 100, 0, 0)
	b.advance(t)
	first, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.target.restart()
	b.target.serve(blue, 60, 0, 0)
	b.advance(t)
	second, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.target.serve(blue, 5, 0, 0)
	b.advance(t)
	third, err := s.Read(t.Context())
	got := fmt.Sprint(first.Slots[blue].Requests, second.Slots[blue].Requests, third.Slots[blue].Requests)
	if diff := cmp.Diff("0 0 5", got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}
