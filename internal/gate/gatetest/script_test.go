package gatetest_test

import (
	"errors"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/gate"
	"github.com/sluice-dev/sluice/internal/gate/gatetest"
)

func TestScriptContract(t *testing.T) {
	gatetest.Gate(t, gatetest.Harness{
		World: func(_ *testing.T, verdict v1alpha1.Verdict) (gate.Gate, gate.Subject) {
			end := gatetest.Pass()
			if verdict == v1alpha1.Failed {
				end = gatetest.Fail("scripted failure")
			}
			return gatetest.NewScript(gatetest.Wait(), gatetest.Wait(), end), gate.Subject{}
		},
		Unknown: func(*testing.T) (gate.Gate, gate.Subject) {
			return gatetest.NewScript(gatetest.Error(errors.New("no way"))), gate.Subject{}
		},
	})
}

func TestScriptRemembersItsSubjects(t *testing.T) {
	script := gatetest.NewScript()
	factory := gatetest.Factory(map[string]gate.Gate{"mine": script})
	g, err := factory(v1alpha1.Gate{Name: "mine"})
	if err != nil {
		t.Fatal(err)
	}
	for step := range 2 {
		if _, _, err := g.Check(t.Context(), gate.Subject{Step: step}); err != nil {
			t.Fatal(err)
		}
	}
	if s := script.Subjects(); len(s) != 2 || s[1].Step != 1 {
		t.Errorf("subjects %+v, want steps 0 and 1", s)
	}
	if _, err := factory(v1alpha1.Gate{Name: "other"}); err == nil {
		t.Error("a gate that nobody scripted was made")
	}
}
