// Package helmtest runs the chart's test hooks against a slot's Helm release; it must not change the release, its history included.
package helmtest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/gate"
)

var _ gate.Gate = (*Gate)(nil)

// defaultTimeout is that of all tests together.
const defaultTimeout = 5 * time.Minute

// Options are what a Tester may be told; the zero value is good.
type Options struct {
	// Log takes Helm's own log. Nil drops it.
	Log slog.Handler
	// Hide takes secrets out of logs, before they are cut to be evidence. Nil: none is known.
	Hide func(text string) string
}

// Tester runs tests in the background and keeps what they came to, so that a gate made anew for every look finds its run.
type Tester struct {
	kube    kubernetes.Interface
	hide    func(string) string
	actions func(*run) (*action.Configuration, error)
	ctx     context.Context
	stop    context.CancelFunc

	mu     sync.Mutex
	closed bool
	runs   map[place]*run
}

// place is a Helm release; its tests use fixed names, so that only one run at a time can be there.
type place struct{ namespace, release string }

// question is what a run answers. Asked again, it is answered by the same run.
type question struct {
	place
	service, environment, gate string
	rollout, step              int
	timeout                    time.Duration
}

// New returns a Tester for the cluster of config. Close ends what it runs.
func New(config *rest.Config, o Options) (*Tester, error) {
	if o.Log == nil {
		o.Log = slog.DiscardHandler
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "connect to the cluster", err)
	}
	t := newTester(client, func(r *run) (*action.Configuration, error) {
		return newActions(r.ctx, r.mayWrite, config, r.namespace, o.Log)
	})
	if o.Hide != nil {
		t.hide = o.Hide
	}
	return t, nil
}

func newTester(client kubernetes.Interface, actions func(*run) (*action.Configuration, error)) *Tester {
	ctx, stop := context.WithCancel(context.Background())
	return &Tester{kube: client, hide: func(text string) string { return text }, actions: actions, ctx: ctx, stop: stop, runs: map[place]*run{}}
}

// Gate makes the gate of a specification; fault.Usage where it is of another kind.
func (t *Tester) Gate(spec v1alpha1.Gate) (*Gate, error) {
	if spec.HelmTest == nil {
		return nil, fault.New(fault.Usage, "gate "+spec.DisplayName(), "it is no helmTest gate")
	}
	return &Gate{tester: t, name: spec.DisplayName(), timeout: spec.HelmTest.Timeout.Or(defaultTimeout)}, nil
}

// Close ends every run, deletes the test pods that were still running, and waits for that as long as ctx lasts.
func (t *Tester) Close(ctx context.Context) error {
	t.mu.Lock()
	t.closed = true
	runs := make([]*run, 0, len(t.runs))
	for _, r := range t.runs {
		runs = append(runs, r)
	}
	t.mu.Unlock()
	t.stop()
	for _, r := range runs {
		select {
		case <-r.done:
		case <-ctx.Done():
			return fault.New(fault.Interrupted, "end the helm tests", "those of release %s/%s are still being ended: %w", r.namespace, r.release, ctx.Err())
		}
	}
	return nil
}

// Gate runs the tests of the candidate's Helm release.
type Gate struct {
	tester  *Tester
	name    string
	timeout time.Duration
}

// Check starts the tests where nobody did, and tells how they stand.
func (g *Gate) Check(ctx context.Context, s gate.Subject) (v1alpha1.Verdict, string, error) {
	op := "gate " + g.name
	if err := ctx.Err(); err != nil {
		return "", "", fault.Wrap(fault.Interrupted, op, err)
	}
	if s.Slot == v1alpha1.SlotNone {
		return "", "", fault.New(fault.Usage, op, "there is no slot whose tests could run")
	}
	r, err := g.tester.run(question{
		place:   place{namespace: s.Namespace, release: s.Slot.HelmRelease(s.Service)},
		service: s.Service, environment: s.Environment, gate: g.name, rollout: s.Rollout, step: s.Step, timeout: g.timeout,
	})
	if err != nil {
		return "", "", err
	}
	select {
	case <-r.done:
		return g.tester.result(op, r)
	default:
		return g.tester.progress(ctx, op, r)
	}
}

// run returns the run that answers a question, and starts it where there is none. One that answers another question of the
// same release is ended first: its answer is not wanted any more.
func (t *Tester) run(q question) (*run, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, fault.New(fault.Interrupted, "gate "+q.gate, "the tests have been ended")
	}
	before := t.runs[q.place]
	if before != nil && before.question == q {
		before.ask()
		return before, nil
	}
	r := newRun(t.ctx, q)
	t.runs[q.place] = r
	go func() {
		defer close(r.done)
		defer r.abandon()
		if before != nil {
			before.abandon()
			<-before.done
		}
		r.outcome = t.execute(r)
	}()
	go r.watch()
	return r, nil
}

// result hands over what a run came to. One that could not find out is forgotten, so that the next look starts anew.
func (t *Tester) result(op string, r *run) (v1alpha1.Verdict, string, error) {
	if r.outcome.err == nil {
		return r.outcome.verdict, r.outcome.evidence, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.runs[r.place] == r {
		delete(t.runs, r.place)
	}
	return "", "", fmt.Errorf("%s: %w", op, r.outcome.err)
}

// progress looks at the pods of a run, and ends one that cannot end by itself.
func (t *Tester) progress(ctx context.Context, op string, r *run) (v1alpha1.Verdict, string, error) {
	reports, err := t.inspect(ctx, r.namespace, r.tests(), false)
	if err != nil {
		return "", "", failed(op, err)
	}
	evidence := fmt.Sprintf("the tests of release %s are running", r.release)
	for _, p := range reports {
		if p.stuck {
			r.giveUp(p)
		}
		if p.problem != "" {
			evidence += "; " + p.String()
		}
	}
	return v1alpha1.Waiting, strings.TrimSpace(evidence), nil
}
