package guard_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/metric"
)

func TestACandidateThatFailsIsFoundWhileTrafficStillShifts(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{})
	s.scene.Weight = 0
	s.pass(10) // live alone, while the candidate is deployed
	s.scene.Weight, s.bad[green] = 20, 1
	if j := s.pass(2); j.Decision != "abort" || j.Verdict != "bad" || !strings.Contains(j.Sentence, "100 % of 40") {
		t.Errorf("after 2 s: %+v", j)
	}
}

func TestAHealthyCandidate(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{})
	s.bad[blue], s.bad[green] = 0.005, 0.005
	s.arrive()
	if j := s.pass(300); j.Decision == "abort" || !j.Enough || !j.Until.Equal(s.now) {
		t.Errorf("after 5 min: %+v", j)
	}
	s.bad[blue], s.bad[green] = 0, 0
	if j := s.pass(300); j.Decision != "advance" || j.Verdict != "good" || len(j.Evidence) == 0 {
		t.Errorf("after 10 min: %+v", j)
	}
}

func TestWhatAStepTakes(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{})
	s.scene.Weight, s.scene.Step = 0, 0
	s.arrive()
	if j := s.pass(30); !j.Enough || j.Verdict != "" {
		t.Errorf("a step without traffic: %+v", j)
	}
	s.scene.Weight, s.scene.Step, s.scene.Since = 20, 1, time.Time{}
	if j := s.pass(5); j.Enough {
		t.Errorf("while traffic shifts: %+v", j)
	}
	s.arrive()
	if j := s.pass(2); !j.Enough {
		t.Errorf("80 requests: %+v", j)
	}
	s.scene.Step, s.rate = 2, 0
	s.arrive()
	if j := s.pass(30); j.Enough || j.Verdict != "noData" || !strings.Contains(j.Sentence, "0 of the 20 requests") {
		t.Errorf("requests of the step before were counted: %+v", j)
	}
}

func TestNobodyComes(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{})
	s.rate = 0
	s.arrive()
	if j := s.pass(60); j.Decision != "more" || j.Verdict != "noData" || j.Enough {
		t.Errorf("no traffic at all: %+v", j)
	}
	s.scene.Weight, s.rate = 0, 200
	s.pass(1)
	s.serve(s.requests, 100)
	s.scene.Weight, s.rate = 20, 0
	if j := s.pass(60); j.Decision != "more" || j.Verdict != "noData" || j.Enough {
		t.Errorf("traffic on live only: %+v", j)
	}
}

func TestProbesStandInForUsers(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{Probe: &v1alpha1.Probe{Path: "/"}})
	s.rate = 0
	s.arrive()
	if s.pass(4); s.probe.reads > 0 {
		t.Error("probes were sent before it was known that nobody comes")
	}
	s.scene.Weight = 50
	for range 60 {
		s.serve(s.probe, 2)
		s.pass(1)
	}
	j := s.pass(1)
	if !j.Enough || j.Verdict == "noData" || j.Until.IsZero() {
		t.Errorf("60 probes: %+v", j)
	}
	s.bad[green] = 1
	for range 30 {
		s.serve(s.probe, 2)
		if j = s.pass(1); j.Decision == "abort" {
			break
		}
	}
	if j.Verdict != "bad" || !strings.HasPrefix(j.Sentence, "probe: ") {
		t.Errorf("probes that fail: %+v", j)
	}
}

func TestUsersNeedNoProbes(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{Probe: &v1alpha1.Probe{Path: "/"}})
	s.arrive()
	if s.pass(60); s.probe.reads > 0 {
		t.Errorf("%d probes under 40 requests a second", s.probe.reads)
	}
}

func TestASourceThatIsDownIsNoBadRelease(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{})
	s.bad[blue], s.bad[green] = 0.005, 0.005
	s.arrive()
	s.pass(20)
	s.requests.feed.Down(true)
	lost := s.now
	if j := s.pass(60); j.Decision != "more" || j.Verdict != "sourceDown" || !j.Until.Equal(lost) {
		t.Errorf("while it is down: %+v", j)
	}
	s.requests.feed.Down(false)
	if j := s.pass(60); j.Decision == "abort" || j.Verdict == "sourceDown" || !j.Until.Equal(s.now) {
		t.Errorf("when it is back: %+v", j)
	}
}

func TestCountersThatBeginAnew(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{})
	s.arrive()
	s.pass(60)
	s.now = s.now.Add(10 * time.Second)
	s.requests.feed.Restart()
	if j := s.pass(60); j.Decision == "abort" || j.Verdict == "sourceDown" {
		t.Errorf("after a restart: %+v", j)
	}
	s.bad[green] = 1
	if j := s.pass(2); j.Verdict != "bad" {
		t.Errorf("a fault after the restart: %+v", j)
	}
}

func TestWhatCanNeverBeAnswered(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{})
	s.scene.Weight, s.requests.err = 0, never()
	if j := s.pass(1); j.Decision != "abort" || j.Verdict != "invalid" || !strings.Contains(j.Sentence, "100ms and 300ms") || !strings.Contains(j.Sentence, "take one of them") {
		t.Errorf("%+v", j)
	}
	s = newStage(t, v1alpha1.Analysis{FalseAbort: 0.9})
	if j := s.pass(1); j.Decision != "abort" || j.Verdict != "invalid" {
		t.Errorf("settings that cannot be: %+v", j)
	}
}

func TestALimitThatLiveBreaksToo(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{Errors: &v1alpha1.ErrorsQuestion{Max: 0.01}})
	s.bad[blue], s.bad[green] = 0.1, 0.1
	s.arrive()
	if j := s.pass(60); j.Decision != "more" || j.Verdict != "infrastructure" {
		t.Errorf("both break it: %+v", j)
	}
}

func TestTheCandidateAlone(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{})
	s.scene.Weight = 0
	s.pass(20)
	s.scene.Weight, s.scene.Alone, s.bad[green] = 100, true, 0.3
	s.arrive()
	if j := s.pass(5); j.Verdict != "bad" || !strings.Contains(j.Sentence, "before") {
		t.Errorf("worse than live was: %+v", j)
	}
}

func TestAnotherRunGoesOn(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{Probe: &v1alpha1.Probe{Path: "/"}})
	s.arrive()
	known := s.pass(20)
	text, err := json.Marshal(known)
	if err != nil {
		t.Fatal(err)
	}
	s.scene.Known = &v1alpha1.Judgement{}
	if err := json.Unmarshal(text, s.scene.Known); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(10 * time.Minute)
	s.begin()
	j := s.pass(1)
	if !j.Enough || !strings.Contains(j.Sentence, "of 760 requests") {
		t.Errorf("what was known is gone: %+v", j)
	}
	if len(text) > 20_000 {
		t.Errorf("a record of %d bytes", len(text))
	}
	for _, broken := range []string{`{}`, `[]`, `{"requests":{"analysis":{"version":1}}}`, `{"requests":{"analysis":null},"step":{"requests":99999999}}`, string(known.State[:len(known.State)/2])} {
		s.scene.Known.State = json.RawMessage(broken)
		s.begin()
		if j := s.pass(5); j.Decision == "abort" {
			t.Errorf("after %q: %+v", broken, j)
		}
	}
}

func TestASlowSourceBlindsNobody(t *testing.T) {
	m := v1alpha1.Metric{Name: "orders refused", Prometheus: &v1alpha1.PrometheusMetric{Requests: "a", Failed: "b"}}
	s := newStage(t, v1alpha1.Analysis{Metrics: []v1alpha1.Metric{m}})
	s.counters[m.Name].hangs = make(chan struct{})
	defer close(s.counters[m.Name].hangs)
	s.arrive()
	s.bad[green] = 1
	if j := s.pass(3); j.Verdict != "bad" {
		t.Errorf("beside a source that hangs: %+v", j)
	}
	if n := s.counters[m.Name].asked(); n != 1 {
		t.Errorf("it was asked %d times while it had not answered", n)
	}
}

func TestCountersOfOnesOwn(t *testing.T) {
	m := v1alpha1.Metric{Name: "orders refused", Prometheus: &v1alpha1.PrometheusMetric{Requests: "a", Failed: "b"}, Max: 0.05}
	s := newStage(t, v1alpha1.Analysis{Metrics: []v1alpha1.Metric{m}})
	s.arrive()
	if j := s.pass(20); j.Enough || j.Verdict != "noData" || !strings.HasPrefix(j.Sentence, m.Name) {
		t.Errorf("no order yet: %+v", j)
	}
	s.serve(s.counters[m.Name], 100)
	if j := s.pass(1); !j.Enough {
		t.Errorf("orders: %+v", j)
	}
	s.bad[green] = 0.5
	s.rate = 0
	for range 5 {
		s.serve(s.counters[m.Name], 100)
		s.pass(1)
	}
	if j := s.pass(1); j.Verdict != "bad" || !strings.HasPrefix(j.Sentence, m.Name) {
		t.Errorf("half of the orders refused: %+v", j)
	}
}

func TestNumbers(t *testing.T) {
	m := v1alpha1.Metric{Name: "queue", Prometheus: &v1alpha1.PrometheusMetric{Query: "a"}, Condition: "< 100"}
	s := newStage(t, v1alpha1.Analysis{Metrics: []v1alpha1.Metric{m}})
	queue := s.numbers[m.Name]
	queue.err = metric.NoData("ask", "nothing")
	s.arrive()
	if j := s.pass(20); j.Enough || j.Verdict != "noData" {
		t.Errorf("no number: %+v", j)
	}
	queue.err, queue.number = nil, 50
	if j := s.pass(11); !j.Enough {
		t.Errorf("a good number: %+v", j)
	}
	queue.number = 150
	if j := s.pass(15); j.Decision == "abort" || j.Enough {
		t.Errorf("broken once or twice: %+v", j)
	}
	queue.err = down()
	if j := s.pass(20); j.Decision == "abort" || j.Verdict != "sourceDown" {
		t.Errorf("the server is down: %+v", j)
	}
	queue.err = nil
	if j := s.pass(30); j.Verdict != "bad" || !strings.Contains(j.Sentence, "queue is 150 and must be < 100") {
		t.Errorf("broken three times: %+v", j)
	}
}

func TestLooksThatComeTogetherAreOne(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{})
	s.pass(1)
	for range 5 {
		s.guard.Look(t.Context(), s.scene)
	}
	if s.requests.reads != 1 {
		t.Errorf("%d reads", s.requests.reads)
	}
}

func TestAnErrorThatComesLaterIsAnOutage(t *testing.T) {
	m := v1alpha1.Metric{Name: "queue", Prometheus: &v1alpha1.PrometheusMetric{Query: "a"}, Condition: "< 100"}
	s := newStage(t, v1alpha1.Analysis{Metrics: []v1alpha1.Metric{m}})
	s.arrive()
	s.pass(20)
	s.numbers[m.Name].err = never() // two series where there was one, while pods overlap
	if j := s.pass(30); j.Decision == "abort" || j.Verdict != "sourceDown" {
		t.Errorf("a number: %+v", j)
	}
	s.numbers[m.Name].err, s.requests.err = nil, never()
	if j := s.pass(30); j.Decision == "abort" || j.Verdict != "sourceDown" {
		t.Errorf("requests: %+v", j)
	}
	text := s.pass(1)
	s.scene.Known = &text
	s.begin()
	s.requests.err = never() // the next run lacks the token
	if j := s.pass(5); j.Decision == "abort" || j.Verdict != "sourceDown" {
		t.Errorf("in another run: %+v", j)
	}
}

func TestASourceThatIsLate(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{Probe: &v1alpha1.Probe{Path: "/"}})
	s.requests.late = 3 * time.Minute
	s.arrive()
	for range 60 {
		s.serve(s.probe, 2)
		if j := s.pass(1); j.Enough || s.probe.asked() > 0 {
			t.Fatalf("a step was judged by what was counted before it: %+v", j)
		}
	}
	if j := s.pass(130); !j.Enough || j.Until.Before(s.scene.Since) {
		t.Errorf("when the counts are there: %+v", j)
	}
}

func TestProbesWaitForTheHeader(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{Source: &v1alpha1.RequestSource{Probe: &v1alpha1.Probe{Path: "/"}}})
	s.scene.Weight, s.scene.Subject.Header = 0, v1alpha1.Header{}
	if s.pass(20); s.probe.asked() > 0 {
		t.Error("live was probed in the candidate's name")
	}
}

func TestProbesAreNotTakenForUsers(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{Probe: &v1alpha1.Probe{Path: "/"}})
	s.rate, s.bad[green] = 20, 0
	s.scene.Weight = 0
	s.pass(60)
	s.scene.Weight = 5
	s.arrive()
	for range 60 {
		// Every probe fails in both slots; users are fine.
		if s.probe.asked() > 0 {
			for _, slot := range []v1alpha1.Slot{blue, green} {
				s.probe.feed.Serve(slot, 1, 1, 0)
				s.requests.feed.Serve(slot, 1, 1, 0)
			}
		}
		if j := s.pass(1); j.Decision == "abort" {
			t.Fatalf("a fault of the probes' path was blamed on the candidate: %+v", j)
		}
	}
}

func TestEarlierStepsDoNotSpeakForThisOne(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{})
	s.arrive()
	if j := s.pass(120); j.Decision != "advance" {
		t.Fatalf("%+v", j)
	}
	s.scene.Step, s.scene.Weight = 2, 50
	s.now = s.now.Add(time.Second)
	s.arrive()
	if j := s.pass(1); j.Decision == "advance" {
		t.Errorf("in the first second of the next step: %+v", j)
	}
	if j := s.pass(120); j.Decision != "advance" {
		t.Errorf("later: %+v", j)
	}
}

func TestAClockThatIsBehind(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{})
	s.arrive()
	known := s.pass(60)
	s.scene.Known, s.now, s.bad[green] = &known, s.now.Add(-5*time.Minute), 1
	s.begin()
	if j := s.pass(3); j.Verdict != "bad" {
		t.Errorf("the next run, with another clock: %+v", j)
	}
}
