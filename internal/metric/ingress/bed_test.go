package ingress_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/metric/ingress"
	"github.com/sluice-dev/sluice/test/proxy"
)

const (
	blue  = v1alpha1.SlotBlue
	green = v1alpha1.SlotGreen
)

// subject is service shop in namespace prod with one Ingress and one HTTPRoute.
func subject() metric.Subject {
	routes := func(slot v1alpha1.Slot) v1alpha1.Routes {
		backend := `{"service":{"name":"shop-web","port":{"number":80}}}`
		return v1alpha1.Routes{
			Objects: []v1alpha1.RouteObject{
				{Kind: "Ingress", Name: "shop", Manifest: json.RawMessage(`{"spec":{"rules":[{"http":{"paths":[{"path":"/","backend":` + backend + `}]}}]}}`)},
				{Kind: "HTTPRoute", Name: "shop", Manifest: json.RawMessage(`{"spec":{"rules":[{"backendRefs":[{"name":"shop-web","port":80}]}]}}`)},
			},
			Services: []v1alpha1.StableService{{
				Name: "shop-web", SlotService: "shop-" + string(slot) + "-web", Manifest: json.RawMessage(`{"spec":{"ports":[{"name":"http","port":80,"targetPort":"http"}]}}`),
			}},
		}
	}
	return metric.Subject{
		Service: "shop", Environment: "prod", Namespace: "prod", Live: blue, Candidate: green,
		Routes: map[v1alpha1.Slot]v1alpha1.Routes{blue: routes(blue), green: routes(green)},
	}
}

// names are the labels by which each format counts a slot's requests.
func labelsOf(format string, slot v1alpha1.Slot) string {
	switch {
	case format == "traefik" && slot == blue:
		return `service="prod-shop-shop-blue-web-80@kubernetesingressnginx"`
	case format == "traefik":
		return `service="prod-shop-shop-blue-web-80-canary@kubernetesingressnginx"`
	case format == "nginx" && slot == blue:
		return `canary="",controller_class="k8s.io/ingress-nginx",ingress="shop",namespace="prod",path="/",service="shop-blue-web"`
	case format == "nginx":
		return `canary="prod-shop-green-web-80",controller_class="k8s.io/ingress-nginx",ingress="shop",namespace="prod",path="/",service="shop-blue-web"`
	default:
		return `envoy_cluster_name="prod_shop-` + string(slot) + `-web_80"`
	}
}

// controller counts as one replica of an ingress controller does, and says so in its format.
type controller struct {
	*proxy.Proxy
	clock  *clock
	format string

	mu     sync.Mutex
	born   time.Time
	counts map[count]uint64
	// extra lines of the page; text is the whole page instead.
	extra, text string
}

type count struct {
	labels, code string
	slow         bool
}

func newController(t testing.TB, c *clock, format string) *controller {
	x := &controller{clock: c, format: format, counts: map[count]uint64{}, born: c.Now().Add(-time.Hour)}
	x.Proxy = proxy.New(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write([]byte(x.page()))
	}))
	return x
}

func (x *controller) serve(slot v1alpha1.Slot, requests, failed, slow uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	labels := labelsOf(x.format, slot)
	for range requests {
		c := count{labels: labels, code: "200"}
		if failed > 0 {
			c.code = "503"
			failed--
		}
		if slow > 0 {
			c.slow = true
			slow--
		}
		x.counts[c]++
	}
}

func (x *controller) restart() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.counts, x.born = map[count]uint64{}, x.clock.Now()
}

func (x *controller) set(change func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	change()
}

func (x *controller) page() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.text != "" {
		return x.text
	}
	var b strings.Builder
	switch x.format {
	case "traefik":
		fmt.Fprintf(&b, "process_start_time_seconds %d\ntraefik_config_reloads_total 3\n", x.born.Unix())
	case "nginx":
		fmt.Fprintf(&b, "process_start_time_seconds %d\nnginx_ingress_controller_config_hash 1\n", x.born.Unix())
	default:
		fmt.Fprintf(&b, "# TYPE envoy_server_uptime gauge\nenvoy_server_uptime{} %d\n", int(x.clock.Now().Sub(x.born)/time.Second))
	}
	byLabel := map[count][2]uint64{}
	for c, n := range x.counts {
		key := count{labels: c.labels, code: c.code}
		both := byLabel[key]
		both[0] += n
		if !c.slow {
			both[1] += n
		}
		byLabel[key] = both
	}
	keys := slices.SortedFunc(maps.Keys(byLabel), func(a, b count) int { return strings.Compare(a.labels+a.code, b.labels+b.code) })
	for _, key := range keys {
		x.write(&b, key, byLabel[key][0], byLabel[key][1])
	}
	return b.String() + x.extra
}

// write writes n requests, of which some were fast: below 500 ms.
func (x *controller) write(b *strings.Builder, key count, n, fast uint64) {
	name, code, bounds := "traefik_service_request", `code="`+key.code+`",method="GET",`, []string{"0.1", "0.5", "1.2"}
	switch x.format {
	case "traefik":
		fmt.Fprintf(b, "traefik_service_requests_total{%s%s} %d\n", code, key.labels, n)
	case "nginx":
		name, code = "nginx_ingress_controller_request", `status="`+key.code+`",`
		fmt.Fprintf(b, "nginx_ingress_controller_requests{%s%s} %d\n", code, key.labels, n)
	default:
		fmt.Fprintf(b, "envoy_cluster_upstream_rq{envoy_response_code=%q,%s} %d\n", key.code, key.labels, n)
		fmt.Fprintf(b, "envoy_cluster_upstream_rq_xx{envoy_response_code_class=%q,%s} %d\n", key.code[:1], key.labels, n)
		x.writeEnvoy(b, key.labels)
		return
	}
	for _, bound := range bounds {
		below := fast
		if bound == "1.2" {
			below = n
		}
		fmt.Fprintf(b, "%s_duration_seconds_bucket{%s%s,le=%q} %d\n", name, code, key.labels, bound, below)
	}
	fmt.Fprintf(b, "%s_duration_seconds_bucket{%s%s,le=\"+Inf\"} %d\n%s_duration_seconds_sum{%s%s} 0.5\n", name, code, key.labels, n, name, code, key.labels)
	fmt.Fprintf(b, "%s_duration_seconds_count{%s%s} %d\n", name, code, key.labels, n)
}

// writeEnvoy writes the histogram of a cluster, which knows no codes.
func (x *controller) writeEnvoy(b *strings.Builder, labels string) {
	if strings.Contains(b.String(), "rq_time_count{"+labels) {
		return
	}
	var n, fast uint64
	for c, k := range x.counts {
		if c.labels == labels {
			n += k
			if !c.slow {
				fast += k
			}
		}
	}
	for _, bound := range []string{"250", "500"} {
		fmt.Fprintf(b, "envoy_cluster_upstream_rq_time_bucket{%s,le=%q} %d\n", labels, bound, fast)
	}
	fmt.Fprintf(b, "envoy_cluster_upstream_rq_time_bucket{%s,le=\"+Inf\"} %d\nenvoy_cluster_upstream_rq_time_count{%s} %d\n", labels, n, labels, n)
}

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// bed is a source that reads controllers by URL.
func bed(t testing.TB, c *clock, question metric.Question, controllers ...*controller) *ingress.Source {
	t.Helper()
	var addresses []string
	for _, x := range controllers {
		addresses = append(addresses, x.Server.URL+"/metrics")
	}
	finder, err := ingress.URLs(nil, addresses...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ingress.New(ingress.Options{Finder: finder, Now: c.Now, AnswerTime: time.Minute}).Source(subject(), question, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read lets a second pass and reads.
func read(t *testing.T, c *clock, s metric.Source) metric.Reading {
	t.Helper()
	c.move(time.Second)
	r, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}
