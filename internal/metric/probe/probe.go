// Package probe counts requests of its own, sent through the real entry point: with the canary header for the candidate, without it for the
// live slot; it must not send what could change anything, nor more than it was allowed.
//
// What it reads: whether an answer came, its status code, and how long it took until the last byte. Without the header a request goes where
// users' requests go: at a weight of 20 % one in five of those that count for the live slot is answered by the candidate.
package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/variables"
)

const (
	// DefaultRate is how many requests a second each slot gets where nothing else is said, MaxRate the most it may get.
	DefaultRate = 1
	MaxRate     = 50
	// DefaultTimeout is how long an answer may take.
	DefaultTimeout = 5 * time.Second
	// maxBody is how much of an answer is read, in bytes.
	maxBody = 1 << 20
	// noAnswer stands for the code of an answer that did not come.
	noAnswer = "none"
)

// Options are how to probe.
type Options struct {
	// Path below the entry, with a query if need be. Default: /.
	Path string
	// Method is GET or HEAD. Default: GET.
	Method string
	// Headers that the entry point asks for.
	Headers map[string]variables.Value
	// Rate is the most requests a second that each slot gets, up to 50. Default: 1.
	Rate float64
	// Timeout of one request, which then counts as failed. Default: 5 s.
	Timeout time.Duration
	// Transport leads to the entry point. Default: http.DefaultTransport.
	Transport http.RoundTripper
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Source probes the slots of one subject.
type Source struct {
	o        Options
	op       string
	url      string
	question metric.Question
	slots    []v1alpha1.Slot
	header   v1alpha1.Header
	subject  metric.Subject

	turn  metric.Turn
	tally *metric.Tally
	// last is when a request was last allowed, and allowed how many are; a part of one is kept.
	last    time.Time
	allowed float64
}

var _ metric.Source = (*Source)(nil)

// New returns the source of a subject. It sends nothing.
func New(subject metric.Subject, question metric.Question, o Options) (*Source, error) {
	op := "probe " + subject.Service
	entry, err := url.Parse(subject.Entry)
	if err != nil || entry.Host == "" || entry.Scheme != "http" && entry.Scheme != "https" {
		return nil, fault.New(fault.Usage, op, "environment %s has no entry that could be asked", subject.Environment).
			WithHint("add `entry: https://…` to the environment")
	}
	if err := question.Validate(); err != nil {
		return nil, err
	}
	o = o.complete()
	if err := o.validate(op, question); err != nil {
		return nil, err
	}
	s := &Source{
		o: o, op: op, question: question, header: subject.Header, subject: subject, turn: metric.NewTurn(), slots: subject.Slots(),
		url: strings.TrimRight(subject.Entry, "/") + "/" + strings.TrimLeft(o.Path, "/"),
	}
	if s.header.Name == "" { // all traffic goes to the candidate
		s.slots = []v1alpha1.Slot{subject.Candidate}
	}
	return s, nil
}

// complete fills in the defaults.
func (o Options) complete() Options {
	o.Method = cmp.Or(o.Method, http.MethodGet)
	o.Rate = cmp.Or(o.Rate, DefaultRate)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func (o Options) validate(op string, question metric.Question) error {
	switch {
	case o.Method != http.MethodGet && o.Method != http.MethodHead:
		return fault.New(fault.Usage, op, "method %s may change something", o.Method).WithHint("probe with GET or HEAD; a gate may ask anything, once")
	case !(o.Rate > 0 && o.Rate <= MaxRate):
		return fault.New(fault.Usage, op, "%v requests a second are not allowed", o.Rate).WithHint("take more than 0 and at most %d", MaxRate)
	case o.Timeout < 0 || question.SlowerThan >= o.Timeout:
		return fault.New(fault.Usage, op, "a timeout of %s does not exceed the limit of %s for slow answers", o.Timeout, question.SlowerThan).
			WithHint("give answers more time than that")
	}
	return nil
}

// answer is what one request brought.
type answer struct {
	slot v1alpha1.Slot
	code string
	took time.Duration
	err  error
	n    int64
}

// Read sends as many requests as the time since the last reading allows, at most those of one second, and waits for their answers. Where
// no request of any slot was answered, nothing is known of the slots: the way to them may be closed.
func (s *Source) Read(ctx context.Context) (metric.Reading, error) {
	if err := s.turn.Take(ctx); err != nil {
		return metric.Reading{}, fault.Wrap(fault.KindOf(err), s.op, err)
	}
	defer s.turn.Give()
	now := s.o.Now()
	if s.tally == nil {
		s.tally, s.allowed, s.last = metric.NewTally(now, s.subject.Slots()), 1, now
	}
	n := s.allow(now)
	answers := make([]answer, n*len(s.slots))
	var wait sync.WaitGroup
	for i := range answers {
		wait.Go(func() { answers[i] = s.ask(ctx, s.slots[i%len(s.slots)]) })
	}
	wait.Wait()
	cost := metric.Cost{Requests: len(answers)}
	var answered bool
	for _, a := range answers {
		cost.Bytes += a.n
		answered = answered || a.code != noAnswer
	}
	switch {
	case ctx.Err() != nil:
		return metric.Reading{}, metric.Down(ctx, s.op, ctx.Err())
	case n > 0 && !answered:
		return metric.Reading{}, metric.Down(ctx, s.op, fmt.Errorf("none of %d requests to %s was answered: %w", len(answers), s.plain(), answers[0].err)).
			WithHint("check the entry of environment %s and the way to it from here: curl -i %s", s.subject.Environment, s.plain())
	}
	for _, a := range answers {
		s.tally.Add(a.slot, a.code, 1, a.code == noAnswer || s.question.Fails(a.code))
		if s.question.SlowerThan > 0 && (a.took > s.question.SlowerThan || a.code == noAnswer && errors.Is(a.err, context.DeadlineExceeded)) {
			s.tally.AddSlow(a.slot, 1)
		}
	}
	r := s.tally.Reading(now)
	r.Cost = cost
	return r, nil
}

// allow says how many requests each slot may get now.
func (s *Source) allow(now time.Time) int {
	if passed := now.Sub(s.last).Seconds(); passed > 0 {
		s.allowed = min(s.allowed+passed*s.o.Rate, max(1, s.o.Rate))
	}
	s.last = now
	n := int(s.allowed)
	s.allowed -= float64(n)
	return n
}

func (s *Source) ask(ctx context.Context, slot v1alpha1.Slot) answer {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	a := answer{slot: slot, code: noAnswer}
	request, err := http.NewRequestWithContext(ctx, s.o.Method, s.url, nil)
	if err != nil {
		a.err = err
		return a
	}
	request.Header.Set("User-Agent", "sluice-probe")
	for name, value := range s.o.Headers {
		if strings.EqualFold(name, "Host") {
			request.Host = value.Reveal()
			continue
		}
		request.Header.Set(name, value.Reveal())
	}
	if slot == s.subject.Candidate && s.header.Name != "" {
		request.Header.Set(s.header.Name, s.header.Value)
	}
	began := time.Now() // a duration is measured by a clock that runs
	client := http.Client{Transport: s.o.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err == nil {
		defer func() { _ = response.Body.Close() }()
		a.n, err = io.Copy(io.Discard, io.LimitReader(response.Body, maxBody))
	}
	a.took = time.Since(began)
	if err != nil {
		a.err = reason(err)
		return a
	}
	a.code = strconv.Itoa(response.StatusCode)
	return a
}

// reason leaves out what is said already: method and URL.
func reason(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}

// plain is the URL without a password and without a query, which may hold a secret.
func (s *Source) plain() string {
	u, err := url.Parse(s.url)
	if err != nil {
		return s.subject.Environment
	}
	u.RawQuery = ""
	return u.Redacted()
}
