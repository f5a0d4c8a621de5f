// Package http asks a new version over HTTP, as its users do; it must not follow redirects, wait between attempts or judge by statistics.
package http

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/gate"
	"github.com/sluice-dev/sluice/internal/variables"
)

var _ gate.Gate = (*Gate)(nil)

const (
	// between is the least time between two attempts.
	between = time.Second
	// forget is how long a count of attempts is kept that nobody goes on with; whoever asks later begins anew.
	forget = 30 * time.Second
)

// APIServer is the way to a Service where no route leads to it: the API server's service proxy.
type APIServer struct {
	// Base is the API server's URL.
	Base *url.URL
	// Transport authenticates.
	Transport http.RoundTripper
}

// Options are what a Prober may be told; the zero value is good for gates that go through an entry.
type Options struct {
	// APIServer reaches Services. Nil: gates that need it fail with fault.Usage.
	APIServer *APIServer
	// Transport for every other call. Default: one that uses the proxy of the environment, and loopback for names ending in .localhost.
	Transport http.RoundTripper
	// Now tells the time. Default time.Now.
	Now func() time.Time
	// Secrets are taken out of answers before they are cut to be evidence. Default: none is known.
	Secrets *variables.Masker
}

// Prober makes gates that share their counts of attempts, so that a gate made anew for every look goes on counting.
type Prober struct {
	o Options

	mu       sync.Mutex
	attempts map[attempted]attempts
}

// attempted is what is counted: a gate's question about a slot at a step of a rollout.
type attempted struct {
	service, environment, namespace, slot, gate, url string
	rollout, step                                    int
}

type attempts struct {
	failed   int
	at       time.Time
	evidence string
}

// New returns a Prober.
func New(o Options) *Prober {
	if o.Transport == nil {
		o.Transport = NewTransport()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Secrets == nil {
		o.Secrets = &variables.Masker{}
	}
	return &Prober{o: o, attempts: map[attempted]attempts{}}
}

// Gate is one question: a call, and the answer that is expected.
type Gate struct {
	prober   *Prober
	name     string
	spec     v1alpha1.HTTPGate
	expected expectation
}

// Gate makes the gate of a specification; fault.Usage where it cannot be asked.
func (p *Prober) Gate(spec v1alpha1.Gate) (*Gate, error) {
	op := "gate " + spec.DisplayName()
	if spec.HTTP == nil {
		return nil, fault.New(fault.Usage, op, "it is no http gate")
	}
	expected, err := newExpectation(spec.HTTP.Expect)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	g := &Gate{prober: p, name: spec.DisplayName(), spec: *spec.HTTP, expected: expected}
	if g.spec.Attempts < 1 {
		g.spec.Attempts = 3
	}
	if g.spec.Method == "" {
		g.spec.Method = http.MethodGet
	}
	return g, nil
}

// Check makes at most one attempt. A failed one is Waiting until all have failed, at least a second apart; where the last
// was less than a second ago none is made, so that a caller may ask as often as it likes.
func (g *Gate) Check(ctx context.Context, subject gate.Subject) (v1alpha1.Verdict, string, error) {
	op := "gate " + g.name
	if err := ctx.Err(); err != nil {
		return "", "", fault.Wrap(fault.Interrupted, op, err)
	}
	c, err := g.call(subject)
	if err != nil {
		return "", "", err
	}
	key := attempted{
		service: subject.Service, environment: subject.Environment, namespace: subject.Namespace, slot: string(subject.Slot),
		gate: g.name, url: c.url, rollout: subject.Rollout, step: subject.Step,
	}
	if known, soon := g.prober.tooSoon(key); soon {
		return v1alpha1.Waiting, g.progress(known), nil
	}
	ok, evidence, err := g.attempt(ctx, c)
	if err != nil {
		return "", "", err
	}
	if ok {
		g.prober.settle(key)
		return v1alpha1.Passed, evidence, nil
	}
	count := g.prober.count(key, evidence)
	if count.failed < g.spec.Attempts {
		return v1alpha1.Waiting, g.progress(count), nil
	}
	g.prober.settle(key)
	return v1alpha1.Failed, fmt.Sprintf("%s (%d of %d attempts failed)", evidence, count.failed, g.spec.Attempts), nil
}

func (g *Gate) progress(a attempts) string {
	return fmt.Sprintf("attempt %d of %d failed: %s", a.failed, g.spec.Attempts, a.evidence)
}

func (p *Prober) tooSoon(key attempted) (attempts, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.attempts[key]
	return a, ok && p.o.Now().Sub(a.at) < between
}

// count adds a failed attempt, and drops the counts that nobody goes on with.
func (p *Prober) count(key attempted, evidence string) attempts {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.o.Now()
	for k, a := range p.attempts {
		if now.Sub(a.at) > forget {
			delete(p.attempts, k)
		}
	}
	a := attempts{failed: p.attempts[key].failed + 1, at: now, evidence: evidence}
	p.attempts[key] = a
	return a
}

// settle forgets the count: after an end, the same question is a new one.
func (p *Prober) settle(key attempted) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.attempts, key)
}
