package deploytest

import (
	"context"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

// Subject is an implementation under test with an empty place to deploy to.
type Subject struct {
	Releaser deploy.Releaser
	Scope    deploy.Scope
	// Good and Better are two working releases of the scope's service with different digests; Bad has pods that crash.
	Good, Better, Bad Release
	// Plan is a two-slot plan, Direct one of the direct strategy.
	Plan, Direct v1alpha1.Plan
	// Until observes until the condition holds, and fails the test where it does not in a time the implementation knows.
	Until func(t *testing.T, what string, ok func(deploy.Observation) bool) deploy.Observation
	// InstallForeign installs the service as plain Helm would.
	InstallForeign func(t *testing.T)
	// PendForeign leaves a pending operation of somebody else in the direct slot.
	PendForeign func(t *testing.T)
}

// Release is a release with its reference and the digest to deploy it under.
type Release struct {
	Release *v1alpha1.Release
	Ref     v1alpha1.ReleaseRef
	Digest  string
}

// Contract runs the suite. Each case gets a subject of its own.
func Contract(t *testing.T, subject func(t *testing.T) Subject) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(*testing.T, Subject)
	}{
		{"nothing is there at first", testEmpty},
		{"two slots live side by side", testSlots},
		{"the same deployment again changes nothing that serves", testRepeat},
		{"retire keeps the release and deploy brings it back", testRetire},
		{"restore brings a retired slot back", testRestoreRetired},
		{"remove leaves nothing", testRemove},
		{"an older generation is refused", testFence},
		{"a crashing release is told by a fatal fact", testFacts},
		{"direct goes back to a stored revision", testRestore},
		{"a foreign release is observed and can be returned to", testForeign},
		{"a foreign pending operation locks", testForeignPending},
		{"a cancelled context stops", testCancelled},
		{"a witness tells what is wrong with a candidate", testWitness},
		{"a witness compares the one slot with what it was", testWitnessDirect},
		{"a witness says what it cannot see", testWitnessBlind},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, subject(t)) })
	}
}

func (s Subject) request(slot, live v1alpha1.Slot, r Release, rollout int, generation int64) deploy.Request {
	plan := s.Plan
	if slot == v1alpha1.SlotDirect && (live == slot || live == v1alpha1.SlotNone) {
		plan = s.Direct
	}
	return deploy.Request{
		Scope: s.Scope, Slot: slot, Live: live, Release: r.Release, Ref: r.Ref, DeployDigest: r.Digest,
		Plan: plan, Rollout: rollout, Generation: generation,
	}
}

func (s Subject) deploy(t *testing.T, req deploy.Request) {
	t.Helper()
	if err := s.Releaser.Deploy(context.Background(), req); err != nil {
		t.Fatalf("deploy %s: %v", req.Slot, err)
	}
}

func (s Subject) retire(t *testing.T, slot, live v1alpha1.Slot, remove bool, generation int64) {
	t.Helper()
	err := s.Releaser.Retire(context.Background(), deploy.RetireRequest{
		Scope: s.Scope, Slot: slot, Live: live, Remove: remove, Plan: s.Plan, Rollout: 9, Generation: generation,
	})
	if err != nil {
		t.Fatalf("retire %s: %v", slot, err)
	}
}

func (s Subject) observe(t *testing.T) deploy.Observation {
	t.Helper()
	o, err := s.Releaser.Observe(context.Background(), s.Scope)
	if err != nil {
		t.Fatalf("observe: %v", err)
	}
	return o
}

// ready waits until a slot is ready with a digest.
func (s Subject) ready(t *testing.T, slot v1alpha1.Slot, digest string) deploy.Slot {
	t.Helper()
	o := s.Until(t, string(slot)+" ready with "+digest, func(o deploy.Observation) bool {
		return o.Slots[slot].IsReady() && o.Slots[slot].DeployDigest == digest
	})
	return o.Slots[slot]
}

func testEmpty(t *testing.T, s Subject) {
	if o := s.observe(t); len(o.Slots) != 0 {
		t.Errorf("an empty place has slots: %+v", o.Slots)
	}
	s.retire(t, v1alpha1.SlotBlue, v1alpha1.SlotNone, false, 1)
	s.retire(t, v1alpha1.SlotBlue, v1alpha1.SlotNone, true, 1)
	if o := s.observe(t); len(o.Slots) != 0 {
		t.Errorf("retiring nothing made slots: %+v", o.Slots)
	}
}

func testSlots(t *testing.T, s Subject) {
	s.deploy(t, s.request(v1alpha1.SlotBlue, v1alpha1.SlotNone, s.Good, 1, 1))
	first := s.ready(t, v1alpha1.SlotBlue, s.Good.Digest)
	if first.Rollout != 1 || first.Release != s.Good.Ref || first.HelmRevision != 1 || first.Foreign {
		t.Errorf("blue after its first deployment: %+v", first)
	}
	s.deploy(t, s.request(v1alpha1.SlotGreen, v1alpha1.SlotBlue, s.Better, 2, 2))
	green := s.ready(t, v1alpha1.SlotGreen, s.Better.Digest)
	blue := s.ready(t, v1alpha1.SlotBlue, s.Good.Digest)
	if blue.Rollout != 1 || blue.HelmRevision != first.HelmRevision {
		t.Errorf("deploying green changed blue: %+v", blue)
	}
	if len(blue.Routes.Services) == 0 || len(green.Routes.Services) == 0 {
		t.Fatalf("slots without Services: blue %+v, green %+v", blue.Routes, green.Routes)
	}
	if b, g := blue.Routes.Services[0], green.Routes.Services[0]; b.Name != g.Name || b.SlotService == g.SlotService {
		t.Errorf("want one stable name and two slot Services, have %s → %s and %s → %s", b.Name, b.SlotService, g.Name, g.SlotService)
	}
	s.deploy(t, s.request(v1alpha1.SlotGreen, v1alpha1.SlotBlue, s.Good, 3, 2))
	if again := s.ready(t, v1alpha1.SlotGreen, s.Good.Digest); again.HelmRevision <= green.HelmRevision || again.Rollout != 3 {
		t.Errorf("another release in green: %+v", again)
	}
}

func testRepeat(t *testing.T, s Subject) {
	req := s.request(v1alpha1.SlotBlue, v1alpha1.SlotNone, s.Good, 1, 1)
	s.deploy(t, req)
	s.ready(t, v1alpha1.SlotBlue, s.Good.Digest)
	s.deploy(t, req)
	if again := s.observe(t).Slots[v1alpha1.SlotBlue]; !again.IsReady() || again.DeployDigest != s.Good.Digest {
		t.Errorf("after the same deployment again: %+v", again)
	}
}

func testRetire(t *testing.T, s Subject) {
	s.deploy(t, s.request(v1alpha1.SlotBlue, v1alpha1.SlotNone, s.Good, 1, 1))
	before := s.ready(t, v1alpha1.SlotBlue, s.Good.Digest)
	s.retire(t, v1alpha1.SlotBlue, v1alpha1.SlotGreen, false, 2)
	s.retire(t, v1alpha1.SlotBlue, v1alpha1.SlotGreen, false, 2)
	after := s.observe(t).Slots[v1alpha1.SlotBlue]
	if after.State != deploy.Retired || after.Desired != 0 || after.HelmRevision < before.HelmRevision || after.IsReady() {
		t.Errorf("after retire: %+v", after)
	}
	s.deploy(t, s.request(v1alpha1.SlotBlue, v1alpha1.SlotGreen, s.Good, 2, 2))
	if back := s.ready(t, v1alpha1.SlotBlue, s.Good.Digest); back.Desired != before.Desired {
		t.Errorf("deployed again with %d replicas, before it were %d", back.Desired, before.Desired)
	}
}

func testRestoreRetired(t *testing.T, s Subject) {
	s.deploy(t, s.request(v1alpha1.SlotBlue, v1alpha1.SlotNone, s.Good, 1, 1))
	before := s.ready(t, v1alpha1.SlotBlue, s.Good.Digest)
	s.retire(t, v1alpha1.SlotBlue, v1alpha1.SlotGreen, false, 2)
	req := s.request(v1alpha1.SlotBlue, v1alpha1.SlotGreen, Release{Ref: s.Good.Ref, Digest: s.Good.Digest}, 2, 2)
	req.Restore = &v1alpha1.ReturnTarget{
		Slot: v1alpha1.SlotBlue, DeployDigest: s.Good.Digest, Release: s.Good.Ref, HelmRevision: before.HelmRevision,
	}
	s.deploy(t, req)
	if back := s.ready(t, v1alpha1.SlotBlue, s.Good.Digest); back.Desired != before.Desired || back.Release != s.Good.Ref {
		t.Errorf("restored %+v, before it was %+v", back, before)
	}
}

func testRemove(t *testing.T, s Subject) {
	s.deploy(t, s.request(v1alpha1.SlotBlue, v1alpha1.SlotNone, s.Good, 1, 1))
	s.retire(t, v1alpha1.SlotBlue, v1alpha1.SlotNone, true, 1)
	s.Until(t, "blue gone", func(o deploy.Observation) bool { return len(o.Slots) == 0 })
	s.retire(t, v1alpha1.SlotBlue, v1alpha1.SlotNone, true, 1)
}

func testFence(t *testing.T, s Subject) {
	s.deploy(t, s.request(v1alpha1.SlotBlue, v1alpha1.SlotNone, s.Good, 1, 5))
	err := s.Releaser.Deploy(context.Background(), s.request(v1alpha1.SlotBlue, v1alpha1.SlotNone, s.Better, 2, 4))
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("deploy of an older generation: want a conflict, have %v", err)
	}
	err = s.Releaser.Retire(context.Background(), deploy.RetireRequest{Scope: s.Scope, Slot: v1alpha1.SlotBlue, Plan: s.Plan, Generation: 4})
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("retire of an older generation: want a conflict, have %v", err)
	}
	if blue := s.ready(t, v1alpha1.SlotBlue, s.Good.Digest); blue.Rollout != 1 || blue.HelmRevision != 1 {
		t.Errorf("the older generation changed something: %+v", blue)
	}
}

func testFacts(t *testing.T, s Subject) {
	s.deploy(t, s.request(v1alpha1.SlotBlue, v1alpha1.SlotNone, s.Bad, 1, 1))
	o := s.Until(t, "a fatal fact", func(o deploy.Observation) bool {
		_, fatal := o.Slots[v1alpha1.SlotBlue].Fatal()
		return fatal
	})
	if f, _ := o.Slots[v1alpha1.SlotBlue].Fatal(); f.Pod == "" || f.Reason == "" || f.Log == "" {
		t.Errorf("the fact lacks pod, reason or log: %+v", f)
	}
	if o.Slots[v1alpha1.SlotBlue].IsReady() {
		t.Errorf("a crashing slot is ready: %+v", o.Slots[v1alpha1.SlotBlue])
	}
}

func testRestore(t *testing.T, s Subject) {
	s.deploy(t, s.request(v1alpha1.SlotDirect, v1alpha1.SlotNone, s.Good, 1, 1))
	good := s.ready(t, v1alpha1.SlotDirect, s.Good.Digest)
	s.deploy(t, s.request(v1alpha1.SlotDirect, v1alpha1.SlotDirect, s.Bad, 2, 2))
	if bad := s.observe(t).Slots[v1alpha1.SlotDirect]; bad.DeployDigest != s.Bad.Digest {
		t.Fatalf("after the bad release: %+v", bad)
	}
	req := s.request(v1alpha1.SlotDirect, v1alpha1.SlotDirect, s.Good, 2, 2)
	req.Release = nil
	req.Restore = &v1alpha1.ReturnTarget{
		Slot: v1alpha1.SlotDirect, DeployDigest: s.Good.Digest, Release: s.Good.Ref, HelmRevision: good.HelmRevision,
	}
	s.deploy(t, req)
	if back := s.ready(t, v1alpha1.SlotDirect, s.Good.Digest); back.Release != s.Good.Ref || back.Rollout != 2 {
		t.Errorf("after the way back: %+v", back)
	}
}

func testForeign(t *testing.T, s Subject) {
	s.InstallForeign(t)
	foreign := s.ready(t, v1alpha1.SlotDirect, "")
	if !foreign.Foreign || foreign.HelmRevision == 0 {
		t.Errorf("a foreign release: %+v", foreign)
	}
	s.deploy(t, s.request(v1alpha1.SlotDirect, v1alpha1.SlotDirect, s.Better, 1, 1))
	if ours := s.ready(t, v1alpha1.SlotDirect, s.Better.Digest); ours.Foreign {
		t.Errorf("our own release is foreign: %+v", ours)
	}
	req := s.request(v1alpha1.SlotDirect, v1alpha1.SlotDirect, Release{}, 1, 1)
	req.Restore = &v1alpha1.ReturnTarget{Slot: v1alpha1.SlotDirect, HelmRevision: foreign.HelmRevision, Foreign: true}
	s.deploy(t, req)
	if back := s.ready(t, v1alpha1.SlotDirect, ""); !back.Foreign {
		t.Errorf("after the way back to the foreign release: %+v", back)
	}
}

func testForeignPending(t *testing.T, s Subject) {
	s.PendForeign(t)
	err := s.Releaser.Deploy(context.Background(), s.request(v1alpha1.SlotDirect, v1alpha1.SlotNone, s.Good, 1, 1))
	if !fault.Is(err, fault.Locked) {
		t.Errorf("deploy over a foreign pending operation: want locked, have %v", err)
	}
	if o := s.observe(t).Slots[v1alpha1.SlotDirect]; o.State != deploy.Pending {
		t.Errorf("the foreign operation was cleared: %+v", o)
	}
}

func testCancelled(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Releaser.Observe(ctx, s.Scope); err == nil {
		t.Error("observe with a cancelled context succeeded")
	}
	if err := s.Releaser.Deploy(ctx, s.request(v1alpha1.SlotBlue, v1alpha1.SlotNone, s.Good, 1, 1)); !fault.Is(err, fault.Interrupted) {
		t.Errorf("deploy with a cancelled context: want interrupted, have %v", err)
	}
	if o := s.observe(t); len(o.Slots) != 0 {
		t.Errorf("deploy with a cancelled context left %+v", o.Slots)
	}
}
