package guard_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// While traffic moves a source that can be asked sooner is, and what fails at once is found within a part of a second; the rest of the time
// everything goes by the second.
func TestLooksWhileTrafficMoves(t *testing.T) {
	for _, moved := range []bool{true, false} {
		s := newStage(t, v1alpha1.Analysis{})
		s.soonest = 300 * time.Millisecond
		s.scene.Weight = 0
		s.pass(30)
		s.scene.Weight, s.scene.Moved, s.bad[green] = 20, moved, 1
		reads := s.requests.asked()
		s.serve(s.requests, 60)
		var j v1alpha1.Judgement
		for range 2 {
			s.now = s.now.Add(300 * time.Millisecond)
			j = s.guard.Look(t.Context(), s.scene)
		}
		if aborted, asked := j.Decision == "abort", s.requests.asked()-reads; aborted != moved || asked > 0 != moved {
			t.Errorf("moved %v: %s after 0.6 s and %d reads", moved, j.Decision, asked)
		}
	}
}

// What is peeked at is counted once, and a healthy candidate is known as well as by looks each second.
func TestPeeksCountOnce(t *testing.T) {
	s := newStage(t, v1alpha1.Analysis{Errors: &v1alpha1.ErrorsQuestion{Max: 0.05}})
	s.soonest, s.rate = 300*time.Millisecond, 60
	s.arrive()
	s.scene.Moved = true
	var j v1alpha1.Judgement
	for range 50 {
		s.now = s.now.Add(300 * time.Millisecond)
		s.serve(s.requests, s.rate)
		j = s.guard.Look(t.Context(), s.scene)
	}
	if want := "of 576"; j.Decision == "abort" || !strings.Contains(strings.Join(j.Evidence, "\n")+j.Sentence, want) {
		t.Errorf("%s: %s\n%s", j.Decision, j.Sentence, strings.Join(j.Evidence, "\n"))
	}
}
