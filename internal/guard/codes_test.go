package guard_test

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// The status codes that people are shown are those of all requests that the analysis knows of, whoever counted them: another source where
// the routes have changed, another run.
func TestStatusCodesOfTheWhole(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{})
	s.arrive()
	s.pass(20)
	s.scene.Subject.Routes = map[v1alpha1.Slot]v1alpha1.Routes{green: {Services: []v1alpha1.StableService{{Name: "shop"}}}}
	s.requests = s.source()
	known := s.pass(20)
	s.scene.Known = &known
	s.begin()
	j := s.pass(20)
	for _, want := range []string{"errors: candidate 0 % of 2 280 (", "answers of the candidate: 2280 × 200"} {
		if text := strings.Join(j.Evidence, "\n"); !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
