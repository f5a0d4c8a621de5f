package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/guard"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/test/proxy"
)

// bed is an App whose clock stands still until it is moved, and an API server with one pod of Traefik.
type bed struct {
	*App
	now     atomic.Int64
	env     map[string]string
	secrets *variables.Masker
	api     *proxy.Proxy
	served  atomic.Int64
	scraped atomic.Int64
}

func newBed(t *testing.T) *bed {
	b := &bed{env: map[string]string{}, secrets: &variables.Masker{}}
	b.now.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Unix())
	b.App = New(Options{
		Secrets: b.secrets, Now: func() time.Time { return time.Unix(b.now.Load(), 0) },
		LookupEnv: func(name string) (string, bool) { text, ok := b.env[name]; return text, ok },
	})
	b.api = proxy.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/proxy/metrics") {
			b.scraped.Add(1)
			_, _ = fmt.Fprintf(w, "process_start_time_seconds 5\n")
			for _, service := range []string{"prod-shop-shop-blue-web-80@kubernetesingressnginx", "edge-shop-blue@file"} {
				_, _ = fmt.Fprintf(w, "traefik_service_requests_total{code=\"200\",service=%q} %d\n", service, b.served.Load())
			}
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: []corev1.Pod{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "traefik", Name: "one", Labels: map[string]string{"app.kubernetes.io/name": "traefik"}},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning},
		}}})
	}))
	return b
}

// place makes the sources of an environment, over a connection of its own.
func (b *bed) place(environment string) guard.Sources {
	config := &rest.Config{Host: b.api.Server.URL, QPS: -1}
	return b.meters(&cluster{config: config, client: kubernetes.NewForConfigOrDie(config)}, environment)
}

func counted() metric.Subject {
	routes := func(slot v1alpha1.Slot) v1alpha1.Routes {
		return v1alpha1.Routes{
			Objects: []v1alpha1.RouteObject{{Kind: "Ingress", Name: "shop", Manifest: json.RawMessage(`{}`)}},
			Services: []v1alpha1.StableService{{
				Name: "shop-web", SlotService: "shop-" + string(slot) + "-web", Manifest: json.RawMessage(`{"spec":{"ports":[{"port":80}]}}`),
			}},
		}
	}
	return metric.Subject{
		Service: "shop", Environment: "prod", Namespace: "prod", Live: v1alpha1.SlotBlue, Candidate: v1alpha1.SlotGreen,
		Routes: map[v1alpha1.Slot]v1alpha1.Routes{v1alpha1.SlotBlue: routes(v1alpha1.SlotBlue), v1alpha1.SlotGreen: routes(v1alpha1.SlotGreen)},
	}
}

func feedOf(t *testing.T, s guard.Sources, spec v1alpha1.Analysis) guard.Feed {
	t.Helper()
	feed, err := s.Requests(counted(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return feed
}

// However many places count, the controller is asked once a second; another specification is another controller.
func TestOneControllerForAll(t *testing.T) {
	b := newBed(t)
	elsewhere := v1alpha1.Analysis{Source: &v1alpha1.RequestSource{Ingress: &v1alpha1.IngressSource{Namespace: "traefik"}}}
	named := v1alpha1.Analysis{Source: &v1alpha1.RequestSource{Ingress: &v1alpha1.IngressSource{Series: []string{"edge-{{.Release}}@file"}}}}
	feeds := []guard.Feed{
		feedOf(t, b.place("prod"), v1alpha1.Analysis{}), feedOf(t, b.place("prod"), v1alpha1.Analysis{}), feedOf(t, b.place("prod"), named),
	}
	read := func() {
		t.Helper()
		b.now.Add(1)
		for _, f := range feeds {
			if _, err := f.Source.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	read()
	read()
	before := b.scraped.Load()
	b.served.Add(3)
	read()
	if n := b.scraped.Load() - before; n != 1 {
		t.Errorf("the controller was asked %d times for three sources", n)
	}
	for i, f := range feeds {
		want := []uint64{3, 3, 6}[i] // the third counts under a name of its own too
		if r, err := f.Source.Read(t.Context()); err != nil || r.Slots[v1alpha1.SlotBlue].Requests != want {
			t.Errorf("source %d read %+v, %v", i, r, err)
		}
		if f.Every != time.Second || f.Gap != 30*time.Second {
			t.Errorf("source %d is read every %s, with a gap of %s", i, f.Every, f.Gap)
		}
	}
	before = b.scraped.Load()
	for _, f := range []guard.Feed{feedOf(t, b.place("prod"), elsewhere), feedOf(t, b.place("test"), v1alpha1.Analysis{})} {
		if _, err := f.Source.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.scraped.Load() - before; n != 2 {
		t.Errorf("two other controllers were asked %d times", n)
	}
}

// A Prometheus is asked with the token that the run has, which nothing shows.
func TestTokenOfPrometheus(t *testing.T) {
	const secret = "eyJhbGciOiJSUzI1NiJ9-metrics"
	b := newBed(t)
	var got []string
	server := proxy.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"a","instance":"b"},"value":[1767323045,"7"]}]}}`))
	}))
	spec := v1alpha1.Analysis{
		Prometheus: &v1alpha1.Prometheus{URL: server.Server.URL, Token: &v1alpha1.MetricToken{Env: "METRICS_TOKEN"}},
		Source:     &v1alpha1.RequestSource{Prometheus: &v1alpha1.PrometheusCounters{Requests: `r{slot="{{.Slot}}"}`, Failed: `f{slot="{{.Slot}}"}`}},
	}
	for _, value := range []string{"", " \n"} {
		b.env["METRICS_TOKEN"] = value
		_, err := b.place("prod").Requests(counted(), spec)
		if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "METRICS_TOKEN") || !strings.Contains(err.Error(), "environments.prod.analysis.prometheus.token") || fault.HintOf(err) == "" {
			t.Errorf("with %q it says %v (%s)", value, err, fault.HintOf(err))
		}
	}
	b.env["METRICS_TOKEN"] = secret + "\n"
	sources := b.place("prod")
	if _, err := feedOf(t, sources, spec).Source.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	reader, err := sources.Number(counted(), spec, v1alpha1.Metric{Name: "load", Prometheus: &v1alpha1.PrometheusMetric{Query: "sum(load)"}})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := reader.Valuer.Value(t.Context()); err != nil || v.Number != 7 || reader.Every != 10*time.Second {
		t.Errorf("it read %+v, %v every %s", v, err, reader.Every)
	}
	if len(got) != 5 || slices.ContainsFunc(got, func(s string) bool { return s != "Bearer "+secret }) {
		t.Errorf("it was asked with %q", got)
	}
	if shown := b.secrets.String("the header " + got[0]); strings.Contains(shown, secret) {
		t.Errorf("the token is shown: %s", shown)
	}
}

// Names that end in .localhost lead to this machine, as for gates.
func TestProbeOfANameOfThisMachine(t *testing.T) {
	b := newBed(t)
	var hosts []string
	entry := proxy.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts = append(hosts, r.Host)
		w.WriteHeader(http.StatusNotFound)
	}))
	at, _ := url.Parse(entry.Server.URL)
	subject := counted()
	subject.Entry = "http://prod.shop.localhost:" + at.Port()
	feed, err := b.place("prod").Probe(subject, v1alpha1.Analysis{Errors: &v1alpha1.ErrorsQuestion{Codes: []string{"404"}}}, v1alpha1.Probe{Path: "/x"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := feed.Source.Read(t.Context())
	if err != nil || r.Slots[v1alpha1.SlotGreen].Failed != 1 || len(hosts) != 1 || !strings.HasPrefix(hosts[0], "prod.shop.localhost:") {
		t.Errorf("it read %+v, %v; asked was %v", r, err, hosts)
	}
}

func TestPaces(t *testing.T) {
	s := newBed(t).place("prod")
	minute := v1alpha1.Duration(time.Minute)
	prometheus := func(delay v1alpha1.Duration) v1alpha1.Analysis {
		return v1alpha1.Analysis{
			Prometheus: &v1alpha1.Prometheus{URL: "http://prometheus", Delay: delay},
			Source:     &v1alpha1.RequestSource{Prometheus: &v1alpha1.PrometheusCounters{Requests: "r{{.Slot}}", Failed: "f{{.Slot}}"}},
		}
	}
	azure := v1alpha1.Analysis{
		AzureMonitor: &v1alpha1.AzureMonitor{Workspace: "00000000-0000-0000-0000-000000000001"}, Source: &v1alpha1.RequestSource{AzureMonitor: &v1alpha1.AzureRequests{}},
	}
	probe := func(rate float64) v1alpha1.Analysis {
		return v1alpha1.Analysis{Source: &v1alpha1.RequestSource{Probe: &v1alpha1.Probe{Rate: rate}}}
	}
	urls := v1alpha1.Analysis{Source: &v1alpha1.RequestSource{Ingress: &v1alpha1.IngressSource{URLs: []string{"http://traefik:9100/metrics"}}}}
	for name, test := range map[string]struct {
		spec       v1alpha1.Analysis
		every, gap time.Duration
	}{
		"ingress": {urls, time.Second, 30 * time.Second}, "Prometheus": {prometheus(0), 15 * time.Second, time.Minute},
		"slow Prometheus": {prometheus(minute), time.Minute, 4 * time.Minute}, "fast Prometheus": {prometheus(v1alpha1.Duration(time.Second)), time.Second, 30 * time.Second},
		"Azure": {azure, 15 * time.Second, 30 * time.Minute}, "probe": {probe(0), time.Second, 30 * time.Second}, "fast probe": {probe(50), time.Second, 30 * time.Second},
		"slow probe": {probe(0.05), 20 * time.Second, 80 * time.Second},
	} {
		subject := counted()
		subject.Entry = "http://shop.example.com"
		feed, err := s.Requests(subject, test.spec)
		if err != nil || feed.Source == nil || feed.Every != test.every || feed.Gap != test.gap {
			t.Errorf("%s: every %s, gap %s, %v", name, feed.Every, feed.Gap, err)
		}
	}
	far := New(Options{}).meters(&cluster{config: &rest.Config{}, interval: 10 * time.Second}, "prod")
	if feed := feedOf(t, far, v1alpha1.Analysis{}); feed.Every != 10*time.Second || feed.Gap != 3*time.Minute {
		t.Errorf("far away: every %s, gap %s", feed.Every, feed.Gap)
	}
	if feed := feedOf(t, far, urls); feed.Every != time.Second {
		t.Errorf("what is read from here: every %s", feed.Every)
	}
	feed, err := s.Counters(counted(), prometheus(0), v1alpha1.Metric{Prometheus: &v1alpha1.PrometheusMetric{Requests: "r{{.Slot}}", Failed: "f{{.Slot}}"}})
	if err != nil || feed.Every != 15*time.Second {
		t.Errorf("%+v, %v", feed, err)
	}
	if reader, err := s.Number(counted(), azure, v1alpha1.Metric{AzureMonitor: &v1alpha1.AzureMetric{Query: "print 1"}}); err != nil || reader.Every != 10*time.Second {
		t.Errorf("%+v, %v", reader, err)
	}
}

// What cannot be asked is an error that says where to write what, and never a source that counts nothing.
func TestSpecificationsThatAskNothing(t *testing.T) {
	s := newBed(t).place("prod")
	server := &v1alpha1.Prometheus{URL: "http://prometheus"}
	source := func(q v1alpha1.PrometheusCounters) *v1alpha1.RequestSource {
		return &v1alpha1.RequestSource{Prometheus: &q}
	}
	ask := func(spec v1alpha1.Analysis) error { _, err := s.Requests(counted(), spec); return err }
	counters := func(spec v1alpha1.Analysis, m v1alpha1.Metric) error {
		_, err := s.Counters(counted(), spec, m)
		return err
	}
	number := func(spec v1alpha1.Analysis, m v1alpha1.Metric) error {
		_, err := s.Number(counted(), spec, m)
		return err
	}
	slower := &v1alpha1.SlowerQuestion{Than: v1alpha1.Duration(time.Second)}
	for says, err := range map[string]error{
		"no server is named":              ask(v1alpha1.Analysis{Source: source(v1alpha1.PrometheusCounters{Requests: "r", Failed: "f"})}),
		"no workspace is named":           ask(v1alpha1.Analysis{Source: &v1alpha1.RequestSource{AzureMonitor: &v1alpha1.AzureRequests{}}}),
		"no query counts requests that":   ask(v1alpha1.Analysis{Prometheus: server, Source: source(v1alpha1.PrometheusCounters{Requests: "r{{.Slot}}"})}),
		"no query counts them":            ask(v1alpha1.Analysis{Prometheus: server, Slower: slower, Source: source(v1alpha1.PrometheusCounters{Requests: "r{{.Slot}}", Failed: "f{{.Slot}}"})}),
		"the same for another slot":       ask(v1alpha1.Analysis{Prometheus: server, Source: source(v1alpha1.PrometheusCounters{Requests: "r", Failed: "f"})}),
		"its URL is no address":           ask(v1alpha1.Analysis{Prometheus: &v1alpha1.Prometheus{URL: "prometheus"}, Source: source(v1alpha1.PrometheusCounters{Requests: "r{{.Slot}}", Failed: "f{{.Slot}}"})}),
		"source.ingress.series: read the": ask(v1alpha1.Analysis{Source: &v1alpha1.RequestSource{Ingress: &v1alpha1.IngressSource{Series: []string{"{{.Slots}}"}}}}),
		"that of both slots":              ask(v1alpha1.Analysis{Source: &v1alpha1.RequestSource{Ingress: &v1alpha1.IngressSource{Series: []string{"edge"}}}}),
		"is no URL of http":               ask(v1alpha1.Analysis{Source: &v1alpha1.RequestSource{Ingress: &v1alpha1.IngressSource{URLs: []string{"traefik:9100"}}}}),
		"has no entry":                    ask(v1alpha1.Analysis{Source: &v1alpha1.RequestSource{Probe: &v1alpha1.Probe{}}}),
		"has no pair of counters":         counters(v1alpha1.Analysis{Prometheus: server}, v1alpha1.Metric{Name: "m", Prometheus: &v1alpha1.PrometheusMetric{Query: "q"}}),
		"asks nobody":                     number(v1alpha1.Analysis{}, v1alpha1.Metric{Name: "m"}),
		"metric m":                        number(v1alpha1.Analysis{}, v1alpha1.Metric{Name: "m", AzureMonitor: &v1alpha1.AzureMetric{Query: "q"}}),
		"it is empty":                     number(v1alpha1.Analysis{Prometheus: server}, v1alpha1.Metric{Name: "m", Prometheus: &v1alpha1.PrometheusMetric{}}),
	} {
		if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), says) || fault.HintOf(err) == "" && says != "it is empty" || errors.Is(err, metric.ErrDown) {
			t.Errorf("instead of %q it says %v (%s)", says, err, fault.HintOf(err))
		}
	}
}
