package store

import (
	"unicode/utf8"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// limits bound what grows in a record: text in bytes, the rest in entries.
type limits struct {
	total    int
	history  int
	results  int
	requests int
	evidence int
	text     int
	message  int
	// testimony bounds one entry, which is a log or all values that differ.
	testimony int
}

// limitLadder goes from generous to tight; the first rung that fits is taken. Escaping may make text six times as long,
// so that counting bytes before encoding is not enough.
func limitLadder() []limits {
	return []limits{
		{total: MaxSize / 2, history: 200, results: 200, requests: 50, evidence: 40, text: 4 << 10, message: 1 << 10, testimony: 16 << 10},
		{total: MaxSize / 2, history: 100, results: 100, requests: 20, evidence: 20, text: 1 << 10, message: 512, testimony: 4 << 10},
		{total: MaxSize, history: 50, results: 50, requests: 10, evidence: 10, text: 256, message: 256, testimony: 256},
	}
}

// apply returns a trimmed copy; what the caller holds stays whole.
func (l limits) apply(r v1alpha1.Rollout) v1alpha1.Rollout {
	r.Cause = shorten(r.Cause, l.text)
	r.LastError = shorten(r.LastError, l.text)
	r.Evidence = l.lines(r.Evidence, l.text)
	r.Testimony = l.lines(r.Testimony, l.testimony)
	r.Judgement = l.judgement(r)
	r.Results = newest(r.Results, l.results)
	for i := range r.Results {
		r.Results[i].Evidence = shorten(r.Results[i].Evidence, l.text)
	}
	r.Requests = newest(r.Requests, l.requests)
	for i := range r.Requests {
		r.Requests[i].Reason = shorten(r.Requests[i].Reason, l.message)
	}
	r.History = newest(r.History, l.keep(r))
	for i := range r.History {
		r.History[i].Message = shorten(r.History[i].Message, l.message)
	}
	return r
}

// lines keeps the last lines, each up to a number of bytes.
func (l limits) lines(in []string, bytes int) []string {
	out := newest(in, l.evidence)
	for i := range out {
		out[i] = shorten(out[i], bytes)
	}
	return out
}

// judgement is what stays of it. Nobody goes on from where the analysis of a rollout was that is over.
func (l limits) judgement(r v1alpha1.Rollout) *v1alpha1.Judgement {
	if r.Judgement == nil {
		return nil
	}
	j := *r.Judgement
	j.Sentence = shorten(j.Sentence, l.text)
	j.Evidence = l.lines(j.Evidence, l.text)
	if r.Phase.Final() {
		j.State = nil
	}
	return &j
}

// keep is how many history entries stay: those not yet announced are kept beyond the ring, up to twice its length.
func (l limits) keep(r v1alpha1.Rollout) int {
	unannounced := 0
	for _, e := range r.History {
		if e.Seq > r.Announced {
			unannounced++
		}
	}
	return min(max(l.history, unannounced), 2*l.history)
}

// newest copies the last n entries.
func newest[T any](in []T, n int) []T {
	if in == nil {
		return nil
	}
	return append(make([]T, 0, min(len(in), n)), in[max(0, len(in)-n):]...)
}

// shorten keeps both ends of a text: the beginning says what it is, the end of a log says why.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const gap = "\n…\n"
	half := (limit - len(gap)) / 2
	from, to := half, len(s)-half
	for from > 0 && !utf8.RuneStart(s[from]) {
		from--
	}
	for to < len(s) && !utf8.RuneStart(s[to]) {
		to++
	}
	return s[:from] + gap + s[to:]
}
