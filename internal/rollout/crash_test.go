package rollout

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/deploy/deploytest"
	"github.com/sluice-dev/sluice/internal/gate"
	"github.com/sluice-dev/sluice/internal/gate/gatetest"
	"github.com/sluice-dev/sluice/internal/store"
	"github.com/sluice-dev/sluice/internal/store/memory"
	"github.com/sluice-dev/sluice/internal/traffic"
	"github.com/sluice-dev/sluice/internal/traffic/traffictest"
)

// died is what a killed process throws: nothing after it runs.
type died struct{ edge int }

// theatre is a whole world in memory: fake slots, fake traffic, real records, and a clock that only sleeping moves.
// Every call over an edge is counted, before and after its effect, and the process dies at one of them.
type theatre struct {
	t        *testing.T
	clock    sync.Mutex
	at       time.Time // what now says; the look-out asks from a goroutine of its own
	edge     int
	dieAt    int
	releaser *deploytest.Fake
	router   *traffictest.Fake
	store    *memory.Store
	locker   *memory.Locker
	gate     *gatetest.Script
	key      store.Key
	scope    deploy.Scope
	told     map[int]map[int]bool // rollout → sequence numbers announced
	ready    map[v1alpha1.Slot]bool
	strict   bool // whether the invariants are looked at
}

func newTheatre(t *testing.T) *theatre {
	w := &theatre{t: t, at: start(), told: map[int]map[int]bool{}, ready: map[v1alpha1.Slot]bool{}}
	w.key = store.Key{Service: "app", Environment: "prod", Namespace: "app-prod"}
	w.scope = deploy.Scope{Service: "app", Environment: "prod", Namespace: "app-prod"}
	w.releaser = deploytest.NewFake(w.now)
	w.releaser.Hook(func(context.Context, deploytest.Call) error { return w.cross() })
	w.router = traffictest.NewFake(traffictest.Options{Now: w.now, Convergence: time.Second, Staged: true})
	w.router.Hook(func(context.Context, traffictest.Call) error { return w.cross() })
	w.store = memory.New(func(context.Context, memory.Call) error { return w.cross() })
	w.locker = memory.NewLocker(w.now, nil)
	w.gate = gatetest.NewScript()
	return w
}

func (w *theatre) now() time.Time {
	w.clock.Lock()
	defer w.clock.Unlock()
	return w.at
}

func (w *theatre) pass(d time.Duration) {
	w.clock.Lock()
	defer w.clock.Unlock()
	w.at = w.at.Add(d)
}

// cross is called at every edge, before and after.
func (w *theatre) cross() error {
	w.edge++
	w.look()
	if w.edge == w.dieAt {
		panic(died{w.edge})
	}
	return nil
}

// look holds what must be true at every moment.
func (w *theatre) look() {
	if !w.strict {
		return
	}
	for name, slot := range w.releaser.Peek(w.scope).Slots {
		if slot.IsReady() {
			w.ready[name] = true
		}
	}
	weights := w.router.Peek(w.target()).Split.Weights
	sum := 0
	for slot, weight := range weights {
		sum += weight
		if weight > 0 && !w.ready[slot] {
			w.t.Fatalf("edge %d: %d %% of the traffic at slot %s, which was never ready", w.edge, weight, slot)
		}
	}
	if len(weights) > 0 && sum != 100 {
		w.t.Fatalf("edge %d: weights %v", w.edge, weights)
	}
}

func (w *theatre) target() traffic.Target {
	return traffic.Target{Service: "app", Environment: "prod", Namespace: "app-prod"}
}

func (w *theatre) machine() *Machine {
	return New(Options{
		Store: w.store, Releaser: w.releaser, Routers: map[v1alpha1.Router]traffic.Router{v1alpha1.RouterNginx: w.router},
		Gates:    func(v1alpha1.Gate) (gate.Gate, error) { return w.gate, nil },
		Releases: releases{},
		Announce: func(_ context.Context, r v1alpha1.Rollout, e v1alpha1.Event) error {
			if w.told[r.Number] == nil {
				w.told[r.Number] = map[int]bool{}
			}
			w.told[r.Number][e.Seq] = true
			return w.cross()
		},
		Now: w.now,
		Sleep: func(_ context.Context, d time.Duration, _ <-chan struct{}) error {
			w.pass(max(d, 500*time.Millisecond))
			return nil
		},
	})
}

type releases struct{}

func (releases) Load(_ context.Context, ref v1alpha1.ReleaseRef) (*v1alpha1.Release, error) {
	return &v1alpha1.Release{Service: "app", Version: ref.Version}, nil
}

func environment(strategy string) v1alpha1.Environment {
	env := v1alpha1.Environment{
		Namespace: "app-prod", Timeout: v1alpha1.Duration(time.Minute),
		Gates: []v1alpha1.Gate{{Name: "g", HTTP: &v1alpha1.HTTPGate{Path: "/"}}},
	}
	nginx := v1alpha1.Traffic{Nginx: &v1alpha1.NginxTraffic{}}
	switch strategy {
	case "blueGreen":
		env.Strategy.BlueGreen = &v1alpha1.BlueGreen{Traffic: nginx}
	case "canary":
		env.Strategy.Canary = &v1alpha1.Canary{Traffic: nginx, Steps: []v1alpha1.Step{{Weight: 0}, {Weight: 30, Hold: v1alpha1.Duration(3 * time.Second)}, {Weight: 100}}}
	default:
		env.Strategy.Direct = &v1alpha1.Direct{}
	}
	return env
}

func (w *theatre) start(version, strategy string) Start {
	return Start{
		Key: w.key, Release: v1alpha1.Release{Service: "app", Version: version},
		Ref:         v1alpha1.ReleaseRef{Ref: "registry/app@" + version, Digest: "sha256:" + version, Version: version},
		Environment: environment(strategy), By: "ann",
	}
}

// run deploys a version; alive is false where the process died.
func (w *theatre) run(version, strategy string) (r v1alpha1.Rollout, err error, alive bool) {
	defer func() {
		if cause := recover(); cause != nil {
			if _, ok := cause.(died); !ok {
				panic(cause)
			}
			w.locker.Stop(w.key)
		}
	}()
	r, err = w.machine().Run(context.Background(), w.start(version, strategy), DriveOptions{Locker: w.locker, Holder: "ann", WaitSettled: true})
	return r, err, true
}

// must deploys a version undisturbed.
func (w *theatre) must(version, strategy string, want v1alpha1.Phase) v1alpha1.Rollout {
	w.t.Helper()
	r, err, _ := w.run(version, strategy)
	if err != nil || r.Phase != want {
		w.t.Fatalf("%s of %s: phase %s (%s), error %v; want %s", strategy, version, r.Phase, r.Cause, err, want)
	}
	return r
}

// digest is what a slot carries for a version.
func (w *theatre) digest(version, strategy string) string {
	d, err := Digest(w.start(version, strategy).Ref, "prod", environment(strategy), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// play is one story: what was there before, the rollout that is disturbed, and how it must end.
type play struct {
	name     string
	before   []string // strategies of the versions before, in order
	strategy string
	bad      func(w *theatre, digest string)
	want     v1alpha1.Phase
}

func plays() []play {
	crash := func(w *theatre, digest string) {
		w.releaser.Behave(digest, deploytest.Behaviour{Never: true, Facts: []v1alpha1.PodFact{{Pod: "p", Reason: "CrashLoopBackOff", Fatal: true}}})
	}
	slow := func(w *theatre, digest string) {
		w.releaser.Behave(digest, deploytest.Behaviour{ReadyAfter: 3 * time.Second})
	}
	gateFails := func(w *theatre, _ string) { w.gate = gatetest.NewScript(gatetest.Fail("status 500")) }
	return []play{
		{"first installation", nil, "canary", nil, v1alpha1.Succeeded},
		{"first installation in place", nil, "direct", nil, v1alpha1.Succeeded},
		{"first installation crashes", nil, "blueGreen", crash, v1alpha1.RolledBack},
		{"first installation in place crashes", nil, "direct", crash, v1alpha1.RolledBack},
		{"canary", []string{"canary"}, "canary", slow, v1alpha1.Succeeded},
		{"blue/green", []string{"blueGreen", "blueGreen"}, "blueGreen", nil, v1alpha1.Succeeded},
		{"in place", []string{"direct"}, "direct", slow, v1alpha1.Succeeded},
		{"canary crashes", []string{"canary"}, "canary", crash, v1alpha1.RolledBack},
		{"canary fails a gate", []string{"canary"}, "canary", gateFails, v1alpha1.RolledBack},
		{"direct to slots", []string{"direct"}, "blueGreen", nil, v1alpha1.Succeeded},
		{"direct to slots crashes", []string{"direct"}, "canary", crash, v1alpha1.RolledBack},
		{"slots to direct", []string{"canary"}, "direct", nil, v1alpha1.Succeeded},
		{"slots to direct crashes", []string{"canary"}, "direct", crash, v1alpha1.RolledBack},
		{"in place crashes", []string{"direct"}, "direct", crash, v1alpha1.RolledBack},
	}
}

// stage sets a play up to the moment before the disturbed rollout.
func (p play) stage(t *testing.T) (*theatre, string) {
	w := newTheatre(t)
	for i, strategy := range p.before {
		w.must(fmt.Sprintf("%d.0.0", i+1), strategy, v1alpha1.Succeeded)
		if strategy == "direct" {
			// In place, the routes are the chart's own.
			w.router.Adopt(w.target(), v1alpha1.SlotDirect)
		}
	}
	version := fmt.Sprintf("%d.0.0", len(p.before)+1)
	if p.bad != nil {
		p.bad(w, w.digest(version, p.strategy))
	}
	w.edge, w.strict = 0, true
	return w, version
}

// TestDieAnywhere kills the process before and after every call over an edge and runs the same command again: same end, promises held at every moment.
func TestDieAnywhere(t *testing.T) {
	for _, p := range plays() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			w, version := p.stage(t)
			undisturbed := w.must(version, p.strategy, p.want)
			edges := w.edge
			if edges < 10 {
				t.Fatalf("only %d edges were crossed: nothing is tested", edges)
			}
			for n := 1; n <= edges; n++ {
				p.dieAt(t, n, undisturbed)
			}
		})
	}
}

func (p play) dieAt(t *testing.T, n int, undisturbed v1alpha1.Rollout) {
	t.Helper()
	w, version := p.stage(t)
	w.dieAt = n
	if _, err, alive := w.run(version, p.strategy); alive {
		t.Fatalf("edge %d of an undisturbed run was not reached (%v)", n, err)
	}
	r, err := w.again(version, p.strategy)
	if err != nil || r.Phase != p.want {
		t.Fatalf("died at edge %d, then: phase %s (%s), error %v; want %s", n, r.Phase, r.Cause, err, p.want)
	}
	w.ended(n, r, undisturbed)
}

// again is what a person does: the same command, or resume where the rollout is already being taken back.
func (w *theatre) again(version, strategy string) (v1alpha1.Rollout, error) {
	records, err := w.store.List(context.Background(), w.key)
	if err != nil {
		return v1alpha1.Rollout{}, err
	}
	o := DriveOptions{Locker: w.locker, Holder: "bob", WaitSettled: true}
	if active, ok := Active(records); ok {
		return w.machine().Drive(context.Background(), w.key, active.Number, o)
	}
	if len(records) > 0 && records[0].Rollout.Release.Version == version {
		return w.machine().Drive(context.Background(), w.key, records[0].Rollout.Number, o)
	}
	r, err, _ := w.run(version, strategy)
	return r, err
}

func (w *theatre) ended(n int, r, undisturbed v1alpha1.Rollout) {
	w.t.Helper()
	o := w.releaser.Peek(w.scope)
	live := o.Slots[r.Candidate]
	if r.Phase == v1alpha1.RolledBack {
		live = o.Slots[r.Return.Slot]
		if r.Return.Slot == v1alpha1.SlotNone {
			if len(o.Slots) > 0 {
				w.t.Fatalf("died at edge %d: a removed first installation left %+v", n, o.Slots)
			}
			return
		}
		if live.DeployDigest != undisturbed.Return.DeployDigest {
			w.t.Fatalf("died at edge %d: rolled back to %q, want %q", n, live.DeployDigest, undisturbed.Return.DeployDigest)
		}
	} else if live.DeployDigest != r.DeployDigest {
		w.t.Fatalf("died at edge %d: succeeded with %q, want %q", n, live.DeployDigest, r.DeployDigest)
	}
	if !live.IsReady() {
		w.t.Fatalf("died at edge %d: what serves is not ready: %+v", n, live)
	}
	for _, e := range r.History {
		if !w.told[r.Number][e.Seq] {
			w.t.Fatalf("died at edge %d: event %d (%s) was never announced", n, e.Seq, e.Message)
		}
	}
}

// TestFrozenDriverChangesNothing freezes a driver right before each of its acts, lets another one take over and finish, and wakes it.
func TestFrozenDriverChangesNothing(t *testing.T) {
	for act := 1; act <= 6; act++ {
		t.Run(fmt.Sprintf("act %d", act), func(t *testing.T) {
			w := newTheatre(t)
			w.must("1.0.0", "canary", v1alpha1.Succeeded)
			acts, frozen := 0, false
			freeze := func() error {
				if acts++; acts != act || frozen {
					return nil
				}
				frozen = true
				w.locker.Stop(w.key)
				if r, err := w.again("2.0.0", "canary"); err != nil || r.Phase != v1alpha1.Succeeded {
					t.Fatalf("after the takeover: %s, %v", r.Phase, err)
				}
				return nil
			}
			w.router.Hook(func(_ context.Context, c traffictest.Call) error {
				if c.Verb == traffictest.Shift && c.Moment == traffictest.Before && !frozen {
					return freeze()
				}
				return nil
			})
			w.releaser.Hook(func(_ context.Context, c deploytest.Call) error {
				if c.Verb != deploytest.Observe && c.Moment == deploytest.Before && !frozen {
					return freeze()
				}
				return nil
			})
			_, err, _ := w.run("2.0.0", "canary")
			if !frozen {
				t.Fatalf("there is no act %d: nothing was tested", act)
			}
			if err == nil {
				t.Error("the woken driver did not notice that it was replaced")
			}
			w.releaser.Hook(nil)
			w.router.Hook(nil)
			o := w.releaser.Peek(w.scope)
			live := w.router.Peek(w.target()).Split.Live()
			if o.Slots[live].DeployDigest != w.digest("2.0.0", "canary") || !o.Slots[live].IsReady() {
				t.Errorf("the woken driver changed something: live %s, slots %+v", live, o.Slots)
			}
		})
	}
}
