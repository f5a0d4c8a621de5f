package guard

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/metric"
)

const (
	// FalseAbort is the chance of a false abort where nothing else is said.
	FalseAbort = 0.001
	// Enough is how many requests of the candidate a step takes to know it at all.
	Enough = 20
	// usersAmongProbes is how many requests a candidate must have for each probe that was sent, for its counts at an ingress to be those of
	// users. Fewer are left out: live has users besides, and what is wrong with the path of the probes would look like the candidate's fault.
	usersAmongProbes = 4
	// probesBeside is the weight of the candidate up to which probes without the header are live's: above it too many of them meet the
	// candidate, and its faults would excuse themselves as an incident. Where there is no limit that could be excused, they are better than none.
	probesBeside = 20
)

// kind says whose requests an inquiry counts, and makes what counts them.
type kind struct {
	subject func(s Scene) metric.Subject
	// ready says that there is somebody to be counted.
	ready func(s Scene) bool
	feed  func(sources Sources, s Scene, of metric.Subject) (Feed, error)
}

// bySlots is the subject whose slots are told by their routes: a header that comes or goes makes no other one of it.
func bySlots(s Scene) metric.Subject {
	of := s.Subject
	of.Header = v1alpha1.Header{}
	return of
}

func byHeader(s Scene) metric.Subject { return s.Subject }

func always(Scene) bool { return true }

// led says that something leads to the candidate: without a header, and beside a live slot, probes would meet the live one.
func led(s Scene) bool { return s.Subject.Header.Name != "" || s.Alone }

// requests are those of users, or the probes that take their place.
func requests(spec v1alpha1.Analysis) kind {
	if spec.Source != nil && spec.Source.Probe != nil {
		return probes(*spec.Source.Probe)
	}
	return kind{bySlots, always, func(sources Sources, s Scene, of metric.Subject) (Feed, error) { return sources.Requests(of, s.Spec) }}
}

func probes(probe v1alpha1.Probe) kind {
	return kind{byHeader, led, func(sources Sources, s Scene, of metric.Subject) (Feed, error) {
		return sources.Probe(of, s.Spec, probe)
	}}
}

func counters(m v1alpha1.Metric) kind {
	return kind{bySlots, always, func(sources Sources, s Scene, of metric.Subject) (Feed, error) {
		return sources.Counters(of, s.Spec, m)
	}}
}

// questionsOf are what is asked of requests.
func questionsOf(spec v1alpha1.Analysis) []analysis.Question {
	var asked []analysis.Question
	if spec.AsksErrors() {
		q := analysis.Question{Name: "errors", Bad: analysis.Failed}
		if spec.Errors != nil {
			q.Max = float64(spec.Errors.Max)
		}
		asked = append(asked, q)
	}
	if s := spec.Slower; s != nil {
		asked = append(asked, analysis.Question{Name: "slower than " + s.Than.String(), Bad: analysis.Slow, Max: float64(s.Max)})
	}
	return asked
}

func questionOf(m v1alpha1.Metric) []analysis.Question {
	return []analysis.Question{{Name: m.Name, Bad: analysis.Failed, Max: float64(m.Max)}}
}

// inquiry is one source with the analysis of what it counts.
type inquiry struct {
	name     string
	kind     kind
	analysis *analysis.Analysis
	// report is the analysis's since its last look: making one takes more time than the look.
	report analysis.Report
	asking[metric.Reading]
	// subject is the one that feed counts.
	subject metric.Subject
	feed    Feed
	// reading is the last good one that was more than a peek, sent how many probes have been sent since.
	reading metric.Reading
	sent    uint64
	// courses are those of the questions.
	courses []analysis.Course
	// codes are the status codes of all that was counted, earlier those of them that other sources, and other runs, have counted before.
	codes, earlier codes
}

func newInquiry(name string, spec v1alpha1.Analysis, asked []analysis.Question, falseAbort float64, k kind) (*inquiry, error) {
	a, err := analysis.New(analysis.Settings{Questions: asked, FalseAbort: falseAbort, Effect: float64(spec.Effect), Enough: Enough})
	if err != nil {
		return nil, err
	}
	return &inquiry{name: name, kind: k, analysis: a, report: a.Report(), courses: make([]analysis.Course, len(asked))}, nil
}

// limited says that a question has a limit.
func (i *inquiry) limited() bool {
	return slices.ContainsFunc(i.report.Answers, func(a analysis.Answer) bool { return a.Max > 0 })
}

// total is how many requests of the candidate were counted.
func (i *inquiry) total() uint64 { return i.report.Answers[0].Candidate.Requests }

// ask begins to read where that is due. What it returns is closed once there is an answer, or nothing to wait for.
func (i *inquiry) ask(ctx context.Context, sources Sources, s Scene, now time.Time) <-chan struct{} {
	if !i.due(now, i.every(s)) || !i.kind.ready(s) {
		return nothing()
	}
	if err := i.connect(sources, s); err != nil {
		i.err = err
		return nothing()
	}
	return i.begin(ctx, now, i.feed.Source.Read)
}

// every is how often the source is asked. A little early is in time: whoever looks every second must not find it due every second look only.
func (i *inquiry) every(s Scene) time.Duration {
	if s.Moved && i.feed.Soonest > 0 {
		return i.feed.Soonest * 3 / 4
	}
	return i.feed.Every * 3 / 4
}

// connect makes the source anew where the subject is another one: a slot has come, or its routes have.
func (i *inquiry) connect(sources Sources, s Scene) error {
	of := i.kind.subject(s)
	if i.feed.Source != nil && reflect.DeepEqual(i.subject, of) {
		return nil
	}
	feed, err := i.kind.feed(sources, s, of)
	if err == nil {
		i.feed, i.subject, i.earlier = feed, of, i.codes // the new one counts from nothing on
		i.analysis.SetGap(feed.Gap)
	}
	return err
}

// seen is how many requests of both slots the last reading had.
func (i *inquiry) seen() uint64 {
	var all uint64
	for _, c := range i.reading.Slots {
		all += c.Requests
	}
	return all
}

// take judges what has been answered since the last look.
func (i *inquiry) take(s Scene) {
	reading, came := i.next()
	switch {
	case !came:
	case errors.Is(i.err, metric.ErrNoData):
		// Nobody has been counted yet: that is no outage, and no evidence.
		i.weigh(analysis.Read{})
	case i.err != nil:
		i.weigh(analysis.Read{Down: true})
	default:
		i.look(reading, s)
	}
}

// look plays a round with a reading, or peeks at it where it comes too soon: then it has been as if nobody had looked, but for an abort.
func (i *inquiry) look(reading metric.Reading, s Scene) {
	before, plays := i.report, i.analysis.Plays(reading.At)
	if !plays && i.sent > 0 {
		i.weigh(analysis.Read{})
		return
	}
	had, has := i.reading.Slots[i.subject.Candidate].Requests, reading.Slots[i.subject.Candidate].Requests
	if has < had+usersAmongProbes*i.sent {
		i.note(reading)
		i.analysis.Skip() // most of them were probes
		return
	}
	i.weigh(i.read(reading, s))
	if !plays && i.report.Decision != analysis.Abort {
		return
	}
	i.note(reading)
	for q, after := range i.report.Answers {
		i.courses[q].Follow(reading.At, before.Answers[q], after)
	}
}

func (i *inquiry) note(r metric.Reading) {
	i.reading, i.sent, i.codes = r, 0, i.earlier.plus(r.Codes)
}

func (i *inquiry) weigh(r analysis.Read) {
	i.analysis.Look(r)
	i.report = i.analysis.Report()
}

// read puts a reading into the words of the analysis.
func (i *inquiry) read(r metric.Reading, s Scene) analysis.Read {
	read := analysis.Read{At: r.At, Since: r.Since, Alone: s.Alone}
	if c, ok := r.Slots[i.subject.Candidate]; ok {
		read.Candidate = &c
	}
	beside := i.subject.Header.Name == "" || s.Weight <= probesBeside || !i.limited()
	if live := i.subject.Live; live != v1alpha1.SlotNone && live != i.subject.Candidate && beside {
		if c, ok := r.Slots[live]; ok {
			read.Live = &c
		}
	}
	return read
}

// reaches says that what is counted includes a moment. A source without any data knows of it once its lag is over.
func (i *inquiry) reaches(at, now time.Time) bool {
	if errors.Is(i.err, metric.ErrNoData) {
		return now.Sub(at) >= i.feed.Lag
	}
	return !i.reading.At.Before(at)
}

// beginStep forgets what has shown that the candidate is no worse at another share of the traffic.
func (i *inquiry) beginStep() {
	i.analysis.BeginStep()
	i.report = i.analysis.Report()
}

// kept is what an inquiry goes on from.
type kept struct {
	Analysis *analysis.Analysis `json:"analysis"`
	Courses  []analysis.Course  `json:"courses,omitempty"`
	Codes    codes              `json:"codes,omitempty"`
}

func (i *inquiry) keep() kept { return kept{i.analysis, i.courses, i.codes} }

// restore goes on from what another run kept. What cannot be read is begun anew, which costs time and nothing else.
func (i *inquiry) restore(k kept) {
	if k.Analysis == nil || !k.Analysis.Asks(i.analysis) {
		return
	}
	i.answered = !k.Analysis.Report().At.IsZero()
	k.Analysis.GoOn()
	i.analysis, i.report = k.Analysis, k.Analysis.Report()
	i.codes = codes{}.plus(k.Codes) // it may be edited: no more of them than are told apart
	i.earlier = i.codes
	if len(k.Courses) == len(i.courses) {
		i.courses = k.Courses
	}
}
