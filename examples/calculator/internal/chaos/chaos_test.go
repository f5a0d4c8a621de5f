package chaos

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/examples/calculator/internal/env"
)

// injector has a fake clock that is always due, and chance that always says the given value.
func injector(f Faults, random float64) *Injector {
	return &Injector{
		Faults: f,
		Random: func() float64 { return random },
		After: func(time.Duration) <-chan time.Time {
			due := make(chan time.Time, 1)
			due <- time.Time{}
			return due
		},
		Exit: func(int) {},
		Log:  slog.New(slog.DiscardHandler),
	}
}

func TestFromEnv(t *testing.T) {
	vars := map[string]string{
		"FAULT_FAILURE_RATE": "0.2", "FAULT_DELAY": "800ms", "FAULT_DELAY_RATE": "0.5", "FAULT_WRONG_BODY": "true",
		"FAULT_BUG_AT_19": "true", "FAULT_CRASH": "3", "FAULT_NEVER_READY": "true", "FAULT_MEMORY": "64",
	}
	for _, tt := range []struct {
		name string
		vars map[string]string
		want Faults
	}{
		{"all off by default", nil, Faults{DelayRate: 1}},
		{"all on", vars, Faults{
			FailureRate: 0.2, Delay: 800 * time.Millisecond, DelayRate: 0.5, WrongBody: true, BugAt19: true,
			Crash: 3 * time.Second, NeverReady: true, Memory: 64,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := env.NewReader(func(name string) string { return tt.vars[name] })
			got := FromEnv(r)
			if diff := cmp.Diff(tt.want, got); diff != "" || r.Err() != nil {
				t.Errorf("FromEnv (-want +got), err %v:\n%s", r.Err(), diff)
			}
		})
	}
}

func TestFailureRate(t *testing.T) {
	for _, tt := range []struct {
		name         string
		rate, random float64
		want         int
	}{
		{"off", 0, 0, 200},
		{"hit", 0.2, 0.19, 500},
		{"miss", 0.2, 0.2, 200},
		{"always", 1, 0.999, 500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) })
			injector(Faults{FailureRate: tt.rate}, tt.random).Handler(ok).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
			if rec.Code != tt.want {
				t.Errorf("status %d, want %d", rec.Code, tt.want)
			}
		})
	}
}

func TestDelay(t *testing.T) {
	for _, tt := range []struct {
		name   string
		faults Faults
		random float64
		want   []time.Duration
	}{
		{"off", Faults{DelayRate: 1}, 0, nil},
		{"hit", Faults{Delay: time.Second, DelayRate: 0.5}, 0.4, []time.Duration{time.Second}},
		{"miss", Faults{Delay: time.Second, DelayRate: 0.5}, 0.6, nil},
		{"no share", Faults{Delay: time.Second}, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := injector(tt.faults, tt.random)
			due := i.After
			var waited []time.Duration
			i.After = func(d time.Duration) <-chan time.Time {
				waited = append(waited, d)
				return due(d)
			}
			rec := httptest.NewRecorder()
			ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
			i.Handler(ok).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
			if rec.Code != 204 || !slices.Equal(waited, tt.want) {
				t.Errorf("status %d, waited %v; want 204, %v", rec.Code, waited, tt.want)
			}
		})
	}
}

func TestDelayEndsWithTheCaller(t *testing.T) {
	i := injector(Faults{Delay: time.Hour, DelayRate: 1}, 0)
	i.After = func(time.Duration) <-chan time.Time { return nil } // never due
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	served := false
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true })
	i.Handler(next).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/", nil))
	if served {
		t.Error("a request whose caller has gone was served after its delay")
	}
}

func TestFactors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		faults Faults
		right  []uint64
		want   []uint64
	}{
		{"off", Faults{}, []uint64{13, 17}, []uint64{13, 17}},
		{"wrong body", Faults{WrongBody: true}, []uint64{13, 17}, []uint64{13, 19}},
		{"wrong body of 1", Faults{WrongBody: true}, []uint64{}, []uint64{2}},
		{"bug at 19", Faults{BugAt19: true}, []uint64{17, 19}, []uint64{17}},
		{"bug at 19, twice", Faults{BugAt19: true}, []uint64{19, 19}, []uint64{}},
		{"bug at 19, unseen", Faults{BugAt19: true}, []uint64{13, 17}, []uint64{13, 17}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.right)
			got := injector(tt.faults, 0).Factors(tt.right)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !slices.Equal(before, tt.right) {
				t.Errorf("the caller's slice was changed to %v", tt.right)
			}
		})
	}
}

func TestCrash(t *testing.T) {
	i := injector(Faults{Crash: time.Second}, 0)
	exits := make(chan int, 1)
	i.Exit = func(code int) { exits <- code }
	i.Start(t.Context())
	if code := <-exits; code != 1 {
		t.Errorf("crashed with code %d, want 1", code)
	}
}

func TestCrashIsDisarmedByShutdown(t *testing.T) {
	i := injector(Faults{Crash: time.Second}, 0)
	i.After = func(time.Duration) <-chan time.Time { return nil } // never due
	i.Exit = func(int) { t.Error("crashed although it was shut down first") }
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	i.crash(ctx) // returns: would hang if shutdown did not disarm it
}

func TestMemory(t *testing.T) {
	blocks := injector(Faults{Memory: 3}, 0).Start(t.Context())
	size := 0
	for _, block := range blocks {
		size += len(block)
		if block[0] != 1 || block[4096] != 1 {
			t.Error("a page was not touched: it would not count as used")
		}
	}
	if size != 3<<20 {
		t.Errorf("allocated %d bytes, want 3 MiB", size)
	}
	if blocks := injector(Faults{}, 0).Start(t.Context()); blocks != nil {
		t.Errorf("allocated %d blocks with the switch off", len(blocks))
	}
}
