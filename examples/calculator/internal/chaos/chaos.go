// Package chaos breaks a service on purpose, as its switches say; with all switches off it must not change anything.
package chaos

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/examples/calculator/internal/api"
	"github.com/sluice-dev/sluice/examples/calculator/internal/env"
)

// Faults are the switches. The zero value breaks nothing.
type Faults struct {
	FailureRate float64       // share of business requests answered with 500, from 0 to 1
	Delay       time.Duration // how long a delayed business request waits
	DelayRate   float64       // share of business requests that are delayed, from 0 to 1
	WrongBody   bool          // every answer is a 200 with wrong factors
	BugAt19     bool          // only answers with the factor 19 are wrong: a 200 that lacks it
	Crash       time.Duration // exit with code 1 this long after the start; 0 never
	NeverReady  bool          // readiness stays false
	Memory      int           // MiB to allocate at the start
}

// FromEnv reads the switches; problems stay in the reader.
func FromEnv(r *env.Reader) Faults {
	return Faults{
		FailureRate: r.Share("FAULT_FAILURE_RATE", 0),
		Delay:       r.Duration("FAULT_DELAY", 0),
		DelayRate:   r.Share("FAULT_DELAY_RATE", 1),
		WrongBody:   r.Bool("FAULT_WRONG_BODY", false),
		BugAt19:     r.Bool("FAULT_BUG_AT_19", false),
		Crash:       r.Duration("FAULT_CRASH", 0),
		NeverReady:  r.Bool("FAULT_NEVER_READY", false),
		Memory:      r.Count("FAULT_MEMORY", 0),
	}
}

// Injector applies the switches to a running service.
type Injector struct {
	Faults Faults
	Random func() float64                       // uniform in [0, 1)
	After  func(time.Duration) <-chan time.Time // time.After but in tests
	Exit   func(code int)                       // os.Exit but in tests
	Log    *slog.Logger
}

// Handler delays and fails its share of the requests. Wrap business handlers only: probes stay honest.
func (i *Injector) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.Faults.Delay > 0 && i.hit(i.Faults.DelayRate) {
			select {
			case <-i.After(i.Faults.Delay):
			case <-r.Context().Done():
				return // the caller has gone
			}
		}
		if i.hit(i.Faults.FailureRate) {
			api.Write(w, http.StatusInternalServerError, api.Problem{Error: "failing on purpose (failureRate)"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hit is true for the given share of its calls: never at 0, always at 1.
func (i *Injector) hit(share float64) bool { return share > 0 && i.Random() < share }

// Factors returns the factors as the switches want them to be told.
func (i *Injector) Factors(right []uint64) []uint64 {
	switch {
	case i.Faults.WrongBody && len(right) == 0:
		return []uint64{2}
	case i.Faults.WrongBody:
		wrong := slices.Clone(right)
		wrong[len(wrong)-1] += 2
		return wrong
	case i.Faults.BugAt19:
		return slices.DeleteFunc(slices.Clone(right), func(f uint64) bool { return f == 19 })
	default:
		return right
	}
}

// Start allocates the memory and returns it (keep it reachable), and arms the crash, which ctx disarms.
func (i *Injector) Start(ctx context.Context) [][]byte {
	if i.Faults.Crash > 0 {
		i.Log.Warn("will crash on purpose", "after", i.Faults.Crash.String())
		go i.crash(ctx)
	}
	if i.Faults.Memory > 0 {
		i.Log.Warn("allocating memory on purpose", "MiB", i.Faults.Memory)
	}
	return ballast(i.Faults.Memory)
}

func (i *Injector) crash(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-i.After(i.Faults.Crash):
		i.Log.Error("crashing on purpose", "after", i.Faults.Crash.String())
		i.Exit(1)
	}
}

// ballast allocates and touches memory: a page that nobody wrote to costs nothing and would never reach the limit.
func ballast(mebibytes int) [][]byte {
	const mebibyte, page = 1 << 20, 4096
	var blocks [][]byte
	for range mebibytes {
		block := make([]byte, mebibyte)
		for at := 0; at < len(block); at += page {
			block[at] = 1
		}
		blocks = append(blocks, block)
	}
	return blocks
}
