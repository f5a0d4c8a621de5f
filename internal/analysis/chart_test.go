package analysis_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/metric"
)

func TestCourseLines(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	for name, c := range map[string]struct {
		bad  analysis.Counted
		feed func(add func(second int, candidate, live *metric.Counters))
		want string
	}{
		"nothing":    {feed: func(func(int, *metric.Counters, *metric.Counters)) {}},
		"no request": {feed: func(add func(int, *metric.Counters, *metric.Counters)) { add(0, n(0, 0), n(0, 0)) }},
		"worse and worse": {
			feed: func(add func(int, *metric.Counters, *metric.Counters)) {
				for i := range 8 {
					add(i, n(100, uint64(i)), n(1000, 6))
				}
			},
			want: `
candidate ▁▂▃▄▅▆▇█  up to 7 % bad
live      ▂▂▂▂▂▂▂▂  up to 0.6 % bad
          8 s, one mark is 1 s, █ is 7 %`,
		},
		"the candidate comes later, and with a pause": {
			feed: func(add func(int, *metric.Counters, *metric.Counters)) {
				add(0, n(0, 0), n(100, 0))
				add(1, n(0, 0), n(100, 0))
				add(2, n(10, 1), n(90, 0))
				add(4, n(10, 0), n(90, 0))
			},
			want: `
candidate   █ ▁  up to 10 % bad
live      ▁▁▁ ▁  none bad
          5 s, one mark is 1 s, █ is 10 %`,
		},
		"first installation, all well": {
			feed: func(add func(int, *metric.Counters, *metric.Counters)) {
				add(0, n(5, 0), n(0, 0))
				add(2, n(5, 0), n(0, 0))
			},
			want: `
candidate ▁ ▁  none bad
live           no request
          3 s, one mark is 1 s`,
		},
		"slow ones": {
			bad: analysis.Slow,
			feed: func(add func(int, *metric.Counters, *metric.Counters)) {
				add(0, &metric.Counters{Requests: 10, Failed: 10, Slow: 5}, &metric.Counters{Requests: 10, Failed: 10})
			},
			want: `
candidate █  up to 50 % bad
live      ▁  none bad
          1 s, one mark is 1 s, █ is 50 %`,
		},
		"three minutes and a half": {
			feed: func(add func(int, *metric.Counters, *metric.Counters)) {
				for i := range 210 {
					add(i, n(10, uint64(i/105)), n(10, 0))
				}
			},
			want: `
candidate ▁▁▁▁▁▁▁▁▁▁▁▁▁██████████████  up to 10 % bad
live      ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  none bad
          3 min 36 s, one mark is 8 s, █ is 10 %`,
		},
	} {
		course := analysis.Course{Bad: c.bad}
		c.feed(func(second int, candidate, live *metric.Counters) {
			course.Add(start.Add(time.Duration(second)*time.Second), *candidate, *live)
		})
		if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), strings.Join(course.Lines(80), "\n")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Whatever comes, nothing is lost, the size is bounded, and the chart fits.
func TestACourseOfAnyLength(t *testing.T) {
	for _, every := range []time.Duration{time.Millisecond, time.Second, 7 * time.Second, time.Hour, 5000 * time.Hour} {
		course := analysis.Course{}
		at := time.Unix(1_000_000, 0)
		for i := range 5000 {
			course.Add(at, *n(3, 1), *n(7, 0))
			at = at.Add(every)
			if i%900 == 0 {
				again, text := analysis.Course{}, encoded(t, course)
				if err := json.Unmarshal([]byte(text), &again); err != nil || encoded(t, again) != text || len(text) > 4000 {
					t.Fatalf("%v: %v: %d bytes: %s", every, err, len(text), text)
				}
				course = again
			}
			for _, width := range []int{0, 40, 80, 200} {
				for _, l := range course.Lines(width) {
					if got := utf8.RuneCountInString(l); got > max(width, 70) {
						t.Fatalf("%v: %d columns of %d: %s", every, got, width, l)
					}
				}
			}
		}
		// Before the first, and as far away as a time can be.
		course.Add(time.Unix(1, 0), *n(3, 9), *n(7, 0))
		course.Add(time.Unix(math.MaxInt32*1000, 0), *n(3, 1), *n(7, 0))
		var kept struct {
			Buckets []struct{ N, X, LN, LX uint64 } `json:"buckets"`
		}
		if err := json.Unmarshal([]byte(encoded(t, course)), &kept); err != nil {
			t.Fatal(err)
		}
		var sum [4]uint64
		for _, b := range kept.Buckets {
			sum = [4]uint64{sum[0] + b.N, sum[1] + b.X, sum[2] + b.LN, sum[3] + b.LX}
		}
		if want := [4]uint64{3 * 5002, 5001 + 3, 7 * 5002, 0}; sum != want || len(kept.Buckets) > 60 {
			t.Errorf("%v: %v in %d stretches, want %v", every, sum, len(kept.Buckets), want)
		}
	}
}

func TestAForgedCourseIsRefused(t *testing.T) {
	for _, text := range []string{
		`7`,
		`{"step":1000000000,"buckets":[{"n":1,"x":2}]}`,
		`{"step":1000000000,"buckets":[{"ln":-1}]}`,
		`{"step":0,"buckets":[{"n":1}]}`,
		`{"step":-1000000000,"buckets":[{"n":1}]}`,
		`{"step":1000000000,"buckets":[` + strings.Repeat("{},", 60) + `{}]}`,
	} {
		if err := json.Unmarshal([]byte(text), new(analysis.Course)); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

func encoded(t *testing.T, c analysis.Course) string {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAnswerLine(t *testing.T) {
	for want, a := range map[string]analysis.Answer{
		"errors: candidate 5.1 % of 412 (2.5–9 %), live 0.48 % of 1 650 (0.19–1 %)": {Question: "errors",
			Candidate: analysis.Rate{Requests: 412, Bad: 21, Low: 0.025, High: 0.09}, Live: analysis.Rate{Requests: 1650, Bad: 8, Low: 0.0019, High: 0.01}},
		"errors: candidate no request, live no request":                   {Question: "errors", Candidate: analysis.Rate{High: 1}},
		"slowness: candidate 0 % of 3 (0–80 %), live no request, 1 % may": {Question: "slowness", Max: 0.01, Candidate: analysis.Rate{Requests: 3, High: 0.8}},
	} {
		if got := a.Line(); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}
