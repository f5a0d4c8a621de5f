package http_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/gate"
	"github.com/sluice-dev/sluice/internal/gate/gatetest"
	httpgate "github.com/sluice-dev/sluice/internal/gate/http"
)

// clock is a fake clock that is told how time passes.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(0, c.at.Load()) }
func (c *clock) pass(d time.Duration) { c.at.Add(int64(d)) }

func serve(t *testing.T, h http.HandlerFunc) *url.URL {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func subject(entry *url.URL) gate.Subject {
	return gate.Subject{
		Service: "calculator", Environment: "prod", Namespace: "ns", Rollout: 1, Slot: v1alpha1.SlotGreen,
		Entry: "http://prod.calculator.localhost:" + entry.Port(), Router: v1alpha1.RouterGateway,
		Header: v1alpha1.Header{Name: "canary", Value: "always"},
	}
}

func newGate(t *testing.T, o httpgate.Options, spec v1alpha1.HTTPGate) gate.Gate {
	t.Helper()
	g, err := httpgate.New(o).Gate(v1alpha1.Gate{HTTP: &spec})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestContract(t *testing.T) {
	c := &clock{}
	gatetest.Gate(t, gatetest.Harness{
		World: func(t *testing.T, verdict v1alpha1.Verdict) (gate.Gate, gate.Subject) {
			entry := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if verdict == v1alpha1.Failed {
					w.WriteHeader(http.StatusBadGateway)
				}
			})
			return newGate(t, httpgate.Options{Now: c.now}, v1alpha1.HTTPGate{Path: "/"}), subject(entry)
		},
		Unknown: func(t *testing.T) (gate.Gate, gate.Subject) {
			return newGate(t, httpgate.Options{Now: c.now}, v1alpha1.HTTPGate{Path: "/"}), gate.Subject{Service: "s"}
		},
		Pass: func(*testing.T) { c.pass(time.Second) },
	})
}

// once makes a gate that fails at its first attempt, and returns its answer.
func once(t *testing.T, spec v1alpha1.HTTPGate, h http.HandlerFunc) (v1alpha1.Verdict, string) {
	t.Helper()
	spec.Attempts = 1
	if spec.Path == "" {
		spec.Path = "/"
	}
	verdict, evidence, err := newGate(t, httpgate.Options{}, spec).Check(t.Context(), subject(serve(t, h)))
	if err != nil {
		t.Fatal(err)
	}
	return verdict, evidence
}

func TestExpectations(t *testing.T) {
	reply := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Slot", "green")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	json := func(s string) v1alpha1.HTTPExpect { return v1alpha1.HTTPExpect{JSON: []byte(s)} }
	for name, tt := range map[string]struct {
		expect v1alpha1.HTTPExpect
		answer http.HandlerFunc
		// want is part of a failed gate's evidence; "" for a passed one.
		want string
	}{
		"status 200 by default":     {v1alpha1.HTTPExpect{}, reply(200, ""), ""},
		"another status":            {v1alpha1.HTTPExpect{}, reply(503, "no healthy upstream"), "expected status 200, got 503; the body begins: no healthy upstream"},
		"a wanted status":           {v1alpha1.HTTPExpect{Status: 404}, reply(404, ""), ""},
		"redirects are answers":     {v1alpha1.HTTPExpect{}, http.RedirectHandler("/elsewhere", http.StatusFound).ServeHTTP, "got 302"},
		"header":                    {v1alpha1.HTTPExpect{Headers: map[string]string{"x-slot": "green"}}, reply(200, ""), ""},
		"wrong header":              {v1alpha1.HTTPExpect{Headers: map[string]string{"X-Slot": "blue"}}, reply(200, ""), "expected header X-Slot: blue, got green"},
		"no header":                 {v1alpha1.HTTPExpect{Headers: map[string]string{"X-Other": "1"}}, reply(200, ""), "expected header X-Other: 1, got none"},
		"body":                      {v1alpha1.HTTPExpect{Body: `v1\.\d`}, reply(200, "version v1.2"), ""},
		"wrong body with status ok": {v1alpha1.HTTPExpect{Body: `v1\.\d`}, reply(200, "Looks good!"), "the body begins: Looks good!"},
		"empty body":                {v1alpha1.HTTPExpect{Body: "x"}, reply(200, ""), "(empty)"},
		"contained JSON":            {json(`{"a":{"b":1},"f":[13,17]}`), reply(200, `{"x":0,"a":{"b":1.0,"c":2},"f":[13,17]}`), ""},
		"JSON lacks a key":          {json(`{"a":{"b":1}}`), reply(200, `{"a":{}}`), "expected JSON 1 at $.a.b, got no such key"},
		"JSON differs":              {json(`{"f":[13,17]}`), reply(200, `{"f":[13,19]}`), "expected JSON 17 at $.f[1], got 19"},
		"JSON has a longer array":   {json(`{"f":[13]}`), reply(200, `{"f":[13,17]}`), "expected JSON [13] at $.f, got [13,17]"},
		"JSON of another type":      {json(`{"f":"1"}`), reply(200, `{"f":1}`), `expected JSON "1" at $.f, got 1`},
		"JSON null":                 {json(`{"f":null}`), reply(200, `{"f":false}`), "expected JSON null at $.f, got false"},
		"JSON object for a text":    {json(`{"f":"x"}`), reply(200, `{"f":{}}`), `expected JSON "x" at $.f, got {}`},
		"large integers":            {json(`9007199254740993`), reply(200, `9007199254740992`), "expected JSON 9007199254740993 at $"},
		"huge exponents":            {json(`1e999999999`), reply(200, `2e999999999`), "expected JSON 1e999999999"},
		"no JSON":                   {json(`{}`), reply(200, "<html>"), "no JSON"},
		"two JSON values":           {json(`{}`), reply(200, "{} {}"), "something follows"},
		"too large for JSON":        {json(`{}`), reply(200, `{"a":"`+strings.Repeat("x", 1<<20)+`"}`), "more than the 1048576 bytes"},
		"control characters":        {v1alpha1.HTTPExpect{Status: 201}, reply(200, "a\x1b[31mb"), "the body begins: a [31mb"},
	} {
		t.Run(name, func(t *testing.T) {
			verdict, evidence := once(t, v1alpha1.HTTPGate{Expect: tt.expect}, tt.answer)
			if want := tt.want != ""; (verdict == v1alpha1.Failed) != want {
				t.Fatalf("verdict %q: %s", verdict, evidence)
			}
			if !strings.Contains(evidence, tt.want) {
				t.Errorf("evidence %q does not say %q", evidence, tt.want)
			}
		})
	}
}

func TestEvidenceIsBounded(t *testing.T) {
	_, evidence := once(t, v1alpha1.HTTPGate{Expect: v1alpha1.HTTPExpect{Status: 201}}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("ä", 100_000))
	})
	if n := strings.Count(evidence, "ä"); n != 300 {
		t.Errorf("%d characters of the body are evidence, want 300", n)
	}
}

func TestRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	verdict, evidence := once(t, v1alpha1.HTTPGate{
		Path: "/api/calculate?number=221", Method: "POST", Body: "hello", Headers: map[string]string{"X-A": "b", "Host": "other.example"},
	}, func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	})
	if verdict != v1alpha1.Passed {
		t.Fatalf("%s: %s", verdict, evidence)
	}
	if got.URL.String() != "/api/calculate?number=221" || got.Method != "POST" || string(body) != "hello" ||
		got.Header.Get("X-A") != "b" || got.Host != "other.example" || got.Header.Get("Canary") != "always" {
		t.Errorf("request %s %s, host %s, headers %v, body %q", got.Method, got.URL, got.Host, got.Header, body)
	}
	for _, part := range []string{"POST http://prod.calculator.localhost", "/api/calculate?number=221", "canary: always", "status 200"} {
		if !strings.Contains(evidence, part) {
			t.Errorf("evidence %q lacks %q", evidence, part)
		}
	}
}

func TestNoHeaderOnceTheSlotHasAllTraffic(t *testing.T) {
	entry := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header.Values("canary")) > 0 {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	s := subject(entry)
	s.Header = v1alpha1.Header{}
	s.Entry += "/base/"
	if verdict, evidence, err := newGate(t, httpgate.Options{}, v1alpha1.HTTPGate{Path: "/x"}).Check(t.Context(), s); verdict != v1alpha1.Passed {
		t.Errorf("%s: %s, %v", verdict, evidence, err)
	} else if !strings.Contains(evidence, "/base/x") {
		t.Errorf("the path is not joined to the entry's: %s", evidence)
	}
}

// TestAttemptsOverGatesMadeAnew: the machine makes a gate for every look, and looks more often than once a second.
func TestAttemptsOverGatesMadeAnew(t *testing.T) {
	var calls atomic.Int32
	var healthy atomic.Bool
	entry := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		if !healthy.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	c := &clock{}
	prober := httpgate.New(httpgate.Options{Now: c.now})
	look := func() (v1alpha1.Verdict, string) {
		g, err := prober.Gate(v1alpha1.Gate{HTTP: &v1alpha1.HTTPGate{Path: "/", Attempts: 3}})
		if err != nil {
			t.Fatal(err)
		}
		verdict, evidence, err := g.Check(t.Context(), subject(entry))
		if err != nil {
			t.Fatal(err)
		}
		return verdict, evidence
	}
	for i, want := range []struct {
		pass    time.Duration
		verdict v1alpha1.Verdict
		calls   int32
		says    string
	}{
		{0, v1alpha1.Waiting, 1, "attempt 1 of 3"},
		{999 * time.Millisecond, v1alpha1.Waiting, 1, "attempt 1 of 3"},
		{time.Millisecond, v1alpha1.Waiting, 2, "attempt 2 of 3"},
		{time.Second, v1alpha1.Failed, 3, "3 of 3 attempts"},
		{0, v1alpha1.Waiting, 4, "attempt 1 of 3"},         // the end was told; asked again, it begins anew
		{time.Hour, v1alpha1.Waiting, 5, "attempt 1 of 3"}, // nobody went on with the count
	} {
		c.pass(want.pass)
		verdict, evidence := look()
		if verdict != want.verdict || calls.Load() != want.calls || !strings.Contains(evidence, want.says) {
			t.Fatalf("look %d: %s after %d calls, %q; want %s after %d, %q", i, verdict, calls.Load(), evidence, want.verdict, want.calls, want.says)
		}
	}
	healthy.Store(true)
	c.pass(time.Second)
	if verdict, evidence := look(); verdict != v1alpha1.Passed {
		t.Errorf("a service that came up: %s, %s", verdict, evidence)
	}
}

func TestConnectionRefusedIsAFailedAttempt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entry := &url.URL{Host: l.Addr().String()}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	verdict, evidence, err := newGate(t, httpgate.Options{}, v1alpha1.HTTPGate{Path: "/"}).Check(t.Context(), subject(entry))
	if err != nil || verdict != v1alpha1.Waiting || !strings.Contains(evidence, "refused") || !strings.Contains(evidence, "attempt 1 of 3") {
		t.Errorf("%q, %q, %v, want a failed attempt that says refused", verdict, evidence, err)
	}
}

func TestSilenceIsAFailedAttempt(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	verdict, evidence := once(t, v1alpha1.HTTPGate{Timeout: v1alpha1.Duration(50 * time.Millisecond)}, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		select {
		case <-over:
		case <-r.Context().Done():
		}
	})
	if verdict != v1alpha1.Failed || !strings.Contains(evidence, "within 50ms") {
		t.Errorf("%s: %s", verdict, evidence)
	}
}

func TestContextEndsTheCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	entry := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	verdict, _, err := newGate(t, httpgate.Options{}, v1alpha1.HTTPGate{Path: "/"}).Check(ctx, subject(entry))
	if verdict != "" || !fault.Is(err, fault.Interrupted) {
		t.Errorf("%q, %v, want fault.Interrupted alone: an interrupted look is no failed attempt", verdict, err)
	}
}

func TestUnusableSpecifications(t *testing.T) {
	for name, spec := range map[string]v1alpha1.Gate{
		"no http gate": {HelmTest: &v1alpha1.HelmTestGate{}},
		"regexp":       {HTTP: &v1alpha1.HTTPGate{Path: "/", Expect: v1alpha1.HTTPExpect{Body: "("}}},
		"json":         {HTTP: &v1alpha1.HTTPGate{Path: "/", Expect: v1alpha1.HTTPExpect{JSON: []byte("{")}}},
	} {
		if _, err := httpgate.New(httpgate.Options{}).Gate(spec); !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v, want fault.Usage", name, err)
		}
	}
}

func services(names ...string) []v1alpha1.StableService {
	var list []v1alpha1.StableService
	for _, name := range names {
		list = append(list, v1alpha1.StableService{
			Name: name, SlotService: strings.Replace(name, "calculator", "calculator-green", 1),
			Manifest: []byte(`{"spec":{"ports":[{"name":"grpc","port":9000},{"name":"http","port":8080},{"name":"https","port":8443}]}}`),
		})
	}
	return list
}

func TestThroughTheAPIServer(t *testing.T) {
	const proxy = "/cluster/api/v1/namespaces/ns/services/"
	for name, tt := range map[string]struct {
		spec     v1alpha1.HTTPGate
		services []v1alpha1.StableService
		change   func(*gate.Subject)
		want     string
		usage    string
	}{
		"the only service": {
			spec: v1alpha1.HTTPGate{Path: "/x?y=1"}, services: services("calculator-frontend"), want: proxy + "calculator-green-frontend:8080/proxy/x?y=1"},
		"the service of the same name": {
			spec: v1alpha1.HTTPGate{Path: "/"}, services: services("calculator-frontend", "calculator"), want: proxy + "calculator-green:8080/proxy/"},
		"several services": {
			spec: v1alpha1.HTTPGate{Path: "/"}, services: services("calculator-a", "calculator-b"), usage: "calculator-a, calculator-b"},
		"no service": {
			spec: v1alpha1.HTTPGate{Path: "/"}, usage: "no Service"},
		"a service by its name": {
			spec: v1alpha1.HTTPGate{URL: "http://calculator-b.ns.svc.cluster.local/x"}, services: services("calculator-a", "calculator-b"),
			want: proxy + "calculator-green-b:8080/proxy/x"},
		"a service by its name, with a header's router": {
			spec: v1alpha1.HTTPGate{URL: "http://calculator-b"}, services: services("calculator-b"),
			change: func(s *gate.Subject) { s.Router = v1alpha1.RouterNginx }, want: proxy + "calculator-green-b:8080/proxy/"},
		"a port": {
			spec: v1alpha1.HTTPGate{URL: "http://calculator-b:9000/"}, services: services("calculator-b"), want: proxy + "calculator-green-b:9000/proxy/"},
		"https": {
			spec: v1alpha1.HTTPGate{URL: "http://calculator-b:8443/"}, services: services("calculator-b"), want: proxy + "https:calculator-green-b:8443/proxy/"},
		"an unknown port": {
			spec: v1alpha1.HTTPGate{URL: "http://calculator-b:1/"}, services: services("calculator-b"), usage: "port 1"},
		"credentials": {
			spec:     v1alpha1.HTTPGate{Path: "/", Headers: map[string]string{"authorization": "secret"}},
			services: services("calculator"), usage: "Authorization cannot be sent"},
		"no entry at all": {
			spec: v1alpha1.HTTPGate{Path: "/"}, services: services("calculator"), want: proxy + "calculator-green:8080/proxy/",
			change: func(s *gate.Subject) { s.Entry, s.Header = "", v1alpha1.Header{} }},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			base := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.URL.String() })
			base.Path = "/cluster"
			s := subject(base)
			s.Entry, s.Router, s.Services = "http://127.0.0.1:1", v1alpha1.RouterService, tt.services
			if tt.change != nil {
				tt.change(&s)
			}
			g := newGate(t, httpgate.Options{APIServer: &httpgate.APIServer{Base: base, Transport: http.DefaultTransport}}, tt.spec)
			verdict, evidence, err := g.Check(t.Context(), s)
			if tt.usage != "" {
				if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), tt.usage) {
					t.Errorf("error %v, want fault.Usage with %q", err, tt.usage)
				}
				return
			}
			if err != nil || verdict != v1alpha1.Passed || got != tt.want {
				t.Errorf("called %s: %q, %s, %v; want %s", got, verdict, evidence, err, tt.want)
			}
		})
	}
}

func TestAPIServersRefusalIsNotTheServices(t *testing.T) {
	for body, unknown := range map[string]bool{
		`{"kind":"Status","apiVersion":"v1","message":"services \"calculator\" is forbidden"}`: true,
		`{"error":"log in first"}`: false,
	} {
		base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, body)
		})
		s := subject(base)
		s.Router, s.Services = v1alpha1.RouterService, services("calculator")
		g := newGate(t, httpgate.Options{APIServer: &httpgate.APIServer{Base: base, Transport: http.DefaultTransport}}, v1alpha1.HTTPGate{Path: "/", Attempts: 1})
		verdict, _, err := g.Check(t.Context(), s)
		if unknown != fault.Is(err, fault.Unreachable) || unknown == (verdict == v1alpha1.Failed) {
			t.Errorf("403 with %s: %q, %v", body, verdict, err)
		}
	}
}
