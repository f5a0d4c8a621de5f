package guard

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/analysis"
)

// finding is what one of the inquiries or numbers says.
type finding struct {
	decision analysis.Decision
	verdict  analysis.Verdict
	sentence string
}

// weight orders findings by how much they say of the whole.
func (f finding) weight() int {
	if f.decision == analysis.Abort {
		return 5
	}
	switch f.verdict {
	case analysis.SourceDown:
		return 4
	case analysis.Infrastructure:
		return 3
	case analysis.NoData:
		return 2
	}
	if f.decision == analysis.More {
		return 1
	}
	return 0
}

// judge puts together what all inquiries say. The heaviest finding is what people are told; all of them must be fine to go on early.
func (w *watch) judge(now time.Time) v1alpha1.Judgement {
	j := v1alpha1.Judgement{At: now, Step: w.seen.Step, Decision: string(analysis.More)}
	if w.broken != nil {
		f := misconfigured(w.broken)
		j.Decision, j.Verdict, j.Sentence = string(f.decision), string(f.verdict), f.sentence
		return j
	}
	all := w.findings()
	said := all[0]
	for _, f := range all {
		if f.weight() > said.weight() {
			said = f
		}
	}
	j.Until, j.Enough = w.until(), w.enough()
	if said.verdict == "" && w.silent(now) {
		said.verdict = analysis.NoData
	}
	j.Decision, j.Verdict, j.Sentence = string(said.decision), string(said.verdict), said.sentence
	if !j.Enough && said.decision == analysis.More && said.weight() < 3 {
		j.Sentence += w.lacks()
	}
	j.Evidence = w.evidence()
	j.State, _ = json.Marshal(w.keep()) // of numbers and texts: it cannot fail
	return j
}

func (w *watch) findings() []finding {
	var all []finding
	for _, i := range w.all() {
		f := i.finding(w.seen.Weight)
		if i == w.requests && f.verdict == analysis.NoData && w.probing && w.probe.err == nil {
			continue // that users are silent is why there are probes
		}
		all = append(all, f)
	}
	for _, n := range w.numbers {
		if w.seen.Weight > 0 || n.unusable() {
			all = append(all, n.finding())
		}
	}
	return all
}

// misconfigured is what no waiting can cure: a limit that nobody counts at, a query that cannot be asked. No evidence will ever come, so
// the candidate is taken back before it costs anybody a request, and the sentence says that it is not to blame.
func misconfigured(err error) finding {
	return finding{analysis.Abort, analysis.Invalid, "the analysis cannot be made as it is configured, and so nothing can be known of the candidate: " + withHint(err)}
}

func (i *inquiry) finding(weight int) finding {
	switch {
	case i.unusable():
		return misconfigured(i.err)
	case i.down():
		return finding{analysis.More, analysis.SourceDown, i.prefix() + i.err.Error()}
	}
	report := i.report
	f := finding{report.Decision, report.Verdict, i.prefix() + report.Sentence}
	if f.verdict == analysis.NoData && weight == 0 {
		f.verdict = "" // nobody is to have come yet
	}
	if f.verdict == analysis.NoData && i.err != nil {
		f.sentence = i.prefix() + withHint(i.err)
	}
	return f
}

// prefix names what is not the requests of users.
func (i *inquiry) prefix() string {
	if i.name == "" {
		return ""
	}
	return i.name + ": "
}

func (n *number) finding() finding {
	switch {
	case n.unusable():
		return misconfigured(n.err)
	case n.bad():
		return finding{analysis.Abort, analysis.Bad, n.sentence()}
	case n.down():
		return finding{analysis.More, analysis.SourceDown, n.metric.Name + ": " + n.err.Error()}
	case !n.known:
		return finding{analysis.More, analysis.NoData, n.sentence()}
	case !n.fine():
		return finding{analysis.More, "", n.sentence()}
	}
	return finding{analysis.Advance, analysis.Good, n.sentence()}
}

// until is the moment up to which everything is known; zero where something is not.
func (w *watch) until() time.Time {
	var until time.Time
	for _, i := range w.all() {
		at := i.reading.At
		if i == w.requests && w.probing {
			continue // probes are what is known then
		}
		if at.IsZero() {
			return time.Time{}
		}
		if until.IsZero() || at.Before(until) {
			until = at
		}
	}
	return until
}

// enough says that the candidate is known at this step: it had requests, of users or of Sluice, and every metric has its number. Before it
// gets any traffic there is nothing to be known.
func (w *watch) enough() bool {
	if w.seen.Weight == 0 {
		return true
	}
	if !w.entered() {
		return false
	}
	known := w.counted() >= Enough
	for _, i := range w.metrics {
		known = known && i.err == nil && i.total() > 0
	}
	for _, n := range w.numbers {
		known = known && n.fine()
	}
	return known
}

// silent says that a step has gone on for a while, and nobody has come yet.
func (w *watch) silent(now time.Time) bool {
	return w.seen.Weight > 0 && !w.seen.Since.IsZero() && now.Sub(w.seen.Since) >= 2*thin && (!w.entered() || w.counted() == 0)
}

// counted is how many requests the candidate has had at this step, of users or of Sluice, whichever are more.
func (w *watch) counted() uint64 {
	counted := w.requests.total() - w.step.Requests
	if w.probe != nil {
		counted = max(counted, w.probe.total()-w.step.Probes)
	}
	return counted
}

// lacks says how many requests a step still takes.
func (w *watch) lacks() string {
	if w.seen.Weight == 0 || !w.entered() || w.counted() >= Enough {
		return ""
	}
	return fmt.Sprintf(" (%d of the %d requests that this step takes at least)", w.counted(), Enough)
}

// state is what a watch goes on from.
type state struct {
	Requests kept            `json:"requests"`
	Probe    *kept           `json:"probe,omitempty"`
	Metrics  map[string]kept `json:"metrics,omitempty"`
	// Broken are the metrics with a condition that have had a number, with how often in a row it was broken.
	Broken map[string]int `json:"broken,omitempty"`
	Step   step           `json:"step"`
}

func (w *watch) keep() state {
	s := state{Requests: w.requests.keep(), Step: w.step, Metrics: map[string]kept{}, Broken: map[string]int{}}
	if w.probe != nil {
		probe := w.probe.keep()
		s.Probe = &probe
	}
	for _, i := range w.metrics {
		s.Metrics[i.name] = i.keep()
	}
	for _, n := range w.numbers {
		if n.answered {
			s.Broken[n.metric.Name] = n.broken
		}
	}
	return s
}

// restore goes on from what another run kept. It may come from an object that people can edit: what cannot be read is begun anew, which
// costs time and nothing else.
func (w *watch) restore(text json.RawMessage) {
	var s state
	if len(text) == 0 || json.Unmarshal(text, &s) != nil {
		return
	}
	w.requests.restore(s.Requests)
	if w.probe != nil && s.Probe != nil {
		w.probe.restore(*s.Probe)
	}
	for _, i := range w.metrics {
		i.restore(s.Metrics[i.name])
	}
	for _, n := range w.numbers {
		var broken int
		broken, n.answered = s.Broken[n.metric.Name]
		n.broken = min(max(broken, 0), n.attempts()-1)
	}
	if w.step = s.Step; w.step.Requests > w.requests.total() || w.probe != nil && w.step.Probes > w.probe.total() {
		w.step = step{}
	}
}
