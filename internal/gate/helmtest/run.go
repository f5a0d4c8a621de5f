package helmtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

const (
	// cleanupTime is how long the removal of abandoned test pods may take.
	cleanupTime = 10 * time.Second
	// idle is how long a run goes on that nobody asks about: its rollout is being taken back, or its driver is gone.
	idle = 15 * time.Second
	// orphaned is when an idle run writes nothing any more, not even to clean up. A process that was frozen for the term
	// of a lease wakes with an older question than that, and whatever it would write could meet its successor's tests.
	orphaned = 20 * time.Second
)

// run is one execution of a release's tests.
type run struct {
	question
	// ctx is that of all requests of the run; watching ends earlier, where the tests take too long or cannot end.
	ctx      context.Context
	abandon  context.CancelFunc
	watching context.Context
	giveUp   func(report)
	done     chan struct{}
	// outcome may be read once done is closed.
	outcome outcome

	mu    sync.Mutex
	hooks []*releasev1.Hook
	asked time.Time
}

// outcome is a verdict with evidence, or the error for which there is none.
type outcome struct {
	verdict  v1alpha1.Verdict
	evidence string
	err      error
}

// stuckError says that a pod will not end by waiting.
type stuckError struct{ report report }

func (e *stuckError) Error() string { return e.report.String() }

func newRun(parent context.Context, q question) *run {
	ctx, abandon := context.WithCancel(parent)
	watching, giveUp := context.WithCancelCause(ctx)
	return &run{
		question: q, ctx: ctx, abandon: abandon, watching: watching, done: make(chan struct{}),
		giveUp: func(p report) { giveUp(&stuckError{report: p}) }, asked: time.Now(),
	}
}

// ask says that somebody still wants the answer.
func (r *run) ask() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = time.Now()
}

// silence is how long nobody has asked, by the clock that stands still while the machine sleeps and the one that does not.
func (r *run) silence() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	return max(now.Sub(r.asked), now.Round(0).Sub(r.asked.Round(0)))
}

// mayWrite refuses what an orphan would write.
func (r *run) mayWrite() error {
	if s := r.silence(); s > orphaned {
		return fault.New(fault.Interrupted, "run the tests of release "+r.release, "nobody has asked for their answer in %s", s.Round(time.Second))
	}
	return nil
}

// watch abandons the run when nobody asks about it any more.
func (r *run) watch() {
	for {
		left := idle - r.silence()
		if left <= 0 {
			r.abandon()
			return
		}
		timer := time.NewTimer(left)
		select {
		case <-r.done:
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// tests are the hooks that the run runs; none until it has read the release.
func (r *run) tests() []*releasev1.Hook {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hooks
}

// execute runs the tests to their end.
func (t *Tester) execute(r *run) outcome {
	cfg, err := t.actions(r)
	if err != nil {
		return outcome{err: failed("open the release's history", err)}
	}
	if err := r.read(cfg); err != nil {
		return outcome{err: err}
	}
	if len(r.tests()) == 0 {
		return outcome{verdict: v1alpha1.Failed, evidence: fmt.Sprintf(
			"release %s has no tests, and no evidence is no success: give the chart a Pod or Job with the annotation helm.sh/hook: test, or remove the gate", r.release)}
	}
	watching, cancel := context.WithTimeout(r.watching, r.timeout)
	defer cancel()
	testing := action.NewReleaseTesting(cfg)
	testing.Timeout, testing.Namespace = r.timeout, r.namespace
	testing.WaitOptions = []kube.WaitOption{kube.WithWaitContext(r.ctx), kube.WithWatchUntilReadyMethodContext(watching)}
	_, shutdown, err := testing.Run(r.release)
	if r.ctx.Err() != nil {
		t.cleanUp(r)
		return outcome{err: fault.Wrap(fault.Interrupted, "run the tests of release "+r.release, r.ctx.Err())}
	}
	result := t.judge(watching, r, err)
	// The pods go, as far as their policy says, only now that they have been looked at. Whether they went decides nothing:
	// after a failed test the returned error is that test's.
	_ = shutdown()
	return result
}

// read finds the release's tests.
func (r *run) read(cfg *action.Configuration) error {
	op := "read release " + r.namespace + "/" + r.release
	last, err := cfg.Releases.Last(r.release)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return fault.Wrap(fault.NotFound, op, err)
	}
	if err != nil {
		return failed(op, err)
	}
	release, ok := last.(*releasev1.Release)
	if !ok {
		return fault.New(fault.Fatal, op, "it is of the unknown type %T", last)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, hook := range release.Hooks {
		if isTest(hook) {
			r.hooks = append(r.hooks, hook)
		}
	}
	return nil
}

func isTest(hook *releasev1.Hook) bool { return slices.Contains(hook.Events, releasev1.HookTest) }

// judge turns Helm's error into a verdict by what the pods say; where they say nothing, it could not find out.
func (t *Tester) judge(watching context.Context, r *run, err error) outcome {
	if err == nil {
		names := make([]string, 0, len(r.tests()))
		for _, hook := range r.tests() {
			names = append(names, hook.Kind+" "+hook.Name)
		}
		return outcome{verdict: v1alpha1.Passed, evidence: fmt.Sprintf("the tests of release %s passed: %s", r.release, strings.Join(names, ", "))}
	}
	reports, lookErr := t.inspect(r.ctx, r.namespace, r.tests(), true)
	if lookErr != nil {
		return outcome{err: failed("look at the test pods", lookErr)}
	}
	var stuck *stuckError
	switch {
	case errors.As(context.Cause(watching), &stuck):
		return r.failure("cannot end", reports)
	case slices.ContainsFunc(reports, func(p report) bool { return p.failed }):
		return r.failure("failed", reports)
	case errors.Is(watching.Err(), context.DeadlineExceeded):
		return r.failure(fmt.Sprintf("did not end within %s", r.timeout), reports)
	case refused(err):
		return outcome{verdict: v1alpha1.Failed, evidence: fmt.Sprintf("the tests of release %s could not start: %v", r.release, err)}
	}
	return outcome{err: failed("run the tests of release "+r.release, err)}
}

func (r *run) failure(what string, reports []report) outcome {
	var b strings.Builder
	fmt.Fprintf(&b, "the tests of release %s %s", r.release, what)
	for _, p := range reports {
		if p.problem == "" {
			continue
		}
		b.WriteString("\n" + p.String())
		if p.log != "" {
			b.WriteString("; the end of its log:\n" + p.log)
		}
	}
	return outcome{verdict: v1alpha1.Failed, evidence: b.String()}
}

// cleanUp deletes the pods and jobs of an abandoned run; nobody waits for what they would say.
func (t *Tester) cleanUp(r *run) {
	if r.mayWrite() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), cleanupTime)
	defer cancel()
	background := metav1.DeletePropagationBackground
	for _, hook := range r.tests() {
		// What cannot be deleted is deleted by the next run, before it creates its own.
		switch hook.Kind {
		case "Pod":
			_ = t.kube.CoreV1().Pods(r.namespace).Delete(ctx, hook.Name, metav1.DeleteOptions{})
		case "Job":
			_ = t.kube.BatchV1().Jobs(r.namespace).Delete(ctx, hook.Name, metav1.DeleteOptions{PropagationPolicy: &background})
		}
	}
}
