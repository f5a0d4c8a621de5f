package ingress

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/metric"
)

func TestNames(t *testing.T) {
	routes := func(slot v1alpha1.Slot) v1alpha1.Routes {
		return v1alpha1.Routes{
			Objects: []v1alpha1.RouteObject{
				{Kind: "Ingress", Name: "shop", Manifest: []byte(`{"spec":{"defaultBackend":{"service":{"name":"shop-web","port":{"name":"http"}}}}}`)},
				{Kind: "HTTPRoute", Name: "shop"},
			},
			Services: []v1alpha1.StableService{{Name: "shop-web", SlotService: "shop-web-" + string(slot), Manifest: []byte(`{"spec":{"ports":[{"name":"http","port":80}]}}`)}},
		}
	}
	n := newNames(metric.Subject{Namespace: "a-b", Live: "blue", Candidate: "green", Routes: map[v1alpha1.Slot]v1alpha1.Routes{"blue": routes("blue"), "green": routes("green")}}, nil)
	all := map[string]*format{}
	for _, f := range formats() {
		all[f.title] = f
	}
	const foreign = v1alpha1.Slot("foreign")
	for _, test := range []struct {
		format, identity string
		want             v1alpha1.Slot
	}{
		{"Traefik", "a-b-shop-shop-web-blue-80@kubernetesingressnginx", "blue"},
		{"Traefik", "a-b-shop-shop-web-blue-80-canary@kubernetesingressnginx", "green"},
		{"Traefik", "a-b-shop-shop-web-green-80-canary@kubernetesingressnginx", "blue"},
		{"Traefik", "a-b-shop-shop-web-green-http@kubernetesingressnginx", "green"},
		{"Traefik", "a-b-shop-shop-web-green-81@kubernetesingressnginx", foreign},
		{"Traefik", "a-b-shop-shop-web-80@kubernetesingressnginx", foreign},
		{"Traefik", "a-b-other-shop-web-blue-80@kubernetesingressnginx", foreign},
		{"Traefik", "a-shop-shop-web-blue-80@kubernetesingressnginx", foreign},
		{"Traefik", "a-b-shop-shop-web-blue-80-wrr@kubernetesingressnginx", foreign},
		{"Traefik", "httproute-a-b-shop-gw-sluice-system-sluice-ep-web-0-2a5394c8fef8aa404c8c-svc-a-b-shop-web-green-1@kubernetesgateway", "green"},
		{"Traefik", "httproute-a-b-shop-gw-x-ep-web-1-2a-svc-a-b-shop-web-blue-0@kubernetesgateway", "blue"},
		{"Traefik", "httproute-a-b-shop-gw-x-ep-web-1-2a-svc-a-b-shop-web-blue-x@kubernetesgateway", foreign},
		{"Traefik", "httproute-a-b-shop-gw-x-ep-web-1-2a-svc-a-b-shop-web-blue-@kubernetesgateway", foreign},
		{"Traefik", "httproute-a-b-shop-gw-x-ep-web-1-2a-svc-b-shop-web-blue-0@kubernetesgateway", foreign},
		{"Traefik", "httproute-a-b-other-gw-x-ep-web-1-2a-svc-a-b-shop-web-blue-0@kubernetesgateway", foreign},
		{"Traefik", "httproute-a-b-shop-gw-x-ep-web-1-2a-wrr@kubernetesgateway", foreign},
		{"Traefik", "a-b-shop-web-green-80@kubernetesgateway", "green"},
		{"ingress-nginx", "a-b,shop,shop-web-blue,", "blue"},
		{"ingress-nginx", "a-b,shop,shop-web-blue,-", "blue"},
		{"ingress-nginx", "a-b,shop,shop-web-blue,a-b-shop-web-green-80", "green"},
		{"ingress-nginx", "a-b,shop,shop-web-blue,a-b-shop-web-green-http", "green"},
		{"ingress-nginx", "a-b,shop,shop-web-blue,a-b-other-80", foreign},
		{"ingress-nginx", "a-b,shop-canary,shop-web-green,", "green"},
		{"ingress-nginx", "a-b,other,shop-web-blue,", foreign},
		{"ingress-nginx", "a,shop,shop-web-blue,", foreign},
		{"ingress-nginx", ",,,", foreign},
		{"Envoy", "a-b_shop-web-green_80", "green"},
		{"Envoy", "a-b_shop-web_80", foreign},
		{"Envoy", "httproute/a-b/shop/rule/0", v1alpha1.SlotNone},
		{"Envoy", "httproute/a-b/other/rule/0", foreign},
		{"Envoy", "", foreign},
	} {
		slot, ours := n.slotOf(all[test.format], strings.Split(test.identity, ","))
		if !ours {
			slot = foreign
		}
		if slot != test.want {
			t.Errorf("%s %q is of slot %q, want %q", test.format, test.identity, slot, test.want)
		}
	}
}

// Of two who read at the same time, one may come with a round that the other has overtaken.
func TestRoundsOutOfOrder(t *testing.T) {
	finder, err := URLs(nil, "http://localhost")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Finder: finder}).Source(metric.Subject{Live: "blue", Candidate: "green"}, metric.Question{}, Series{"blue": {"b"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 3, 2, 3, 4} {
		p := &page{format: formats()[0], series: map[*Source][]series{s: {{identity: []string{"b"}, code: "200", value: uint64(100 * n)}}}}
		if err := s.take(&round{number: n, at: time.Unix(int64(n), 0), pages: map[string]*page{"one": p}, present: map[string]bool{"one": true}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.tally.Reading(time.Unix(4, 0)).Slots["blue"].Requests; got != 300 {
		t.Errorf("%d requests are counted, and 300 were made", got)
	}
}

// busy is the page of a Traefik with so many series, 14 for each of its services' histograms.
func busy(series int) string {
	var b strings.Builder
	b.WriteString("process_start_time_seconds 1.7e9\ntraefik_config_reloads_total 1\n# HELP traefik_service_request_duration_seconds How long it took\n# TYPE traefik_service_request_duration_seconds histogram\n")
	for i := 0; series > 0; i++ {
		name := fmt.Sprintf(`code="200",method="GET",protocol="http",service="ns%d-shop-shop-blue-web-80@kubernetesingressnginx"`, i)
		for _, le := range []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.2", "0.3", "0.5", "0.75", "1", "2", "5", "10", "+Inf"} {
			fmt.Fprintf(&b, "traefik_service_request_duration_seconds_bucket{%s,le=%q} %d\n", name, le, i)
		}
		fmt.Fprintf(&b, "traefik_service_request_duration_seconds_sum{%s} 1.5\ntraefik_service_request_duration_seconds_count{%s} %d\ntraefik_service_requests_total{%s} %d\n", name, name, i, name, i)
		series -= 17
	}
	return b.String()
}

// BenchmarkScan reads a page of 20 000 series for one service, and for all of them.
func BenchmarkScan(b *testing.B) {
	page := busy(20_000)
	for name, every := range map[string]bool{"one service": false, "every service": true} {
		b.Run(name, func(b *testing.B) {
			seen := map[string][]*Source{}
			w := wish{limits: []time.Duration{500 * time.Millisecond}, sources: func(_ *format, key []byte) []*Source {
				wanted, known := seen[string(key)]
				if !known && (every || string(key) == "ns7-shop-shop-blue-web-80@kubernetesingressnginx") {
					wanted = []*Source{nil}
				}
				seen[string(key)] = wanted
				return wanted
			}}
			b.SetBytes(int64(len(page)))
			b.ReportAllocs()
			for b.Loop() {
				p, err := scan(strings.NewReader(page), w, time.Time{})
				if err != nil || len(p.series[nil]) < 3 {
					b.Fatal(err)
				}
			}
		})
	}
}

type fixed struct{ page string }

func (f fixed) String() string { return "a page" }

func (f fixed) Find(context.Context, bool) ([]Replica, metric.Cost, error) {
	return []Replica{{Name: "one", Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.page)), nil }}}, metric.Cost{}, nil
}

// BenchmarkSources lets 2 000 sources read a controller of 20 000 series in the same second.
func BenchmarkSources(b *testing.B) {
	const n = 2000
	now := time.Unix(1_800_000_000, 0)
	ingress := New(Options{Finder: fixed{busy(20_000)}, Now: func() time.Time { return now }})
	var sources []*Source
	for i := range n {
		routes := v1alpha1.Routes{
			Objects:  []v1alpha1.RouteObject{{Kind: "Ingress", Name: "shop"}},
			Services: []v1alpha1.StableService{{Name: "shop-web", SlotService: "shop-blue-web", Manifest: []byte(`{"spec":{"ports":[{"port":80}]}}`)}},
		}
		subject := metric.Subject{Namespace: fmt.Sprintf("ns%d", i%1000), Live: "blue", Routes: map[v1alpha1.Slot]v1alpha1.Routes{"blue": routes}}
		s, err := ingress.Source(subject, metric.Question{SlowerThan: 500 * time.Millisecond}, nil)
		if err != nil {
			b.Fatal(err)
		}
		ingress.register(s)
		sources = append(sources, s)
	}
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		for _, s := range sources {
			if r, err := s.Read(b.Context()); err != nil || len(r.Slots) != 1 {
				b.Fatal(r, err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "µs/source")
}

// FuzzScan looks for pages that are read as something which they do not say.
func FuzzScan(f *testing.F) {
	f.Add(busy(34))
	f.Add("envoy_server_uptime 5\nenvoy_cluster_upstream_rq{envoy_response_code=\"200\",envoy_cluster_name=\"a\"} 5 # {x=\"}\"} 1\n")
	f.Add("nginx_ingress_controller_requests{canary=\"\\\\\",status=\"200\",service=\"\\\"\"} 1e3 5\n# EOF")
	f.Fuzz(func(t *testing.T, text string) {
		w := wish{limits: []time.Duration{time.Second}, sources: func(*format, []byte) []*Source { return []*Source{nil} }}
		p, err := scan(strings.NewReader(text), w, time.Time{})
		if err == nil && len(p.series[nil]) > strings.Count(text, "\n")+strings.Count(text, "\r")+1 {
			t.Errorf("%d series in %q", len(p.series[nil]), text)
		}
	})
}
