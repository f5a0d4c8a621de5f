package metric_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
)

func TestCount(t *testing.T) {
	for number, want := range map[float64]uint64{0: 0, 1: 1, 1 << 53: 1 << 53, math.Copysign(0, -1): 0} {
		if got, err := metric.Count(number); err != nil || got != want {
			t.Errorf("%v is %d, %v", number, got, err)
		}
	}
	for _, number := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 0.5, 1<<53 + 2, 1e300} {
		if got, err := metric.Count(number); err == nil {
			t.Errorf("%v is %d", number, got)
		}
	}
}

func TestFollow(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	type counts = map[string]uint64
	type step struct {
		name  string
		born  time.Duration // after the beginning; -1: it does not say
		now   counts
		grown counts
	}
	for name, steps := range map[string][]step{
		"a new process begins where it is found": {{"a", 0, counts{"x": 100}, nil}, {"a", 0, counts{"x": 103}, counts{"x": 3}}, {"b", 0, counts{"x": 50}, nil}},
		"a new counter began at zero":            {{"a", 0, counts{}, nil}, {"a", 0, counts{"x": 7}, counts{"x": 7}}},
		"a counter that vanished":                {{"a", 0, counts{"x": 7}, nil}, {"a", 0, counts{}, counts{}}, {"a", 0, counts{"x": 9}, counts{"x": 9}}},
		"a counter that fell":                    {{"a", -1, counts{"x": 7, "y": 7}, nil}, {"a", -1, counts{"x": 5, "y": 8}, counts{"x": 5, "y": 1}}},
		"a restart with higher counters":         {{"a", 0, counts{"x": 7}, nil}, {"a", time.Minute, counts{"x": 9}, counts{"x": 9}}},
		"an age that is rounded":                 {{"a", 0, counts{"x": 7}, nil}, {"a", time.Second, counts{"x": 9}, counts{"x": 2}}, {"a", 2900 * time.Millisecond, counts{"x": 10}, counts{"x": 1}}, {"a", -2 * time.Second, counts{"x": 11}, counts{"x": 1}}},
		"a process that says so late":            {{"a", -1, counts{"x": 7}, nil}, {"a", 0, counts{"x": 9}, counts{"x": 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			var f metric.Follower[string]
			for i, s := range steps {
				born := began.Add(s.born)
				if s.born == -1 {
					born = time.Time{}
				}
				if f.Knows(s.name) != (i > 0 && s.name == steps[0].name) {
					t.Errorf("step %d: it knows %v", i, f.Knows(s.name))
				}
				grown, err := f.Follow(s.name, born, s.now)
				if diff := cmp.Diff(s.grown, grown); diff != "" || err != nil {
					t.Errorf("step %d: %s %v", i, diff, err)
				}
			}
		})
	}
	var f metric.Follower[string]
	for i, born := range []time.Duration{0, time.Hour, 0} {
		_, err := f.Follow("a", began.Add(born), counts{"x": 1})
		if (err != nil) != (i == 2) {
			t.Errorf("two processes under one name, step %d: %v", i, err)
		}
	}
	f.Keep(map[string]bool{"b": true})
	if f.Knows("a") {
		t.Error("it knows what was not kept")
	}
}

func TestTally(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tally := metric.NewTally(now, []v1alpha1.Slot{"blue", "green"})
	tally.Add("green", "200", 3, false)
	tally.Add("green", "503", 1, true)
	tally.AddSlow("green", 9)
	first := tally.Reading(now.Add(time.Second))
	want := metric.Reading{Since: now, At: now.Add(time.Second), Slots: map[v1alpha1.Slot]metric.Counters{
		"blue": {}, "green": {Requests: 4, Failed: 1, Slow: 4},
	}, Codes: map[v1alpha1.Slot]map[string]uint64{"green": {"200": 3, "503": 1}}}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Error(diff)
	}
	tally.Add("green", "200", 1, false)
	if again := tally.Reading(now.Add(-time.Hour)); !again.At.Equal(first.At) || again.Slots["green"].Slow != 5 || first.Codes["green"]["200"] != 3 {
		t.Errorf("%+v after %+v", again, first)
	}
}

func TestQuestion(t *testing.T) {
	for _, test := range []struct {
		failed []string
		code   string
		want   bool
	}{
		{nil, "500", true}, {nil, "599", true}, {nil, "5xx", true}, {nil, "404", false}, {nil, "0", false}, {nil, "", false}, {nil, "5000", false},
		{[]string{"429"}, "429", true}, {[]string{"429"}, "500", false}, {[]string{"429"}, "4xx", false}, {[]string{"4xx"}, "404", true}, {[]string{"4xx"}, "4xx", true},
	} {
		if got := (metric.Question{Failed: test.failed}).Fails(test.code); got != test.want {
			t.Errorf("of %v, %s fails: %v", test.failed, test.code, got)
		}
	}
	for _, good := range []string{"5xx", "429", "404"} {
		if err := (metric.Question{Failed: []string{good}}).Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "5x", "50x", "xxx", "600", "000", "5xxx", "abc", "-50"} {
		if err := (metric.Question{Failed: []string{bad}}).Validate(); !fault.Is(err, fault.Usage) || fault.HintOf(err) == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestCondition(t *testing.T) {
	for text, want := range map[string]map[float64]bool{
		"< 0.01": {0: true, 0.01: false, math.NaN(): false}, "<=0.01": {0.01: true, 0.02: false}, " > 5 ": {6: true, 5: false},
		">= 5": {5: true, 4: false}, "== 1": {1: true, 2: false}, "!= 1e3": {1000: false, 1: true, math.NaN(): false},
	} {
		c, err := metric.ParseCondition(text)
		if err != nil {
			t.Error(err)
			continue
		}
		for number, holds := range want {
			if c.Holds(number) != holds {
				t.Errorf("%v %s: %v", number, c, !holds)
			}
		}
		if again, err := metric.ParseCondition(c.String()); err != nil || again != c {
			t.Errorf("%q is read as %v, %v", c.String(), again, err)
		}
	}
	for _, text := range []string{"", "0.01", "<", "< x", "<> 1", "< NaN", "< Inf", "=< 1", "< 1 2"} {
		if c, err := metric.ParseCondition(text); !fault.Is(err, fault.Usage) || fault.HintOf(err) == "" {
			t.Errorf("%q is %v, %v", text, c, err)
		}
	}
}

func TestTurn(t *testing.T) {
	turn := metric.NewTurn()
	ctx, cancel := context.WithCancel(t.Context())
	if err := turn.Take(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := turn.Take(ctx); !fault.Is(err, fault.Interrupted) || errors.Is(err, metric.ErrDown) {
		t.Errorf("who waits too long: %v", err)
	}
	turn.Give()
	if err := turn.Take(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSlots(t *testing.T) {
	for want, s := range map[int]metric.Subject{0: {}, 1: {Candidate: "blue"}, 2: {Live: "green", Candidate: "blue"}} {
		if got := s.Slots(); len(got) != want {
			t.Errorf("%+v has %v", s, got)
		}
	}
	if got := (metric.Subject{Live: "direct", Candidate: "direct"}).Slots(); len(got) != 1 {
		t.Errorf("one slot is %v", got)
	}
}
