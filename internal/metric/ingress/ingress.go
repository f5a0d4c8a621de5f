// Package ingress counts requests where they come in: it reads the metrics of Traefik, ingress-nginx or Envoy directly, every replica by
// itself, without a Prometheus; it must not change anything in the cluster.
//
// What it reads: requests by status code of the backends that are a slot's, and of their duration histogram the bucket of the limit.
// Requests that never reach a backend, such as those for a host that nobody serves, belong to no slot.
package ingress

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
)

const (
	// Interval is how often a replica is asked at most, however many sources read, but for one that comes again sooner: it gets a new answer
	// if the last one is as old as Soonest.
	Interval = time.Second
	Soonest  = 300 * time.Millisecond
	// answerTime bounds one answer.
	answerTime = 3 * time.Second
	// grace is the part of the time for an answer that one is waited for after the others, if it did not answer the last time, so that one
	// that hangs does not make all blind. At every patientRound it has all the time, so that one that is only slow comes back.
	grace        = 1. / 12
	patientRound = 10
	// idle is for how long a source that nobody reads is still thought of.
	idle = time.Minute
	// maxNames bounds what is remembered of whose names are wanted.
	maxNames = 200_000
)

// Finder finds the replicas of the controller.
type Finder interface {
	// Find lists them all. With again it looks anew, and may else say what it found shortly before.
	Find(ctx context.Context, again bool) ([]Replica, metric.Cost, error)
	String() string
}

// Options are what an Ingress needs.
type Options struct {
	// Finder of the replicas: URLs, or Pods in the cluster.
	Finder Finder
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// AnswerTime is how long one answer may take. Default: 3 s.
	AnswerTime time.Duration
}

// Ingress is the controller that requests come in by, read once for all sources. It is safe for concurrent use.
type Ingress struct {
	o Options
	// turn is held by whoever asks the replicas or changes what is below.
	turn metric.Turn
	last *round
	// rounds counts them.
	rounds int
	// looked is when replicas were looked for anew because some did not answer.
	looked time.Time

	mu      sync.Mutex
	sources map[*Source]time.Time
	// generation counts how often the sources changed.
	generation int
	// wanted remembers which sources want a name.
	wanted map[string][]*Source
}

// round is what all replicas said at about the same time.
type round struct {
	number     int
	at         time.Time
	generation int
	pages      map[string]*page
	// present are the names of all replicas, also of those that did not answer.
	present map[string]bool
	lacking []string
	cost    metric.Cost
}

// New returns the controller. It asks nothing.
func New(o Options) *Ingress {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.AnswerTime == 0 {
		o.AnswerTime = answerTime
	}
	return &Ingress{o: o, turn: metric.NewTurn(), wanted: map[string][]*Source{}, sources: map[*Source]time.Time{}}
}

// Series names what is counted for a slot where its names cannot be derived from its routes: services of Traefik, backends of
// ingress-nginx (NAMESPACE-SERVICE-PORT), clusters of Envoy.
type Series map[v1alpha1.Slot][]string

// validate refuses names by which no slot could be told.
func (s Series) validate(subject metric.Subject) error {
	op := "count requests of " + subject.Service
	owner := map[string]v1alpha1.Slot{}
	for _, slot := range subject.Slots() {
		for _, name := range s[slot] {
			other, taken := owner[name]
			switch {
			case name == "":
				return fault.New(fault.Usage, op, "the name of a series of slot %s is empty", slot).WithHint("name a service of Traefik, a backend of ingress-nginx or a cluster of Envoy")
			case taken && other != slot:
				return fault.New(fault.Usage, op, "the series %s is that of both slots", name).WithHint("put {{.Slot}} or {{.Release}} where the slots' names differ")
			}
			owner[name] = slot
		}
	}
	return nil
}

// Source returns the counters of a subject.
func (i *Ingress) Source(subject metric.Subject, question metric.Question, series Series) (*Source, error) {
	if err := question.Validate(); err != nil {
		return nil, err
	}
	if err := series.validate(subject); err != nil {
		return nil, err
	}
	s := &Source{ingress: i, subject: subject, question: question, names: newNames(subject, series)}
	if len(s.names.services) == 0 && len(series) == 0 {
		return nil, fault.New(fault.Usage, "count requests of "+subject.Service, "its slots have no Service that an ingress could lead to").
			WithHint("take another source of metrics: prometheus, azureMonitor or probe")
	}
	return s, nil
}

// round asks all replicas, or gives what they said to somebody else a moment ago.
func (i *Ingress) round(ctx context.Context, s *Source) (*round, metric.Cost, error) {
	i.register(s)
	if err := i.turn.Take(ctx); err != nil {
		return nil, metric.Cost{}, err
	}
	defer i.turn.Give()
	now := i.o.Now()
	// Somebody who comes a little early is to get a new answer.
	age := Interval * 3 / 4
	if s.has(i.last) {
		age = Soonest * 3 / 4
	}
	if l := i.last; l != nil && l.generation == i.current() && now.Sub(l.at) < age && !now.Before(l.at) {
		return l, metric.Cost{}, nil
	}
	w, generation := i.wish(now)
	r, err := i.ask(ctx, w, now)
	if err != nil {
		return nil, metric.Cost{}, err
	}
	i.rounds++
	r.number, r.generation = i.rounds, generation
	i.last = r
	return r, r.cost, nil
}

func (i *Ingress) register(s *Source) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, known := i.sources[s]; !known {
		i.change()
	}
	i.sources[s] = i.o.Now()
}

// change forgets what was known of whose names are wanted.
func (i *Ingress) change() {
	i.generation++
	i.wanted = map[string][]*Source{}
}

func (i *Ingress) current() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.generation
}

// wish is what all sources want that are still read.
func (i *Ingress) wish(now time.Time) (wish, int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	limits := map[time.Duration]bool{}
	for s, read := range i.sources {
		if now.Sub(read) > idle {
			delete(i.sources, s)
			i.change()
			continue
		}
		if s.question.SlowerThan > 0 {
			limits[s.question.SlowerThan] = true
		}
	}
	if len(i.wanted) > maxNames {
		i.wanted = map[string][]*Source{}
	}
	return wish{limits: slices.Collect(maps.Keys(limits)), sources: i.wants}, i.generation
}

// wants lists the sources for which a controller counts something under labels.
func (i *Ingress) wants(f *format, key []byte) []*Source {
	i.mu.Lock()
	defer i.mu.Unlock()
	sources, known := i.wanted[string(key)]
	if known {
		return sources
	}
	identity := strings.Split(string(key), separator)
	for s := range i.sources {
		if _, ours := s.names.slotOf(f, identity); ours {
			sources = append(sources, s)
		}
	}
	if len(i.wanted) <= maxNames {
		i.wanted[string(key)] = sources
	}
	return sources
}

// ask asks every replica at the same time.
func (i *Ingress) ask(ctx context.Context, w wish, now time.Time) (*round, error) {
	var lacked []string
	if i.last != nil {
		lacked = i.last.lacking
	}
	again := i.last == nil || len(lacked) > 0 && now.Sub(i.looked) >= Interval*3/4
	if again {
		i.looked = now
	}
	replicas, cost, err := i.o.Finder.Find(ctx, again)
	if err != nil {
		return nil, err
	}
	r := &round{at: now, pages: map[string]*page{}, present: map[string]bool{}, cost: cost}
	var mu sync.Mutex
	var failures []error
	late, cancel := context.WithCancel(ctx)
	defer cancel()
	var others, laggards sync.WaitGroup
	for _, one := range replicas {
		r.present[one.Name] = true
		ctx, group := ctx, &others
		if slices.Contains(lacked, one.Name) && i.rounds%patientRound != 0 {
			ctx, group = late, &laggards
		}
		group.Go(func() {
			p, bytes, err := i.replica(ctx, one, w, now)
			mu.Lock()
			defer mu.Unlock()
			r.cost = r.cost.Add(metric.Cost{Requests: 1, Bytes: bytes})
			if err != nil {
				failures = append(failures, fmt.Errorf("%s: %w", one.Name, err))
				r.lacking = append(r.lacking, one.Name)
				return
			}
			r.pages[one.Name] = p
		})
	}
	others.Wait()
	defer time.AfterFunc(time.Duration(grace*float64(i.o.AnswerTime)), cancel).Stop()
	laggards.Wait()
	slices.Sort(r.lacking)
	if len(r.pages) > 0 {
		return r, nil
	}
	i.last = nil // look for the replicas anew
	err = errors.Join(failures...)
	down := metric.Down(ctx, "", errors.New(strings.ReplaceAll(err.Error(), "\n", "; ")))
	if errors.Is(err, errStranger) {
		return nil, down.WithHint("is this the controller that the service's routes are for? Name the URL of its metrics, or the namespace and labels of its pods")
	}
	return nil, down.WithHint("check that the controller runs and serves metrics, and that it can be reached from here")
}

func (i *Ingress) replica(ctx context.Context, one Replica, w wish, now time.Time) (*page, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, i.o.AnswerTime)
	defer cancel()
	p, bytes, err := read(ctx, one, w, now)
	switch {
	case err == nil || ctx.Err() == nil:
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("it does not answer within %s", i.o.AnswerTime)
	default:
		err = errors.New("it still does not answer")
	}
	return p, bytes, err
}

func read(ctx context.Context, one Replica, w wish, now time.Time) (*page, int64, error) {
	body, err := one.Open(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = body.Close() }()
	counting := &counter{r: body}
	p, err := scan(counting, w, now)
	return p, counting.n, err
}
