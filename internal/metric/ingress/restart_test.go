//go:build e2e

package ingress_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/guard"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/metric/ingress"
	"github.com/sluice-dev/sluice/test/load"
	"github.com/sluice-dev/sluice/test/traefik"
)

// noise is which request of each slot fails: 0.5 %.
const noise = 200

// watched are two slots behind a Traefik of the test's own, with users, and with the guard that looks at what this Traefik counts.
type watched struct {
	*place
	guard.Sources // what the guard is not to ask
	traefik       *traefik.Process
	users         *load.Stream
	guard         *guard.Guard
	scene         guard.Scene
	source        metric.Source
	gap           time.Duration
	// sick says that the candidate may be taken back.
	sick bool
	// ended is what had been read when Traefik ended, begun what the slots had served when it was back.
	ended map[v1alpha1.Slot]metric.Counters
	begun map[v1alpha1.Slot]metric.Counters
	// waited are answers that users waited for longer than the limit.
	waited uint64

	mu   sync.Mutex
	last metric.Reading
}

func newWatched(t *testing.T, kind v1alpha1.Router, gap time.Duration) *watched {
	t.Helper()
	w := &watched{place: newPlace(t, kind), gap: gap}
	var err error
	if w.traefik, err = traefik.New(t.Context(), traefik.Options{Bin: "../../../bin/sluice", Dir: t.TempDir(), Log: t.Output()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.traefik.Close)
	finder, err := ingress.URLs(nil, w.traefik.Metrics)
	if err != nil {
		t.Fatal(err)
	}
	w.scene = guard.Scene{Subject: w.subject(), Number: 1, Step: 1, Weight: 50, Spec: v1alpha1.Analysis{
		Errors: &v1alpha1.ErrorsQuestion{}, Slower: &v1alpha1.SlowerQuestion{Than: v1alpha1.Duration(500 * time.Millisecond)},
	}}
	if w.source, err = ingress.New(ingress.Options{Finder: finder}).Source(w.subject(), guard.QuestionOf(w.scene.Spec), nil); err != nil {
		t.Fatal(err)
	}
	w.guard = guard.New(guard.Options{Sources: w})
	w.shift(v1alpha1.Between(blue, green, 50))
	for _, s := range w.slots {
		s.every.Store(noise)
	}
	if _, err := w.Read(t.Context()); !errors.Is(err, metric.ErrNoData) {
		t.Fatalf("before any request: %v", err)
	}
	w.begun = w.served()
	w.scene.Since = time.Now()
	w.come(50)
	t.Cleanup(func() { w.users.Stop() })
	return w
}

// Requests implements guard.Sources.
func (w *watched) Requests(metric.Subject, v1alpha1.Analysis) (guard.Feed, error) {
	return guard.Feed{Source: w, Every: ingress.Interval, Gap: w.gap}, nil
}

// Read reads the source, and checks what it says against what the slots know.
func (w *watched) Read(ctx context.Context) (metric.Reading, error) {
	r, err := w.source.Read(ctx)
	if err != nil {
		return r, err
	}
	served := w.served()
	w.mu.Lock()
	defer w.mu.Unlock()
	for slot, is := range r.Slots {
		was, most := w.last.Slots[slot], served[slot]
		if is.Requests > most.Requests || is.Failed > most.Failed {
			w.t.Errorf("%s answered %+v, and %+v is counted", slot, most, is)
		}
		if is.Requests < was.Requests || is.Failed < was.Failed || is.Slow < was.Slow {
			w.t.Errorf("%s: %+v was counted, and now %+v is", slot, was, is)
		}
	}
	if !w.last.Since.IsZero() && !r.Since.Equal(w.last.Since) {
		w.t.Errorf("it counts since %s, and did since %s", r.Since, w.last.Since)
	}
	w.last = r
	return r, nil
}

// reading is the last one.
func (w *watched) reading() metric.Reading {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// served is what the slots know.
func (w *watched) served() map[v1alpha1.Slot]metric.Counters {
	all := map[v1alpha1.Slot]metric.Counters{}
	for slot, s := range w.slots {
		failed := uint64(s.failed.Load()) // before the requests that it is a part of
		all[slot] = metric.Counters{Requests: uint64(s.served.Load()), Failed: failed}
	}
	return all
}

// come lets users come in, through the Traefik of the test.
func (w *watched) come(rate int) {
	w.users = load.Start(context.Background(), load.Options{
		URL: "http://" + w.host + ":" + setting("SLUICE_E2E_PORT", defaultPort) + "/", Address: w.traefik.Address, Rate: rate,
		Good: func(int, []byte) bool { return true }, // whatever was answered
	})
}

// look lets a second pass, as whoever drives a rollout does, and looks. A healthy candidate must never be taken back, and nothing may be
// known of it that was not read.
func (w *watched) look() v1alpha1.Judgement {
	w.t.Helper()
	time.Sleep(ingress.Interval)
	j := w.guard.Look(w.t.Context(), w.scene)
	w.t.Logf("%s, %s: %s", j.Decision, j.Verdict, j.Sentence)
	if j.Decision == string(analysis.Abort) && !w.sick {
		w.t.Fatalf("a healthy candidate is taken back: %s\n%s", j.Sentence, strings.Join(j.Evidence, "\n"))
	}
	read, errors := w.reading(), w.known(j)
	for slot, known := range map[v1alpha1.Slot]analysis.Rate{blue: errors.Live, green: errors.Candidate} {
		if c := read.Slots[slot]; known.Requests > c.Requests || known.Bad > c.Failed {
			w.t.Errorf("%s: %d of %d failed for the analysis, and %+v is counted", slot, known.Bad, known.Requests, c)
		}
	}
	return j
}

// looks until something is said.
func (w *watched) looks(what string, said func(j v1alpha1.Judgement) bool) v1alpha1.Judgement {
	w.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; {
		if j := w.look(); said(j) {
			return j
		}
		if time.Now().After(end) {
			w.t.Fatalf("it never says %s", what)
		}
	}
}

// known is what the analysis knows of errors.
func (w *watched) known(j v1alpha1.Judgement) analysis.Answer {
	w.t.Helper()
	var state struct {
		Requests struct{ Analysis *analysis.Analysis }
	}
	if err := json.Unmarshal(j.State, &state); err != nil || state.Requests.Analysis == nil {
		w.t.Fatalf("what is recorded cannot be gone on from: %v\n%s", err, j.State)
	}
	return state.Requests.Analysis.Report().Answers[0]
}

// more looks until a hundred more requests of the candidate are known.
func (w *watched) more() {
	w.t.Helper()
	var before uint64
	w.looks("anything", func(j v1alpha1.Judgement) bool { before = w.known(j).Candidate.Requests; return true })
	w.looks("more", func(j v1alpha1.Judgement) bool {
		return j.Verdict != string(analysis.SourceDown) && w.known(j).Candidate.Requests >= before+100
	})
}

// kill ends Traefik under its users. What it counted since this last reading is lost.
func (w *watched) kill() {
	w.t.Helper()
	r, err := w.Read(w.t.Context())
	if err == nil {
		err = w.traefik.Kill()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.ended = r.Slots
}

// start starts it anew, with the same configuration.
func (w *watched) start() {
	w.t.Helper()
	w.begun = w.served()
	if err := w.traefik.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// away ends it for a few looks. They say so, and learn nothing.
func (w *watched) away() {
	w.t.Helper()
	w.kill()
	down := w.looks("that it is down", func(j v1alpha1.Judgement) bool { return j.Verdict == string(analysis.SourceDown) })
	for range 3 {
		j := w.look()
		if j.Verdict != string(analysis.SourceDown) || j.Decision != string(analysis.More) {
			w.t.Errorf("while it is down: %s, %s: %s", j.Decision, j.Verdict, j.Sentence)
		}
		if was, is := w.known(down), w.known(j); is != was {
			w.t.Errorf("while it is down, %+v becomes %+v", was, is)
		}
	}
	if w.users.Snapshot().Failed == 0 {
		w.t.Error("users got answers from nobody")
	}
	w.start()
}

// settle sends users away, and waits until all is counted that was answered since Traefik began, and nothing besides.
func (w *watched) settle() {
	w.t.Helper()
	result := w.users.Stop()
	w.t.Logf("users: %v", result)
	for _, latency := range result.Latencies {
		if latency > w.scene.Spec.Slower.Than.D() {
			w.waited++
		}
	}
	served := w.served()
	want := map[v1alpha1.Slot]metric.Counters{}
	for slot, now := range served {
		since, before := w.begun[slot], w.ended[slot]
		want[slot] = metric.Counters{Requests: before.Requests + now.Requests - since.Requests, Failed: before.Failed + now.Failed - since.Failed}
	}
	all := func() bool {
		for slot, c := range w.reading().Slots {
			if c.Slow = 0; c != want[slot] {
				return false
			}
		}
		return true
	}
	for end := time.Now().Add(20 * time.Second); !all(); time.Sleep(ingress.Interval) {
		if _, err := w.Read(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		if time.Now().After(end) {
			w.t.Fatalf("%+v is counted, and should be %+v", w.reading().Slots, want)
		}
	}
	if r := w.reading(); r.Slots[blue].Slow+r.Slots[green].Slow > w.waited {
		w.t.Errorf("%+v is counted, and users waited for %d answers", r.Slots, w.waited)
	}
}

// same looks once more: what was never left out is known to the analysis exactly as it was read.
func (w *watched) same(gap time.Duration) {
	w.t.Helper()
	known, read := w.known(w.look()), w.reading().Slots
	if gap < time.Hour {
		return
	}
	for slot, rate := range map[v1alpha1.Slot]analysis.Rate{blue: known.Live, green: known.Candidate} {
		if c := read[slot]; rate.Requests != c.Requests || rate.Bad != c.Failed {
			w.t.Errorf("%s: %d of %d failed for the analysis, and %+v is counted", slot, rate.Bad, rate.Requests, c)
		}
	}
}

// Traefik ends under its users, without a chance to say so, and comes back: it is away for a while, and once only between two looks. What it
// had counted is neither counted again nor taken back, what nobody answered meanwhile is nobody's fault, and what the candidate is like
// afterwards is found out.
func TestTraefikRestarts(t *testing.T) {
	for _, test := range []struct {
		kind v1alpha1.Router
		// gap is how far two readings may be apart: it is away for less, and for more.
		gap time.Duration
		// alone says that the candidate has all traffic at last: it is held against what live was.
		alone bool
	}{{v1alpha1.RouterNginx, time.Hour, true}, {v1alpha1.RouterGateway, 3 * time.Second, false}} {
		t.Run(string(test.kind), func(t *testing.T) {
			w := newWatched(t, test.kind, test.gap)
			w.more()

			w.away()
			w.more()
			w.settle()
			w.same(test.gap)

			// Nobody looks until the new process has counted more than the one before: that no counter fell does not mean that it is the same.
			w.come(200)
			w.more()
			w.kill()
			w.start()
			w.until("it has counted more than before", func() bool {
				now := w.served()
				return now[blue].Requests > w.begun[blue].Requests+w.ended[blue].Requests && now[green].Requests > w.begun[green].Requests+w.ended[green].Requests
			})
			w.slots[green].slow.Store(2)
			w.more()
			w.settle()
			w.same(test.gap)
			if slow := w.reading().Slots[green].Slow; slow < 2 {
				t.Errorf("2 answers were slow, and %d are counted", slow)
			}

			if test.alone {
				w.shift(v1alpha1.Only(green))
				w.scene.Step, w.scene.Weight, w.scene.Alone, w.scene.Since = 2, 100, true, time.Now()
			}
			w.come(50)
			w.more()
			w.away()
			w.more()
			w.sick = true
			w.slots[green].every.Store(3)
			j := w.looks("that it fails", func(j v1alpha1.Judgement) bool { return j.Decision == string(analysis.Abort) })
			held := analysis.AgainstLive
			if test.alone {
				held = analysis.AgainstBaseline
			}
			if j.Verdict != string(analysis.Bad) || w.known(j).Test != held {
				t.Errorf("%s, against %s: %s", j.Verdict, w.known(j).Test, j.Sentence)
			}
			w.settle()
		})
	}
}
