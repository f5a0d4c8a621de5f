package rollout

import (
	"context"
	"testing"

	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/deploy/deploytest"
	"github.com/sluice-dev/sluice/internal/fault"
)

// inspector is a fake releaser that remembers what it was asked before the first write.
type inspector struct {
	*deploytest.Fake
	asked  []deploy.Request
	answer error
}

func (i *inspector) Preflight(_ context.Context, req deploy.Request) error {
	i.asked = append(i.asked, req)
	return i.answer
}

func TestPreflight(t *testing.T) {
	w := newTheatre(t)
	i := &inspector{Fake: w.releaser}
	options := w.machine().o
	options.Releaser = i
	m := New(options)
	run := func(version string) error {
		_, err := m.Run(t.Context(), w.start(version, "blueGreen"), DriveOptions{Locker: w.locker, Holder: "ann", WaitSettled: true})
		return err
	}
	for range 2 {
		if err := run("1"); err != nil {
			t.Fatal(err)
		}
	}
	if len(i.asked) != 1 {
		t.Errorf("asked %d times, want once: the second run had nothing to do", len(i.asked))
	}
	if i.asked[0].Generation == 0 {
		t.Error("asked without the generation of the lease: an adapter that fences refuses what is its own")
	}
	i.answer = fault.New(fault.Usage, "check", "names collide")
	if err := run("2"); !fault.Is(err, fault.Usage) {
		t.Errorf("run: %v", err)
	}
	i.answer = fault.New(fault.Fatal, "check", "the chart does not render").WithHint("correct it")
	if err := run("2"); !fault.Is(err, fault.Refused) || fault.HintOf(err) != "correct it" {
		t.Errorf("run: %v", err)
	}
	records, err := w.store.List(t.Context(), w.key)
	if err != nil || len(records) != 1 {
		t.Errorf("%d records after a refused start (%v), want 1", len(records), err)
	}
}
