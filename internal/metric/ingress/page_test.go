package ingress_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/metric/ingress"
	"github.com/sluice-dev/sluice/test/proxy"
)

// What answers is not always what one hoped for. None of it is zero.
func TestBadPages(t *testing.T) {
	own := "traefik_service_requests_total{code=\"200\"," + labelsOf("traefik", blue) + "}"
	page := func(text string) http.HandlerFunc { return proxy.Answer(200, text) }
	var many strings.Builder
	for i := range 200_001 {
		fmt.Fprintf(&many, "traefik_service_requests_total{m=\"%d\",%s} 1\n", i, labelsOf("traefik", blue))
	}
	for name, test := range map[string]struct {
		fault http.HandlerFunc
		says  string
	}{
		"NaN":                {page(own + " NaN\n"), "NaN is no count"},
		"infinity":           {page(own + " +Inf\n"), "+Inf is no count"},
		"negative":           {page(own + " -1\n"), "-1 is no count"},
		"a fraction":         {page(own + " 1.5\n"), "1.5 is no whole number"},
		"beyond counting":    {page(own + " 1e300\n"), "more than can be counted"},
		"no number":          {page(own + " many\n"), "expected float"},
		"a web page":         {page("<html><body>traefik_service</body></html>\n"), "no metrics of Traefik, ingress-nginx or Envoy"},
		"another program":    {page("go_goroutines 7\nprocess_start_time_seconds 1\n"), "no metrics of Traefik"},
		"nothing":            {page(""), "no metrics of Traefik"},
		"an endless line":    {page("traefik_x{a=\"" + strings.Repeat("x", 65<<10) + "\"} 1\n"), "a line of it has more than"},
		"too much":           {page("traefik_x 1\n" + strings.Repeat("# "+strings.Repeat("x", 1000)+"\n", 67_000)), "more than 67108864 bytes"},
		"too many series":    {page(many.String()), "more than 200000 series"},
		"half":               {proxy.Cut(own + " 1\n"), "unexpected EOF"},
		"an error":           {proxy.Answer(503, ""), "503"},
		"another address":    {proxy.Answer(302, "", "Location", "/elsewhere"), "302"},
		"a broken line":      {proxy.Reset, "EOF"},
		"a wrong escape":     {page("traefik_service_requests_total{code=\"\\q\"," + labelsOf("traefik", blue) + "} 1\n"), "escape"},
		"a name that is odd": {page("traefik_service_requests_total{0=\"x\"," + labelsOf("traefik", blue) + "} 1\n"), "it could not be read"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			x := newController(t, c, "traefik")
			s := bed(t, c, metric.Question{}, x)
			x.serve(blue, 1, 0, 0)
			read(t, c, s)
			x.Always(test.fault)
			c.move(time.Second)
			r, err := s.Read(t.Context())
			if !errors.Is(err, metric.ErrDown) || !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), test.says) || fault.HintOf(err) == "" {
				t.Fatalf("it gave %+v, %v (%s)", r, err, fault.HintOf(err))
			}
			if !strings.Contains(err.Error(), x.Server.URL) || strings.Contains(err.Error(), "\n") {
				t.Errorf("it says %v", err)
			}
			x.Fault(nil)
			x.serve(blue, 2, 0, 0)
			if got := read(t, c, s).Slots[blue].Requests; got != 2 {
				t.Errorf("afterwards it has %d", got)
			}
		})
	}
}

func TestNoAnswerInTime(t *testing.T) {
	c := newClock()
	x := newController(t, c, "traefik")
	x.Always(x.Hang)
	finder, _ := ingress.URLs(nil, x.Server.URL)
	s, err := ingress.New(ingress.Options{Finder: finder, AnswerTime: time.Millisecond}).Source(subject(), metric.Question{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context()); !errors.Is(err, metric.ErrDown) {
		t.Errorf("it says %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	x.Always(func(w http.ResponseWriter, r *http.Request) { cancel(); x.Hang(w, r) })
	s, _ = ingress.New(ingress.Options{Finder: finder, AnswerTime: time.Hour}).Source(subject(), metric.Question{}, nil)
	if _, err := s.Read(ctx); !fault.Is(err, fault.Interrupted) || errors.Is(err, metric.ErrDown) {
		t.Errorf("interrupted it says %v", err)
	}
}

// OpenMetrics has exemplars, moments and an end; labels may hold anything.
func TestOtherSpellings(t *testing.T) {
	c := newClock()
	x := newController(t, c, "traefik")
	s := bed(t, c, metric.Question{SlowerThan: 500 * time.Millisecond}, x)
	x.text = "traefik_config_reloads_total 1\n"
	if _, err := s.Read(t.Context()); !errors.Is(err, metric.ErrNoData) {
		t.Fatal(err)
	}
	name := labelsOf("traefik", green)
	x.set(func() {
		x.text = `# TYPE traefik_service_request_duration_seconds histogram
# UNIT traefik_service_request_duration_seconds seconds
traefik_config_reloads_total 1 1767323045.000
traefik_service_request_duration_seconds_bucket{code="500",` + name + `,path="a } # \" {",le="0.5"} 3 # {trace_id="x} y"} 0.1 1767323045.1
traefik_service_request_duration_seconds_bucket{code="500",` + name + `,path="a } # \" {",le="+Inf"} 5 1767323045.1
traefik_service_request_duration_seconds_count{code="500",` + name + `,path="a } # \" {"}   5.0e0 1767323045.1
traefik_service_request_duration_seconds_created{code="500",` + name + `,path="a } # \" {"} 1767323000.1
traefik_service_request_duration_seconds_count{code="500",service="x\\",path=",` + strings.ReplaceAll(name, `"`, `\"`) + `"} 77
# EOF
`
	})
	if got := read(t, c, s).Slots[green]; got.Requests != 5 || got.Failed != 5 || got.Slow != 2 {
		t.Errorf("it counted %+v", got)
	}
}
