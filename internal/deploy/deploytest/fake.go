// Package deploytest holds the contract every deploy.Releaser keeps, and an in-memory fake that keeps it; it must not be used outside tests.
package deploytest

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

// Verb is a method of the port.
type Verb string

// The verbs.
const (
	Observe Verb = "Observe"
	Deploy  Verb = "Deploy"
	Retire  Verb = "Retire"
)

// Moment is a point of a call at which the hook runs.
type Moment string

// The moments of a call. During is inside Deploy and Retire, when the act has begun and is not finished: dying there leaves
// a pending Helm release, or a slot without pods that is not marked as retired.
const (
	Before Moment = "before"
	During Moment = "during"
	After  Moment = "after"
)

// Call is one call of the fake, as the hook sees it.
type Call struct {
	Verb   Verb
	Moment Moment
	Scope  deploy.Scope
	// Deploy and Retire hold the request of those verbs.
	Deploy *deploy.Request
	Retire *deploy.RetireRequest
}

// Behaviour is how a deploy digest behaves once its pods are started. Its zero value is ready at once with two replicas.
type Behaviour struct {
	// Replicas wanted. Default 2.
	Replicas int
	// ReadyAfter is how long the pods take, by the fake's clock.
	ReadyAfter time.Duration
	// Never says that the pods never become ready.
	Never bool
	// Facts are reported as long as the slot carries the digest and is not ready, or always where Sick is set.
	Facts []v1alpha1.PodFact
	Sick  bool
	// Err is what Deploy answers, as a failing hook would: the revision is marked as failed.
	Err error
	// Routes that the chart renders. Default: one Service.
	Routes *v1alpha1.Routes
}

// Fake is an in-memory deploy.Releaser: no Helm, no cluster. Slots have revisions, digests, replicas and pods that become ready by a clock.
// It is safe for concurrent use. The hook runs without the lock, so it may call the fake, return an error or panic.
type Fake struct {
	mu         sync.Mutex
	now        func() time.Time
	hook       func(context.Context, Call) error
	behaviours map[string]Behaviour
	worlds     map[deploy.Scope]*world
	calls      []Call
}

var _ deploy.Releaser = (*Fake)(nil)

type world struct {
	generation int64
	slots      map[v1alpha1.Slot]*slot
}

type slot struct {
	revisions []revision
	state     deploy.State
	replicas  int
	startedAt time.Time
	// lost replicas are those that a test took away.
	lost int
	// foreignPending names an operation of somebody else.
	foreignPending string
}

type revision struct {
	digest  string
	release v1alpha1.ReleaseRef
	rollout int
	foreign bool
}

// NewFake returns an empty fake. A nil clock stands still at the zero time.
func NewFake(now func() time.Time) *Fake {
	if now == nil {
		now = func() time.Time { return time.Time{} }
	}
	return &Fake{now: now, behaviours: map[string]Behaviour{}, worlds: map[deploy.Scope]*world{}}
}

// Hook installs what runs around every call; an error it returns is the call's error, and nothing of the call happens after it.
func (f *Fake) Hook(h func(context.Context, Call) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = h
}

// Behave says how a deploy digest behaves, from now on. The foreign release of a scope has the digest "".
func (f *Fake) Behave(digest string, b Behaviour) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behaviours[digest] = b
}

// Calls returns the Deploy and Retire calls that took effect, in order.
func (f *Fake) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Call(nil), f.calls...)
}

// Peek observes without the hook.
func (f *Fake) Peek(scope deploy.Scope) deploy.Observation {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.observe(scope)
}

// InstallForeign puts a release there as plain Helm would, with one revision more at each call.
func (f *Fake) InstallForeign(scope deploy.Scope) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.slot(scope, v1alpha1.SlotDirect)
	s.add(revision{foreign: true}, f.now(), f.behaviours[""].replicas())
	s.state = deploy.Deployed
}

// PendForeign leaves a pending operation of somebody else in a slot; an empty name takes it away.
func (f *Fake) PendForeign(scope deploy.Scope, slot v1alpha1.Slot, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slot(scope, slot).foreignPending = name
}

// Lose takes n ready pods of a slot away until it is deployed again.
func (f *Fake) Lose(scope deploy.Scope, slot v1alpha1.Slot, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slot(scope, slot).lost = n
}

// Scale sets a slot's replicas by a foreign hand.
func (f *Fake) Scale(scope deploy.Scope, slot v1alpha1.Slot, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slot(scope, slot).replicas = n
}

// Observe implements deploy.Releaser.
func (f *Fake) Observe(ctx context.Context, scope deploy.Scope) (deploy.Observation, error) {
	call := Call{Verb: Observe, Scope: scope}
	if err := f.at(ctx, call, Before); err != nil {
		return deploy.Observation{}, err
	}
	o := f.Peek(scope)
	return o, f.at(ctx, call, After)
}

// Deploy implements deploy.Releaser.
func (f *Fake) Deploy(ctx context.Context, req deploy.Request) error {
	call := Call{Verb: Deploy, Scope: req.Scope, Deploy: &req}
	if err := f.at(ctx, call, Before); err != nil {
		return err
	}
	if err := f.begin(call, req); err != nil {
		return err
	}
	if err := f.at(ctx, call, During); err != nil {
		return err
	}
	if err := f.finish(req); err != nil {
		return err
	}
	return f.at(ctx, call, After)
}

// Retire implements deploy.Releaser.
func (f *Fake) Retire(ctx context.Context, req deploy.RetireRequest) error {
	call := Call{Verb: Retire, Scope: req.Scope, Retire: &req}
	if err := f.at(ctx, call, Before); err != nil {
		return err
	}
	if err := f.drain(call, req); err != nil {
		return err
	}
	if err := f.at(ctx, call, During); err != nil {
		return err
	}
	f.mark(req)
	return f.at(ctx, call, After)
}

func (f *Fake) at(ctx context.Context, call Call, m Moment) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.mu.Lock()
	hook := f.hook
	f.mu.Unlock()
	if hook == nil {
		return nil
	}
	call.Moment = m
	return hook(ctx, call)
}

func (f *Fake) begin(call Call, req deploy.Request) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	op := "deploy " + req.Slot.HelmRelease(req.Service)
	if err := f.fence(op, req.Scope, req.Generation); err != nil {
		return err
	}
	s := f.slot(req.Scope, req.Slot)
	if s.foreignPending != "" {
		return fault.New(fault.Locked, op, "%s is pending and not ours", s.foreignPending)
	}
	rev := revision{digest: req.DeployDigest, release: req.Ref, rollout: req.Rollout}
	if t := req.Restore; t != nil {
		if t.HelmRevision < 1 || t.HelmRevision > len(s.revisions) {
			return fault.New(fault.Fatal, op, "revision %d is not stored", t.HelmRevision)
		}
		rev = s.revisions[t.HelmRevision-1]
		rev.rollout = req.Rollout
	}
	s.add(rev, f.now(), f.behaviours[rev.digest].replicas())
	s.state = deploy.Pending
	f.calls = append(f.calls, call)
	return nil
}

func (f *Fake) finish(req deploy.Request) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	op := "deploy " + req.Slot.HelmRelease(req.Service)
	if err := f.fence(op, req.Scope, req.Generation); err != nil {
		return err
	}
	s := f.slot(req.Scope, req.Slot)
	if len(s.revisions) == 0 {
		return fault.New(fault.Conflict, op, "the slot was removed meanwhile")
	}
	if b := f.behaviours[s.last().digest]; b.Err != nil {
		s.state = deploy.Broken
		return b.Err
	}
	s.state = deploy.Deployed
	return nil
}

func (f *Fake) drain(call Call, req deploy.RetireRequest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	op := "retire " + req.Slot.HelmRelease(req.Service)
	if err := f.fence(op, req.Scope, req.Generation); err != nil {
		return err
	}
	s := f.slot(req.Scope, req.Slot)
	if s.foreignPending != "" {
		return fault.New(fault.Locked, op, "%s is pending and not ours", s.foreignPending)
	}
	s.replicas = 0
	f.calls = append(f.calls, call)
	return nil
}

func (f *Fake) mark(req deploy.RetireRequest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if req.Remove {
		w := f.world(req.Scope)
		delete(w.slots, req.Slot)
		if !w.installed() {
			// The generation is written on the releases: with the last one it is gone.
			w.generation = 0
		}
		return
	}
	if s := f.slot(req.Scope, req.Slot); len(s.revisions) > 0 {
		s.state = deploy.Retired
	}
}

func (w *world) installed() bool {
	for _, s := range w.slots {
		if len(s.revisions) > 0 {
			return true
		}
	}
	return false
}

// fence refuses what an older driver asks for, and remembers the newest.
func (f *Fake) fence(op string, scope deploy.Scope, generation int64) error {
	w := f.world(scope)
	if generation < w.generation {
		return fault.New(fault.Conflict, op, "generation %d has been here, this is %d", w.generation, generation)
	}
	w.generation = generation
	return nil
}

func (f *Fake) world(scope deploy.Scope) *world {
	w := f.worlds[scope]
	if w == nil {
		w = &world{slots: map[v1alpha1.Slot]*slot{}}
		f.worlds[scope] = w
	}
	return w
}

func (f *Fake) slot(scope deploy.Scope, name v1alpha1.Slot) *slot {
	w := f.world(scope)
	if w.slots[name] == nil {
		w.slots[name] = &slot{}
	}
	return w.slots[name]
}

func (f *Fake) observe(scope deploy.Scope) deploy.Observation {
	o := deploy.Observation{Slots: map[v1alpha1.Slot]deploy.Slot{}}
	for name, s := range maps.All(f.world(scope).slots) {
		if len(s.revisions) > 0 || s.foreignPending != "" {
			o.Slots[name] = f.look(scope, name, s)
		}
	}
	return o
}

func (f *Fake) look(scope deploy.Scope, name v1alpha1.Slot, s *slot) deploy.Slot {
	if len(s.revisions) == 0 {
		return deploy.Slot{State: deploy.Pending, Foreign: true}
	}
	last := s.last()
	b := f.behaviours[last.digest]
	out := deploy.Slot{
		State: s.state, DeployDigest: last.digest, Release: last.release, Rollout: last.rollout,
		HelmRevision: len(s.revisions), Foreign: last.foreign, Desired: s.replicas, Current: true,
		Routes: routes(scope.Service, name, b.Routes),
	}
	if !b.Never && f.now().Sub(s.startedAt) >= b.ReadyAfter {
		out.Ready = max(0, s.replicas-s.lost)
	}
	if s.replicas > 0 && (b.Sick || out.Ready < out.Desired) {
		out.Facts = append(out.Facts, b.Facts...)
	}
	if s.foreignPending != "" {
		out.State = deploy.Pending
	}
	return out
}

func (s *slot) add(r revision, now time.Time, replicas int) {
	s.revisions = append(s.revisions, r)
	s.startedAt, s.replicas, s.lost = now, replicas, 0
}

func (s *slot) last() revision { return s.revisions[len(s.revisions)-1] }

func (b Behaviour) replicas() int {
	if b.Replicas == 0 {
		return 2
	}
	return b.Replicas
}

func routes(service string, name v1alpha1.Slot, own *v1alpha1.Routes) v1alpha1.Routes {
	if own != nil {
		return *own
	}
	manifest := fmt.Sprintf(`{"apiVersion":"v1","kind":"Service","metadata":{"name":%q},"spec":{"selector":{"slot":%q}}}`, service, name)
	return v1alpha1.Routes{Services: []v1alpha1.StableService{
		{Name: service, SlotService: name.HelmRelease(service), Manifest: []byte(manifest)},
	}}
}
