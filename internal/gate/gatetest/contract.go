package gatetest

import (
	"context"
	"sync"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/gate"
)

// patience bounds how often a gate may answer Waiting before it must have decided.
const patience = 1000

// Harness makes the worlds in which the contract looks at a gate.
type Harness struct {
	// World returns a gate and a subject about which it ends with this verdict, Passed or Failed.
	World func(t *testing.T, verdict v1alpha1.Verdict) (gate.Gate, gate.Subject)
	// Unknown returns a gate that cannot find out. Nil where that does not happen.
	Unknown func(t *testing.T) (gate.Gate, gate.Subject)
	// Pass lets time pass between two looks. Nil where the gate needs none.
	Pass func(t *testing.T)
}

// Gate runs the contract of gates.
func Gate(t *testing.T, h Harness) {
	for _, verdict := range []v1alpha1.Verdict{v1alpha1.Passed, v1alpha1.Failed} {
		t.Run("ends "+string(verdict), func(t *testing.T) {
			g, subject := h.World(t, verdict)
			h.ends(t, g, subject, verdict)
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		g, subject := h.World(t, v1alpha1.Failed)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		verdict, _, err := g.Check(ctx, subject)
		if verdict != "" || !fault.Is(err, fault.Interrupted) {
			t.Errorf("with a cancelled context: %q, %v, want no verdict and fault.Interrupted", verdict, err)
		}
	})
	t.Run("concurrent", func(t *testing.T) {
		g, subject := h.World(t, v1alpha1.Passed)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if verdict, _, err := g.Check(t.Context(), subject); err != nil || verdict == v1alpha1.Failed {
					t.Errorf("one of many looks: %q, %v", verdict, err)
				}
			})
		}
		wg.Wait()
		h.ends(t, g, subject, v1alpha1.Passed)
	})
	if h.Unknown != nil {
		t.Run("unknown", func(t *testing.T) {
			g, subject := h.Unknown(t)
			if verdict, _, err := g.Check(t.Context(), subject); verdict != "" || err == nil {
				t.Errorf("where it cannot find out: %q, %v, want an error alone", verdict, err)
			}
		})
	}
}

func (h Harness) ends(t *testing.T, g gate.Gate, subject gate.Subject, want v1alpha1.Verdict) {
	t.Helper()
	for range patience {
		verdict, evidence, err := g.Check(t.Context(), subject)
		switch {
		case err != nil:
			t.Fatalf("%v", err)
		case evidence == "":
			t.Fatalf("%s without evidence", verdict)
		case verdict == want:
			return
		case verdict != v1alpha1.Waiting:
			t.Fatalf("verdict %q (%s), want %q", verdict, evidence, want)
		}
		if h.Pass != nil {
			h.Pass(t)
		}
	}
	t.Fatalf("still waiting after %d looks", patience)
}
