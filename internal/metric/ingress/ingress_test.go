package ingress_test

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/metric/ingress"
	"github.com/sluice-dev/sluice/internal/metric/metrictest"
	"github.com/sluice-dev/sluice/test/proxy"
)

func TestContract(t *testing.T) {
	for _, format := range []string{"traefik", "nginx", "envoy"} {
		for name, question := range map[string]metric.Question{"errors": {}, "slow": {SlowerThan: 500 * time.Millisecond}} {
			t.Run(format+" "+name, func(t *testing.T) {
				metrictest.Contract(t, func(t *testing.T) metrictest.World {
					c := newClock()
					x := newController(t, c, format)
					return metrictest.World{
						Source: bed(t, c, question, x), Slow: question.SlowerThan > 0, Codes: true,
						Serve: func(_ *testing.T, slot v1alpha1.Slot, requests, failed, slow uint64) {
							x.serve(slot, requests, failed, slow)
						},
						Advance: func(*testing.T) { c.move(10 * time.Second) },
						Restart: func(*testing.T) { x.restart() },
						Down: func(_ *testing.T, down bool) {
							if down {
								x.Always(proxy.Reset)
							} else {
								x.Fault(nil)
							}
						},
					}
				})
			})
		}
	}
}

// The page of the real Traefik was taken while a service was released: green was the canary of blue.
func TestRealPage(t *testing.T) {
	page, err := os.ReadFile("testdata/traefik.txt")
	if err != nil {
		t.Fatal(err)
	}
	c := newClock()
	x := newController(t, c, "traefik")
	lines := strings.SplitAfter(string(page), "\n")
	var before strings.Builder
	for _, line := range lines {
		if !strings.HasPrefix(line, "traefik_service") {
			before.WriteString(line)
		}
	}
	x.text = before.String()
	finder, _ := ingress.URLs(nil, x.Server.URL)
	s := subject()
	s.Namespace = "calculator-prod"
	for slot, routes := range s.Routes {
		routes.Objects[0].Name = "calculator"
		routes.Services[0].SlotService = "calculator-" + string(slot) + "-frontend"
	}
	source, err := ingress.New(ingress.Options{Finder: finder, Now: c.Now}).Source(s, metric.Question{SlowerThan: 500 * time.Millisecond}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Read(t.Context()); !errors.Is(err, metric.ErrNoData) || !strings.Contains(fault.HintOf(err), "addServicesLabels") {
		t.Errorf("before any request: %v", err)
	}
	x.set(func() { x.text = string(page) })
	got := read(t, c, source)
	want := map[v1alpha1.Slot]metric.Counters{blue: {Requests: 4255}, green: {Requests: 342}}
	if diff := cmp.Diff(want, got.Slots); diff != "" || got.Codes[green]["200"] != 342 {
		t.Error(diff, got.Codes)
	}
}

func TestReplicas(t *testing.T) {
	c := newClock()
	one, two := newController(t, c, "traefik"), newController(t, c, "traefik")
	s := bed(t, c, metric.Question{}, one, two)
	one.serve(blue, 1000, 10, 0)
	two.serve(blue, 500, 5, 0)
	read(t, c, s)
	one.serve(blue, 10, 0, 0)
	two.serve(blue, 5, 1, 0)
	two.serve(green, 2, 1, 0)
	r := read(t, c, s)
	if got := r.Slots[blue]; got.Requests != 15 || got.Failed != 1 || r.Slots[green].Requests != 2 {
		t.Errorf("summed: %+v", r.Slots)
	}

	// A restart of one is no restart of the other, also where more was counted since than before.
	two.restart()
	two.serve(blue, 600, 0, 0)
	one.serve(blue, 1, 0, 0)
	if got := read(t, c, s).Slots[blue]; got.Requests != 15+601 {
		t.Errorf("after a restart of one: %+v", got)
	}

	// One that does not answer is told of, and counted when it answers again.
	two.Always(proxy.Answer(500, ""))
	one.serve(blue, 3, 0, 0)
	two.serve(blue, 4, 0, 0)
	r = read(t, c, s)
	if got := r.Slots[blue]; got.Requests != 619 || !strings.Contains(r.Lacking, "1 of 2 replicas did not answer: "+two.Server.URL) {
		t.Errorf("without one: %+v, %q", got, r.Lacking)
	}
	two.Fault(nil)
	if r = read(t, c, s); r.Slots[blue].Requests != 623 || r.Lacking != "" || r.Cost.Requests != 2 {
		t.Errorf("with it again: %+v", r)
	}
}

func TestSeriesThatVanishComeBackAtZero(t *testing.T) {
	c := newClock()
	x := newController(t, c, "traefik")
	s := bed(t, c, metric.Question{}, x)
	x.serve(blue, 100, 0, 0)
	read(t, c, s)
	x.set(func() { clear(x.counts) }) // Traefik forgets services that its configuration no longer has
	if got := read(t, c, s).Slots[blue].Requests; got != 0 {
		t.Errorf("vanished: %d", got)
	}
	x.serve(blue, 150, 0, 0)
	if got := read(t, c, s).Slots[blue].Requests; got != 150 {
		t.Errorf("back: %d", got)
	}
}

func TestSeveralBehindOneName(t *testing.T) {
	c := newClock()
	one := newController(t, c, "traefik")
	s := bed(t, c, metric.Question{}, one)
	one.serve(blue, 100, 0, 0)
	read(t, c, s)
	young := c.Now().Add(-time.Minute)
	one.set(func() { one.born = young })
	read(t, c, s) // a restart, as far as one can tell
	one.set(func() { one.born = young.Add(-time.Hour) })
	c.move(time.Second)
	_, err := s.Read(t.Context())
	if !errors.Is(err, metric.ErrDown) || !strings.Contains(err.Error(), "several processes answer") || !strings.Contains(fault.HintOf(err), "every replica") {
		t.Errorf("it says %v (%s)", err, fault.HintOf(err))
	}
}

func TestLimitWithoutBucket(t *testing.T) {
	for limit, says := range map[time.Duration]string{
		400 * time.Millisecond: "100ms and 500ms", 10 * time.Millisecond: "nearest limits are 100ms", 5 * time.Second: "nearest limits are 1.2s",
	} {
		c := newClock()
		x := newController(t, c, "traefik")
		s := bed(t, c, metric.Question{SlowerThan: limit}, x)
		if _, err := s.Read(t.Context()); !errors.Is(err, metric.ErrNoData) {
			t.Errorf("without any request: %v", err)
		}
		x.set(func() { x.counts[count{labels: `service="another@file"`, code: "200"}] = 3 })
		c.move(time.Second)
		_, err := s.Read(t.Context())
		if !fault.Is(err, fault.Usage) || errors.Is(err, metric.ErrDown) || !strings.Contains(err.Error(), "Traefik does not count requests slower than "+limit.String()) ||
			!strings.Contains(err.Error(), says) || !strings.Contains(fault.HintOf(err), "100ms, 500ms, 1.2s") {
			t.Errorf("%s: %v (%s)", limit, err, fault.HintOf(err))
		}
	}
}

// Another controller in the cluster may have other buckets.
func TestLimitWithBucketElsewhere(t *testing.T) {
	c := newClock()
	envoy, traefik := newController(t, c, "envoy"), newController(t, c, "traefik")
	s := bed(t, c, metric.Question{SlowerThan: 1200 * time.Millisecond}, envoy, traefik)
	envoy.set(func() { envoy.counts[count{labels: `envoy_cluster_name="other"`, code: "200"}] = 1 })
	traefik.serve(blue, 1, 0, 0)
	read(t, c, s)
	envoy.serve(blue, 1, 0, 0)
	c.move(time.Second)
	if _, err := s.Read(t.Context()); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "Envoy does not count") {
		t.Errorf("where the one that serves has none: %v", err)
	}
}

func TestFailedAreChosen(t *testing.T) {
	c := newClock()
	x := newController(t, c, "nginx")
	s := bed(t, c, metric.Question{Failed: []string{"5xx", "429"}}, x)
	read := func() metric.Counters { return read(t, c, s).Slots[blue] }
	x.serve(blue, 1, 0, 0)
	read()
	for _, code := range []string{"429", "404", "500", "5xx"} { // ingress-nginx may be told to count classes only
		x.set(func() { x.counts[count{labels: labelsOf("nginx", blue), code: code}]++ })
	}
	if got := read(); got.Requests != 4 || got.Failed != 3 {
		t.Errorf("it counted %+v", got)
	}
}

// Envoy Gateway has one cluster for all backends of a rule.
func TestBackendsTogether(t *testing.T) {
	c := newClock()
	x := newController(t, c, "envoy")
	s := bed(t, c, metric.Question{}, x)
	x.set(func() { x.counts[count{labels: `envoy_cluster_name="httproute/prod/shop/rule/1"`, code: "200"}] = 9 })
	_, err := s.Read(t.Context())
	if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "Envoy counts all backends of a rule together") || fault.HintOf(err) == "" {
		t.Errorf("it says %v", err)
	}
}

func TestNamedSeries(t *testing.T) {
	c := newClock()
	x := newController(t, c, "envoy")
	finder, _ := ingress.URLs(nil, x.Server.URL)
	s, err := ingress.New(ingress.Options{Finder: finder, Now: c.Now}).Source(metric.Subject{Service: "shop", Live: blue, Candidate: green},
		metric.Question{}, ingress.Series{blue: {"outbound|80||shop"}, green: {"outbound|80|v2|shop"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context()); !errors.Is(err, metric.ErrNoData) {
		t.Fatal(err)
	}
	x.set(func() { x.counts[count{labels: `envoy_cluster_name="outbound|80|v2|shop"`, code: "200"}] = 9 })
	if got := read(t, c, s).Slots[green].Requests; got != 9 {
		t.Errorf("it counted %d", got)
	}
}

// several are sources of one controller.
func several(t *testing.T, c *clock, x *controller, n int) []metric.Source {
	t.Helper()
	finder, err := ingress.URLs(nil, x.Server.URL)
	if err != nil {
		t.Fatal(err)
	}
	all := ingress.New(ingress.Options{Finder: finder, Now: c.Now, AnswerTime: time.Minute})
	var sources []metric.Source
	for range n {
		s, err := all.Source(subject(), metric.Question{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, s)
	}
	return sources
}

// However many sources read, a replica is asked once a second.
func TestOneRoundForAll(t *testing.T) {
	c := newClock()
	x := newController(t, c, "traefik")
	x.serve(blue, 1, 0, 0)
	sources := several(t, c, x, 50)
	for _, s := range sources {
		if _, err := s.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(x.Seen()); n != 50 {
		t.Errorf("%d requests while sources were new, which each need an answer of their own", n)
	}
	x.Fault(nil)
	x.serve(blue, 2, 0, 0)
	c.move(time.Second)
	var wait sync.WaitGroup
	var mu sync.Mutex
	cost := metric.Cost{}
	for _, s := range sources {
		wait.Go(func() {
			r, err := s.Read(t.Context())
			mu.Lock()
			defer mu.Unlock()
			if err != nil || r.Slots[blue].Requests != 2 {
				t.Errorf("it gave %+v, %v", r, err)
			}
			cost = cost.Add(r.Cost)
		})
	}
	wait.Wait()
	if n := len(x.Seen()); n != 1 || cost.Requests != 1 {
		t.Errorf("%d requests for all, %+v", n, cost)
	}
}

// Who comes again sooner than others gets a new answer, and the others what that said.
func TestWhoComesAgainSooner(t *testing.T) {
	c := newClock()
	x := newController(t, c, "traefik")
	x.serve(blue, 1, 0, 0)
	sources := several(t, c, x, 2)
	for range 2 { // the second round is the first that knows of both
		for _, s := range sources {
			if _, err := s.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, step := range []struct {
		after      time.Duration
		who        int
		wantAsked  int
		wantCounts uint64
	}{
		{100 * time.Millisecond, 0, 0, 0}, {200 * time.Millisecond, 0, 1, 1}, {0, 1, 0, 1}, {300 * time.Millisecond, 0, 1, 2},
		{0, 1, 0, 2}, {200 * time.Millisecond, 1, 0, 2}, {100 * time.Millisecond, 1, 1, 3},
	} {
		x.Fault(nil)
		if step.wantAsked > 0 {
			x.serve(blue, 1, 0, 0)
		}
		c.move(step.after)
		r, err := sources[step.who].Read(t.Context())
		if n := len(x.Seen()); err != nil || n != step.wantAsked || r.Slots[blue].Requests != step.wantCounts {
			t.Errorf("%+v: asked %d times, %+v, %v", step, n, r.Slots, err)
		}
	}
}

// A clock that is set back neither stops the counting nor turns it around.
func TestClockSetBack(t *testing.T) {
	c := newClock()
	x := newController(t, c, "traefik")
	s := bed(t, c, metric.Question{}, x)
	x.serve(blue, 1, 0, 0)
	first := read(t, c, s)
	c.move(-time.Hour)
	x.serve(blue, 2, 0, 0)
	second := read(t, c, s)
	if second.Slots[blue].Requests != 2 || second.At.Before(first.At) {
		t.Errorf("it gave %+v after %+v", second, first)
	}
}

func TestUsage(t *testing.T) {
	finder, err := ingress.URLs(nil, "http://localhost")
	if err != nil {
		t.Fatal(err)
	}
	x := ingress.New(ingress.Options{Finder: finder})
	for name, err := range map[string]error{
		"no Service": func() error { _, err := x.Source(metric.Subject{Service: "w"}, metric.Question{}, nil); return err }(),
		"no class":   func() error { _, err := x.Source(subject(), metric.Question{Failed: []string{"5x"}}, nil); return err }(),
		"no limit":   func() error { _, err := x.Source(subject(), metric.Question{SlowerThan: -1}, nil); return err }(),
		"no name": func() error {
			_, err := x.Source(subject(), metric.Question{}, ingress.Series{green: {""}})
			return err
		}(),
		"no slot's name": func() error {
			_, err := x.Source(subject(), metric.Question{}, ingress.Series{blue: {"edge"}, green: {"edge"}})
			return err
		}(),
		"no URL":    func() error { _, err := ingress.URLs(nil); return err }(),
		"no scheme": func() error { _, err := ingress.URLs(nil, "traefik:9100/metrics"); return err }(),
	} {
		if !fault.Is(err, fault.Usage) || fault.HintOf(err) == "" && name != "no URL" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
