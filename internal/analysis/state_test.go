package analysis_test

import (
	"encoding/json"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/metric"
)

// resumed is what a process that was killed after each read goes on with.
func resumed(t testing.TB, a *analysis.Analysis) *analysis.Analysis {
	t.Helper()
	var b analysis.Analysis
	if err := json.Unmarshal([]byte(encode(t, a)), &b); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestAResumedAnalysisDecidesTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		once, often := begin(t, 0.02), begin(t, 0.02)
		f := feed{}
		for second := range 200 {
			c, l := n(random.Uint64N(20), 0), n(random.Uint64N(90), 0)
			c.Failed, l.Failed = random.Uint64N(c.Requests/8+1), random.Uint64N(l.Requests/30+1)
			read := f.read(c, l)
			read.Alone = second > 150
			if a, b := once.Look(read), often.Look(read); a != b {
				t.Fatalf("%s and %s", a, b)
			}
			often = resumed(t, often)
		}
		if diff := cmp.Diff(once.Report(), often.Report()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTheStateIsSmallHoweverLongItLasts(t *testing.T) {
	f := &feed{a: begin(t, 0.01)}
	for range 5000 {
		f.a.Look(f.read(&metric.Counters{Requests: 1e15 + 3, Failed: 7, Slow: 1e14}, &metric.Counters{Requests: 1e15 + 1, Failed: 9, Slow: 1e14}))
	}
	if got := len(encode(t, f.a)); got > 4000 {
		t.Errorf("%d bytes", got)
	}
}

func TestAForgedStateIsRefused(t *testing.T) {
	f := &feed{a: begin(t, 0.01)}
	f.run(10, n(10, 1), n(90, 1))
	good := encode(t, f.a)
	for _, c := range []struct{ from, to, want string }{
		{`"version":2`, `"version":1`, "has version 1"},
		{`"spent":0.95`, `"spent":-5`, "bet"},
		{`"parts":[`, `"parts":[-1,`, "money"},
		{`"parts":[`, `"parts":[0,0,0,0,0,0,0,0,`, "money"},
		{`"requests":9`, `"requests":-9`, "cannot be"},
		{`"falseAbort":0.001`, `"falseAbort":7`, "falseAbort is 7"},
		{`"questions":[{"history"`, `"questions":[{},{"history"`, "2"},
		{`{`, ``, "cannot be read"},
	} {
		text := strings.Replace(good, c.from, c.to, 1)
		if c.want == "cannot be" {
			text = strings.Replace(good, `"history":{"requests":`, `"history":{"requests":-`, 1)
		}
		if text == good {
			t.Fatalf("%s is not in %s", c.from, good)
		}
		var a analysis.Analysis
		if err := a.UnmarshalJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.to, err)
		}
	}
}

// FuzzLook reads whatever there is, and resumes after each read.
func FuzzLook(f *testing.F) {
	f.Add(uint64(1), uint64(0), uint64(9), uint64(0), uint8(1), uint64(3))
	f.Add(^uint64(0), ^uint64(0), uint64(0), ^uint64(0), uint8(7), uint64(9))
	f.Add(uint64(40), uint64(2), uint64(160), uint64(1), uint8(16), uint64(5))
	f.Add(uint64(900), uint64(300), uint64(3000), uint64(900), uint8(17), uint64(6))
	f.Add(uint64(7), uint64(8), ^uint64(0)/39, uint64(1), uint8(31), uint64(7))
	f.Fuzz(func(t *testing.T, cn, cx, ln, lx uint64, flags uint8, seed uint64) {
		a := begin(t, 0.01)
		random := rand.New(rand.NewPCG(seed, seed))
		at := time.Unix(1000, 0)
		for i := range 40 {
			at = at.Add(time.Duration(random.IntN(4)-1) * time.Second)
			r := analysis.Read{At: at, Alone: flags&1 > 0 && i > 20, Down: flags&2 > 0 && i%5 == 0}
			if flags&16 > 0 {
				r.Since = time.Unix(900+int64(i)/7, 0)
			}
			if flags&4 == 0 || i%3 > 0 {
				r.Candidate = &metric.Counters{Requests: cn * uint64(i), Failed: cx * uint64(i), Slow: cx / 2}
			}
			if flags&8 == 0 || i%4 > 0 {
				r.Live = &metric.Counters{Requests: ln * uint64(i), Failed: lx * uint64(i), Slow: random.Uint64()}
			}
			d := a.Look(r)
			report := a.Report()
			if d != report.Decision || report.Sentence == "" {
				t.Fatalf("%s, then %+v", d, report)
			}
			if d != analysis.More && report.Answers[0].Candidate.Requests == 0 {
				t.Fatalf("%s from nothing", d)
			}
			a = resumed(t, a)
		}
	})
}

func BenchmarkLook(b *testing.B) {
	const concurrent = 2000
	var all []*feed
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range concurrent {
		f := &feed{a: begin(b, 0.01)}
		f.run(60, nil, n(160, 1))
		all = append(all, f)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		f := all[i%concurrent]
		f.a.Look(f.read(n(40, 0), n(160, 1)))
		i++
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/concurrent, "heap-B/analysis")
	b.ReportMetric(float64(len(encode(b, all[0].a))), "json-B/analysis")
}
