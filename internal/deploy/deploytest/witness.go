package deploytest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
)

var _ deploy.Witness = (*Fake)(nil)

// Testify implements deploy.Witness: logs are those of the slot's facts, and what differs are the versions of the releases.
func (f *Fake) Testify(ctx context.Context, scope deploy.Scope, candidate, live v1alpha1.Slot) deploy.Testimony {
	if err := ctx.Err(); err != nil {
		return deploy.Testimony{Lacking: err.Error()}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out := deploy.Testimony{Logs: map[string]string{}}
	there := f.slot(scope, candidate).revisions
	if len(there) == 0 {
		return deploy.Testimony{Lacking: "slot " + string(candidate) + " is not there"}
	}
	for _, fact := range f.observe(scope).Slots[candidate].Facts {
		if fact.Log != "" {
			out.Logs[fact.Pod+"/"+fact.Container] = fact.Log
		}
	}
	if live == v1alpha1.SlotNone {
		return out
	}
	now, was := there[len(there)-1], f.slot(scope, live).revisions
	if candidate == live {
		was = slices.DeleteFunc(slices.Clone(there), func(r revision) bool { return r.digest == now.digest })
	}
	switch {
	case len(was) == 0:
		out.Lacking = "there is nothing to compare with"
	case was[len(was)-1].release.Version != now.release.Version:
		out.Differences = []string{"version: " + was[len(was)-1].release.Version + " → " + now.release.Version}
	}
	return out
}

// testify asks the subject, which must be a witness.
func (s Subject) testify(t *testing.T, ctx context.Context, candidate, live v1alpha1.Slot) deploy.Testimony {
	t.Helper()
	w, ok := s.Releaser.(deploy.Witness)
	if !ok {
		t.Fatalf("%T is no deploy.Witness", s.Releaser)
	}
	return w.Testify(ctx, s.Scope, candidate, live)
}

func (s Subject) crashed(t *testing.T, slot v1alpha1.Slot) {
	t.Helper()
	s.Until(t, "a fatal fact", func(o deploy.Observation) bool {
		_, fatal := o.Slots[slot].Fatal()
		return fatal
	})
}

// told finds what is wrong with a testimony about a crashed candidate.
func told(t *testing.T, have deploy.Testimony) {
	t.Helper()
	if have.Lacking != "" || len(have.Logs) == 0 || len(have.Differences) == 0 {
		t.Errorf("the testimony lacks something: %+v", have)
	}
	for container, log := range have.Logs {
		pod, name, ok := strings.Cut(container, "/")
		if !ok || pod == "" || name == "" || log == "" || strings.HasSuffix(log, "\n") {
			t.Errorf("the log of %q: %q", container, log)
		}
	}
	if !slices.IsSorted(have.Differences) {
		t.Errorf("not sorted: %q", have.Differences)
	}
	for _, line := range have.Differences {
		path, what, ok := strings.Cut(line, ": ")
		if !ok || path == "" || !strings.Contains(what, " → ") || strings.Contains(line, "\n") {
			t.Errorf("a difference is written %q", line)
		}
	}
}

func testWitness(t *testing.T, s Subject) {
	s.deploy(t, s.request(v1alpha1.SlotBlue, v1alpha1.SlotNone, s.Good, 1, 1))
	s.ready(t, v1alpha1.SlotBlue, s.Good.Digest)
	s.deploy(t, s.request(v1alpha1.SlotGreen, v1alpha1.SlotBlue, s.Bad, 2, 2))
	s.crashed(t, v1alpha1.SlotGreen)
	told(t, s.testify(t, t.Context(), v1alpha1.SlotGreen, v1alpha1.SlotBlue))
	if first := s.testify(t, t.Context(), v1alpha1.SlotBlue, v1alpha1.SlotNone); len(first.Differences) != 0 || first.Lacking != "" {
		t.Errorf("of a first installation: %+v", first)
	}
}

func testWitnessDirect(t *testing.T, s Subject) {
	s.deploy(t, s.request(v1alpha1.SlotDirect, v1alpha1.SlotNone, s.Good, 1, 1))
	s.ready(t, v1alpha1.SlotDirect, s.Good.Digest)
	if have := s.testify(t, t.Context(), v1alpha1.SlotDirect, v1alpha1.SlotDirect); have.Lacking == "" || len(have.Differences) != 0 {
		t.Errorf("there was nothing before, and it was compared: %+v", have)
	}
	s.deploy(t, s.request(v1alpha1.SlotDirect, v1alpha1.SlotDirect, s.Bad, 2, 2))
	s.crashed(t, v1alpha1.SlotDirect)
	// Trying again is no other version.
	s.deploy(t, s.request(v1alpha1.SlotDirect, v1alpha1.SlotDirect, s.Bad, 2, 2))
	s.crashed(t, v1alpha1.SlotDirect)
	told(t, s.testify(t, t.Context(), v1alpha1.SlotDirect, v1alpha1.SlotDirect))
}

func testWitnessBlind(t *testing.T, s Subject) {
	if have := s.testify(t, t.Context(), v1alpha1.SlotGreen, v1alpha1.SlotBlue); have.Lacking == "" || len(have.Logs)+len(have.Differences) != 0 {
		t.Errorf("of an empty place: %+v", have)
	}
	s.deploy(t, s.request(v1alpha1.SlotBlue, v1alpha1.SlotNone, s.Good, 1, 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if have := s.testify(t, ctx, v1alpha1.SlotBlue, v1alpha1.SlotNone); have.Lacking == "" {
		t.Errorf("with a cancelled context: %+v", have)
	}
}
