package variables_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/variables"
)

// hasty lets no time pass, and notes how much would have.
type hasty struct {
	pauses []time.Duration
	err    error
}

func (h *hasty) Now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func (h *hasty) Wait(_ context.Context, d time.Duration) error {
	h.pauses = append(h.pauses, d)
	return h.err
}

func TestPatiently(t *testing.T) {
	busy := func(after time.Duration) error { return &variables.Later{After: after, Err: errors.New("busy")} }
	const half, second = 500 * time.Millisecond, time.Second
	for name, c := range map[string]struct {
		answers []error
		pauses  []time.Duration
		err     string
	}{
		"an answer":                   {[]error{nil}, nil, ""},
		"an answer after two pauses":  {[]error{busy(0), busy(0), nil}, []time.Duration{half, second}, ""},
		"the server says how long":    {[]error{busy(7 * second), busy(0), nil}, []time.Duration{7 * second, second}, ""},
		"a refusal is not repeated":   {[]error{errors.New("no")}, nil, "no"},
		"no answer at all":            {[]error{busy(0), busy(0), busy(0), busy(0)}, []time.Duration{half, second, 2 * second}, "busy (asked 4 times)"},
		"longer than anybody's wait":  {[]error{busy(time.Hour)}, nil, "busy; it asks to come back in 1h0m0s"},
		"a refusal after an attempt":  {[]error{busy(0), errors.New("no")}, []time.Duration{half}, "no"},
		"sooner than the first pause": {[]error{busy(time.Millisecond), nil}, []time.Duration{half}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			clock, asked := &hasty{}, 0
			err := variables.Patiently(t.Context(), clock, func(context.Context) error { asked++; return c.answers[asked-1] })
			if asked != len(c.answers) || !slices.Equal(clock.pauses, c.pauses) {
				t.Errorf("asked %d times, with pauses %v", asked, clock.pauses)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

func TestPatienceEndsWithTheContext(t *testing.T) {
	clock := &hasty{err: context.Canceled}
	err := variables.Patiently(t.Context(), clock, func(context.Context) error { return &variables.Later{Err: errors.New("busy")} })
	if !errors.Is(err, context.Canceled) || len(clock.pauses) != 1 {
		t.Errorf("it ended with %v after %v", err, clock.pauses)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (variables.SystemClock{}).Wait(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("the wait ended with %v", err)
	}
	if err := (variables.SystemClock{}).Wait(t.Context(), time.Nanosecond); err != nil {
		t.Errorf("the wait ended with %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-3": 0, "soon": 0, "99999999999999999999": 0,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:00:00 GMT": 0,
	} {
		if got := variables.RetryAfter(header, now); got != want {
			t.Errorf("%q is %s, and not %s", header, got, want)
		}
	}
}
