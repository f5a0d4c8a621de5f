package prometheus_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/metric/metrictest"
	"github.com/sluice-dev/sluice/internal/metric/prometheus"
	"github.com/sluice-dev/sluice/test/proxy"
)

const (
	blue  = v1alpha1.SlotBlue
	green = v1alpha1.SlotGreen
)

func subject() metric.Subject {
	return metric.Subject{Service: "shop", Environment: "prod", Namespace: "prod", Live: blue, Candidate: green}
}

func queries() prometheus.Queries {
	return prometheus.Queries{
		Requests: `demo_requests_total{release="{{.Release}}"}`,
		Failed:   `demo_requests_total{release="{{.Release}}",code=~"5.."}`,
		Slow:     `demo_slow_total{release="{{.Release}}"}`,
	}
}

// target is what is scraped.
type target struct {
	mu      sync.Mutex
	counts  map[string]uint64 // by series
	scrapes int
}

func (x *target) serve(slot v1alpha1.Slot, requests, failed, slow uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for series, n := range map[string]uint64{
		fmt.Sprintf(`demo_requests_total{release="shop-%s",code="200"}`, slot): requests - failed,
		fmt.Sprintf(`demo_requests_total{release="shop-%s",code="503"}`, slot): failed,
		fmt.Sprintf(`demo_slow_total{release="shop-%s"}`, slot):                slow,
	} {
		if n > 0 {
			x.counts[series] += n
		}
	}
}

func (x *target) restart() {
	x.mu.Lock()
	defer x.mu.Unlock()
	clear(x.counts)
}

func (x *target) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.scrapes++
	for _, series := range slices.Sorted(maps.Keys(x.counts)) {
		_, _ = fmt.Fprintf(w, "%s %d\n", series, x.counts[series])
	}
}

// bed is a Prometheus that has scraped the target.
type bed struct {
	*proxy.Proxy
	target  *target
	advance func(*testing.T)
	now     func() time.Time
}

func (b *bed) server(t *testing.T, change func(*prometheus.Options)) *prometheus.Server {
	t.Helper()
	o := prometheus.Options{URL: b.Server.URL, Now: b.now, AnswerTime: time.Minute}
	if change != nil {
		change(&o)
	}
	s, err := prometheus.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b *bed) source(t *testing.T) *prometheus.Source {
	t.Helper()
	s, err := b.server(t, nil).Source(subject(), queries())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			metrictest.Contract(t, func(t *testing.T) metrictest.World {
				b := start(t)
				return metrictest.World{
					Source: b.source(t), Slow: true, Codes: true, Late: true,
					Serve: func(_ *testing.T, slot v1alpha1.Slot, requests, failed, slow uint64) {
						b.target.serve(slot, requests, failed, slow)
					},
					Advance: b.advance,
					Restart: func(t *testing.T) { b.target.restart() },
					Down: func(_ *testing.T, down bool) {
						if down {
							b.Always(proxy.Reset)
						} else {
							b.Fault(nil)
						}
					},
				}
			})
		})
	}
}

// startFake answers the queries of these tests, as the API documents it.
func startFake(t *testing.T) *bed {
	x := &target{counts: map[string]uint64{}}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b := &bed{target: x, now: func() time.Time { return now }, advance: func(*testing.T) { now = now.Add(time.Minute) }}
	b.Proxy = proxy.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/api/v1/query" || r.ParseForm() != nil || r.Form.Get("timeout") == "" {
			t.Errorf("it asked %s %s", r.Method, r.URL)
		}
		query := regexp.MustCompile(`^(\w+)\{release="([\w-]+)"(,code=~"5..")?\}$`).FindStringSubmatch(r.Form.Get("query"))
		if query == nil {
			t.Errorf("it asked for %s", r.Form.Get("query"))
			return
		}
		page := httptest.NewRecorder()
		x.ServeHTTP(page, r)
		result := []any{}
		for _, line := range strings.Split(strings.TrimSpace(page.Body.String()), "\n") {
			m := regexp.MustCompile(`^(\w+)\{release="([\w-]+)"(?:,code="(\d+)")?\} (\d+)$`).FindStringSubmatch(line)
			if m == nil || m[1] != query[1] || m[2] != query[2] || query[3] != "" && m[3][0] != '5' {
				continue
			}
			labels := map[string]string{"__name__": m[1], "release": m[2], "instance": "a:1", "job": "demo"}
			if m[3] != "" {
				labels["code"] = m[3]
			}
			result = append(result, map[string]any{"metric": labels, "value": []any{1767323045.781, m[4]}})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "vector", "result": result}})
	}))
	return b
}
