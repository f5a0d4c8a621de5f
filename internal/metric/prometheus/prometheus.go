// Package prometheus counts requests by what a Prometheus has scraped; it must not decide which of its numbers are good.
//
// What it reads: for each slot the user's own instant queries for raw counters, such as
//
//	http_requests_total{namespace="{{.Namespace}}",pod=~"{{.Release}}-.*"}
//
// with one series for each process that counts; or one number, by any expression (Query). The server's address and its queries are the
// only things sent, and the server's clock alone says when they are evaluated.
package prometheus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/variables"
)

const (
	// answerTime bounds one answer; the server is told to give up a little earlier, because then it says why.
	answerTime = 10 * time.Second
	// DefaultDelay is how far the newest samples of a server lie behind where nothing else is said: one scrape of every 15 seconds.
	DefaultDelay = 15 * time.Second
	// maxSeries bounds one answer.
	maxSeries = 10_000
)

// Options are what a Server needs.
type Options struct {
	// URL of the server, with the path below which its API is; without /api/v1.
	URL string
	// Headers are sent with every request, and never to another address. A token is the header Authorization, "Bearer TOKEN".
	Headers map[string]variables.Value
	// Transport sends requests. Default: http.DefaultTransport.
	Transport http.RoundTripper
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// AnswerTime is how long one answer may take. Default: 10 s.
	AnswerTime time.Duration
	// Delay is how far the newest samples lie behind: the scrape interval. Default: 15 s.
	Delay time.Duration
}

// Server is one Prometheus, or what speaks as one.
type Server struct {
	o    Options
	name string
	api  promv1.API
}

// New returns a server. It asks nothing.
func New(o Options) (*Server, error) {
	const op = "prepare to ask Prometheus"
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fault.New(fault.Usage, op, "its URL is no address of http or https").
			WithHint("name the address of the server, such as http://prometheus.monitoring:9090")
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.AnswerTime == 0 {
		o.AnswerTime = answerTime
	}
	if o.Delay == 0 {
		o.Delay = DefaultDelay
	}
	if strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/api/v1") {
		return nil, fault.New(fault.Usage, op, "its URL ends with /api/v1").WithHint("leave that out: it is added")
	}
	client, err := api.NewClient(api.Config{Address: o.URL, Client: &http.Client{
		Transport:     transport{o.Transport, o.Headers},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}})
	if err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	return &Server{o: o, name: u.Redacted(), api: promv1.NewAPI(client)}, nil
}

// Queries are instant queries in PromQL, made anew for each slot. In them {{.Slot}}, {{.Release}} (the slot's Helm release),
// {{.Service}}, {{.Environment}} and {{.Namespace}} are put in. What a query gives is summed; each series is followed by itself, so that
// one process that begins anew does not look like all of them.
type Queries struct {
	// Requests counts all of them, Failed and Slow those of them that failed or were slow; Failed or Slow may be left out.
	Requests, Failed, Slow string
}

// Source returns the counters of a subject.
func (s *Server) Source(subject metric.Subject, queries Queries) (*Source, error) {
	op := "count requests of " + subject.Service + " at Prometheus " + s.name
	if queries.Requests == "" {
		return nil, fault.New(fault.Usage, op, "there is no query for requests").WithHint("a part is judged by the whole: give a query for all requests too")
	}
	source := &Source{server: s, turn: metric.NewTurn(), op: op, subject: subject, follow: map[string]uint64{}, instances: map[string]bool{}}
	texts := map[string]bool{}
	for _, slot := range subject.Slots() {
		for _, q := range []struct {
			what string
			part part
			text string
		}{{"requests", all, queries.Requests}, {"failed requests", failed, queries.Failed}, {"slow requests", slow, queries.Slow}} {
			if q.text == "" {
				continue
			}
			text, err := metric.Fill("the query for "+q.what, q.text, subject, slot)
			if err != nil {
				return nil, err
			}
			if texts[text] {
				return nil, fault.New(fault.Usage, op, "the query for %s is the same for another slot or part: %s", q.what, text).
					WithHint("put {{.Slot}} or {{.Release}} where the slots' series differ")
			}
			texts[text] = true
			source.asks = append(source.asks, ask{slot, q.part, q.what, text})
		}
	}
	return source, nil
}

type part int

const (
	all part = iota
	failed
	slow
)

type ask struct {
	slot v1alpha1.Slot
	part part
	what string
	text string
}

// Source counts the requests of one subject.
type Source struct {
	server  *Server
	op      string
	subject metric.Subject
	asks    []ask

	turn  metric.Turn
	tally *metric.Tally
	known bool
	// follow are the series as they were last seen; a series that a scrape misses keeps its place.
	follow    map[string]uint64
	instances map[string]bool
}

var _ metric.Source = (*Source)(nil)

// Read asks the server, all queries for the same moment.
func (s *Source) Read(ctx context.Context) (metric.Reading, error) {
	if err := s.turn.Take(ctx); err != nil {
		return metric.Reading{}, fault.Wrap(fault.KindOf(err), s.op, err)
	}
	defer s.turn.Give()
	at := s.server.o.Now().Add(-s.server.o.Delay)
	var cost metric.Cost
	var warned []string
	var moment time.Time
	answers := make([]model.Vector, len(s.asks))
	counts := make([][]uint64, len(s.asks))
	for i, a := range s.asks {
		answer, err := s.server.ask(ctx, a.text, moment, &cost)
		if err == nil {
			answers[i], counts[i], err = answer.counters()
		}
		if err != nil {
			return metric.Reading{}, fault.Wrap(fault.KindOf(err), s.op+", "+a.what+" of slot "+string(a.slot), err)
		}
		if moment.IsZero() {
			moment = answer.moment
		}
		for _, w := range answer.warnings {
			if !slices.Contains(warned, w) {
				warned = append(warned, w)
			}
		}
	}
	if s.tally == nil {
		s.tally = metric.NewTally(at, s.subject.Slots())
	}
	s.take(answers, counts)
	if !s.known {
		return metric.Reading{}, metric.NoData(s.op, "no query found a series").
			WithHint("try in the server's own page: %s", s.asks[0].text)
	}
	r := s.tally.Reading(at)
	r.Cost, r.Lacking = cost, strings.Join(warned, "; ")
	return r, nil
}

// take adds what every series grew by.
func (s *Source) take(answers []model.Vector, counts [][]uint64) {
	before := maps.Clone(s.instances)
	for i, a := range s.asks {
		for at, sample := range answers[i] {
			s.known = true
			instance := instanceOf(sample.Metric)
			s.instances[instance] = true
			n := s.grow(fmt.Sprint(i, " ", sample.Metric), counts[i][at], instance != "", before[instance])
			switch a.part {
			case all:
				s.tally.Add(a.slot, codeOf(sample.Metric), n, false)
			case failed:
				s.tally.AddFailed(a.slot, n)
			case slow:
				s.tally.AddSlow(a.slot, n)
			}
		}
	}
	// What is summed over processes by the query has none to be known by: from the first answer on, nothing there is nothing.
	s.instances[""] = true
}

// grow says by how much a series grew. One that is new began at zero where its process was known; one that fell began anew at zero where
// it is that of one process, and else one of several did, nobody knows by how much.
func (s *Source) grow(key string, n uint64, single, knownInstance bool) uint64 {
	last, known := s.follow[key]
	s.follow[key] = n
	switch {
	case known && n >= last:
		return n - last
	case known && single, !known && knownInstance:
		return n
	}
	return 0
}

// instanceOf is what a series says of the process that counts; "" where it was summed over several.
func instanceOf(m model.Metric) string {
	instance := ""
	for _, name := range []model.LabelName{"job", "instance", "pod", "kubernetes_pod_name"} {
		if v := m[name]; v != "" && name != "job" {
			instance += "/" + string(m["job"]) + "/" + string(v)
		}
	}
	return instance
}

// codeOf is the status code that a series is about.
func codeOf(m model.Metric) string {
	for _, name := range []model.LabelName{"code", "status", "status_code", "envoy_response_code", "http_response_status_code"} {
		if v := m[name]; v != "" {
			return string(v)
		}
	}
	return ""
}

// Query is one number by any expression.
type Query struct {
	server *Server
	op     string
	text   string
}

var _ metric.Valuer = (*Query)(nil)

// Query returns the value of an expression for a subject's candidate. In it stands what stands in Queries.
func (s *Server) Query(subject metric.Subject, expression string) (*Query, error) {
	text, err := metric.Fill("the query for a value", expression, subject, subject.Candidate)
	if err == nil && strings.TrimSpace(text) == "" {
		err = fault.New(fault.Usage, "read the query for a value", "it is empty")
	}
	return &Query{s, "ask Prometheus " + s.name, text}, err
}

// Value asks for the number.
func (q *Query) Value(ctx context.Context) (metric.Value, error) {
	v := metric.Value{At: q.server.o.Now()}
	answer, err := q.server.ask(ctx, q.text, time.Time{}, &v.Cost)
	if err == nil {
		v.Number, err = answer.number()
	}
	if err != nil {
		return metric.Value{}, fault.Wrap(fault.KindOf(err), q.op, err)
	}
	if len(answer.warnings) > 0 {
		err := errors.New("it answered with a warning: " + strings.Join(answer.warnings, "; "))
		return metric.Value{}, metric.Down(ctx, q.op, err).WithHint("the value may lack a part: ask the same in the server's own page")
	}
	return v, nil
}
