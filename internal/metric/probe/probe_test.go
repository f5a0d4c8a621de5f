package probe_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/metric/metrictest"
	"github.com/sluice-dev/sluice/internal/metric/probe"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/test/proxy"
)

const (
	blue  = v1alpha1.SlotBlue
	green = v1alpha1.SlotGreen
)

// entry is the entry point, behind which slots fail and linger as often as they were told to.
type entry struct {
	*proxy.Proxy
	mu     sync.Mutex
	failed map[v1alpha1.Slot]uint64
	slow   map[v1alpha1.Slot]uint64
	now    time.Time
}

// slowTime is longer than what counts as slow, and what is fast is far from it.
const slowTime = 2500 * time.Millisecond

func newEntry(t *testing.T) *entry {
	e := &entry{failed: map[v1alpha1.Slot]uint64{}, slow: map[v1alpha1.Slot]uint64{}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	e.Proxy = proxy.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slot := blue
		if r.Header.Get("canary") == "always" {
			slot = green
		}
		e.mu.Lock()
		fails, lingers := e.failed[slot] > 0, e.slow[slot] > 0
		if fails {
			e.failed[slot]--
		}
		if lingers {
			e.slow[slot]--
		}
		e.mu.Unlock()
		if lingers {
			select {
			case <-time.After(slowTime):
			case <-r.Context().Done():
			}
		}
		if fails {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte("hello"))
	}))
	return e
}

func (e *entry) Now() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

func (e *entry) move(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = e.now.Add(d)
}

func (e *entry) subject() metric.Subject {
	return metric.Subject{Service: "shop", Environment: "prod", Live: blue, Candidate: green, Entry: e.Server.URL, Header: v1alpha1.Header{Name: "canary", Value: "always"}}
}

func (e *entry) source(t *testing.T, question metric.Question, o probe.Options) *probe.Source {
	t.Helper()
	o.Now = e.Now
	s, err := probe.New(e.subject(), question, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	metrictest.Contract(t, func(t *testing.T) metrictest.World {
		e := newEntry(t)
		return metrictest.World{
			Source: e.source(t, metric.Question{SlowerThan: slowTime - 300*time.Millisecond}, probe.Options{Rate: 20, Timeout: time.Minute}),
			Knows:  true, Asks: true, Slow: true, Codes: true,
			Serve: func(_ *testing.T, slot v1alpha1.Slot, _, failed, slow uint64) {
				e.mu.Lock()
				defer e.mu.Unlock()
				e.failed[slot] += failed
				e.slow[slot] += slow
			},
			Advance: func(*testing.T) { e.move(10 * time.Second) },
			Down: func(_ *testing.T, down bool) {
				if down {
					e.Always(proxy.Reset)
				} else {
					e.Fault(nil)
				}
			},
		}
	})
}

// However seldom or often it is read, no slot gets more than its rate.
func TestRate(t *testing.T) {
	e := newEntry(t)
	s := e.source(t, metric.Question{}, probe.Options{Rate: 5})
	var sent []int
	for _, pause := range []time.Duration{0, 0, 100 * time.Millisecond, 100 * time.Millisecond, time.Second, time.Hour, -time.Hour, 200 * time.Millisecond} {
		e.move(pause)
		r, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, r.Cost.Requests/2)
		if r.Slots[blue].Requests != r.Slots[green].Requests {
			t.Errorf("the slots got %+v", r.Slots)
		}
	}
	if diff := cmp.Diff([]int{1, 0, 0, 1, 5, 5, 0, 1}, sent); diff != "" {
		t.Error(diff)
	}
}

func TestRequests(t *testing.T) {
	e := newEntry(t)
	var mu sync.Mutex
	seen := map[string]int{}
	e.Fault(func(_ int, r *http.Request) http.HandlerFunc {
		mu.Lock()
		defer mu.Unlock()
		seen[strings.Join([]string{r.Method, r.Host, r.URL.String(), r.Header.Get("canary"), r.Header.Get("X-Key"), r.UserAgent()}, " ")]++
		return proxy.Answer(302, "", "Location", "/login")
	})
	s := e.source(t, metric.Question{}, probe.Options{Path: "/health?deep=1", Method: "HEAD", Headers: map[string]variables.Value{
		"Host": variables.NewValue("shop.example.com"), "X-Key": variables.NewValue("k"),
	}})
	r, err := s.Read(t.Context())
	if err != nil || r.Codes[green]["302"] != 1 || r.Slots[green].Failed != 0 {
		t.Errorf("it gave %+v, %v", r, err)
	}
	want := map[string]int{"HEAD shop.example.com /health?deep=1 always k sluice-probe": 1, "HEAD shop.example.com /health?deep=1  k sluice-probe": 1}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

// A candidate that does not answer has failed as long as the live slot shows that the way is open.
func TestNoAnswerFromCandidate(t *testing.T) {
	for name, f := range map[string]func(e *entry) http.HandlerFunc{
		"broken": func(*entry) http.HandlerFunc { return proxy.Reset }, "half": func(*entry) http.HandlerFunc { return proxy.Cut("x") },
		"hanging": func(e *entry) http.HandlerFunc { return e.Hang },
	} {
		t.Run(name, func(t *testing.T) {
			e := newEntry(t)
			e.Fault(func(_ int, r *http.Request) http.HandlerFunc {
				if r.Header.Get("canary") == "" {
					return nil
				}
				return f(e)
			})
			s := e.source(t, metric.Question{SlowerThan: 10 * time.Millisecond}, probe.Options{Timeout: 300 * time.Millisecond})
			r, err := s.Read(t.Context())
			c := r.Slots[green]
			if err != nil || c.Requests != 1 || c.Failed != 1 || r.Codes[green]["none"] != 1 || (c.Slow == 1) != (name == "hanging") && name == "hanging" {
				t.Errorf("it gave %+v, %v", r, err)
			}
			if live := r.Slots[blue]; live.Requests != 1 || live.Failed != 0 {
				t.Errorf("live has %+v", live)
			}
		})
	}
}

// Without a header everything goes to the candidate; there is nobody to compare with.
func TestWithoutHeader(t *testing.T) {
	e := newEntry(t)
	subject := e.subject()
	subject.Header = v1alpha1.Header{}
	s, err := probe.New(subject, metric.Question{}, probe.Options{Now: e.Now})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Read(t.Context())
	if err != nil || r.Slots[green].Requests != 1 || r.Slots[blue].Requests != 0 || len(e.Seen()) != 1 {
		t.Errorf("it gave %+v, %v after %v", r, err, e.Seen())
	}
}

func TestDown(t *testing.T) {
	e := newEntry(t)
	s, err := probe.New(metric.Subject{
		Service: "shop", Environment: "prod", Candidate: green, Entry: "http://user:pass@" + e.Server.Listener.Addr().String(),
	}, metric.Question{}, probe.Options{Path: "/?key=s3cret", Now: e.Now})
	if err != nil {
		t.Fatal(err)
	}
	e.Always(proxy.Reset)
	_, err = s.Read(t.Context())
	text := err.Error() + fault.HintOf(err)
	if !errors.Is(err, metric.ErrDown) || !strings.Contains(text, "none of 1 requests") || strings.Contains(text, "s3cret") || strings.Contains(text, "pass@") {
		t.Errorf("it says %s", text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	e.move(time.Second)
	e.Always(func(w http.ResponseWriter, r *http.Request) { cancel(); e.Hang(w, r) })
	if _, err := s.Read(ctx); !fault.Is(err, fault.Interrupted) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestUsage(t *testing.T) {
	e := newEntry(t)
	for name, test := range map[string]struct {
		entry string
		q     metric.Question
		o     probe.Options
	}{
		"no entry":          {"", metric.Question{}, probe.Options{}},
		"no URL":            {"shop.example.com", metric.Question{}, probe.Options{}},
		"POST":              {e.Server.URL, metric.Question{}, probe.Options{Method: "POST"}},
		"too many":          {e.Server.URL, metric.Question{}, probe.Options{Rate: 51}},
		"fewer than none":   {e.Server.URL, metric.Question{}, probe.Options{Rate: -1}},
		"too little time":   {e.Server.URL, metric.Question{SlowerThan: time.Minute}, probe.Options{}},
		"no class of codes": {e.Server.URL, metric.Question{Failed: []string{"bad"}}, probe.Options{}},
	} {
		_, err := probe.New(metric.Subject{Service: "shop", Environment: "prod", Candidate: green, Entry: test.entry}, test.q, test.o)
		if !fault.Is(err, fault.Usage) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
