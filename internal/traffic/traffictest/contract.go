package traffictest

import (
	"context"
	"errors"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/traffic"
)

// Subject is an implementation under test with a place without any route, in which slots blue and green run and are ready.
type Subject struct {
	Router traffic.Router
	// Target has the routes of slots blue and green.
	Target traffic.Target
	// AllOrNothing says that the router knows neither weights nor the header.
	AllOrNothing bool
	// Advance lets as much time pass as the proxies need to follow one write.
	Advance func(t *testing.T)
	// Break makes every write after the next n fail, as a killed process or a lost connection would; a negative n heals.
	Break func(t *testing.T, n int)
}

// The slots of the suite.
const (
	blue  = v1alpha1.SlotBlue
	green = v1alpha1.SlotGreen
)

// Contract runs the suite. Each case gets a subject of its own.
func Contract(t *testing.T, subject func(t *testing.T) Subject) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(*testing.T, Subject)
	}{
		{"nothing is there at first", testEmpty},
		{"every split can be reached from every other", testAllPairs},
		{"the same shift again changes nothing", testRepeat},
		{"killed between any two writes it goes on", testKilled},
		{"killed on the way it turns back", testTurnBack},
		{"an older generation changes nothing", testFence},
		{"what cannot be expressed is refused", testRefused},
		{"remove leaves nothing", testRemove},
		{"remove killed anywhere goes on", testRemoveKilled},
		{"a cancelled context stops", testCancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, subject(t)) })
	}
}

// splits lists what the rollout machine asks for when the router knows it.
func (s Subject) splits() []v1alpha1.Split {
	splits := []v1alpha1.Split{v1alpha1.Only(blue), v1alpha1.Only(green)}
	if s.AllOrNothing {
		return splits
	}
	for _, weight := range []int{0, 5, 50} {
		splits = append(splits, v1alpha1.Between(blue, green, weight), v1alpha1.Between(green, blue, weight))
	}
	return splits
}

// middle is a split between the two slots, or the next best.
func (s Subject) middle() v1alpha1.Split {
	if s.AllOrNothing {
		return v1alpha1.Only(blue)
	}
	return v1alpha1.Between(blue, green, 25)
}

func (s Subject) look(t *testing.T) traffic.State {
	t.Helper()
	state, err := s.Router.Split(context.Background(), s.Target)
	if err != nil {
		t.Fatalf("split: %v", err)
	}
	return state
}

func (s Subject) shift(split v1alpha1.Split, generation int64) error {
	return s.Router.Shift(context.Background(), traffic.Shift{Target: s.Target, Split: split, Generation: generation})
}

// settle drives as the rollout machine does: look, shift where the split is not reached, let time pass.
func (s Subject) settle(t *testing.T, split v1alpha1.Split, generation int64) {
	t.Helper()
	for range 20 {
		state := s.look(t)
		if !state.Split.Equal(split) || state.Transition {
			if err := s.shift(split, generation); err != nil {
				t.Fatalf("shift to %s: %v", split, err)
			}
		} else if state.Converged() {
			return
		}
		s.served(t, split)
		s.Advance(t)
	}
	state := s.look(t)
	t.Fatalf("%s was never reached; it is at %s (transition %t, converged %t, %s)",
		split, state.Split, state.Transition, state.Converged(), state.Lag)
}

// served says that somebody serves, and that it is one of the two slots.
func (s Subject) served(t *testing.T, towards v1alpha1.Split) {
	t.Helper()
	state := s.look(t)
	sum := state.Split.Weights[blue] + state.Split.Weights[green]
	if sum != 100 {
		t.Fatalf("on the way to %s users are at %s", towards, state.Split)
	}
	if state.Foreign != "" {
		t.Fatalf("the router calls its own writes foreign: %s", state.Foreign)
	}
}

func testEmpty(t *testing.T, s Subject) {
	state := s.look(t)
	if state.Split.Weights != nil || state.Split.Header != v1alpha1.SlotNone || state.Transition || state.Foreign != "" {
		t.Errorf("an empty place is reported as %+v", state)
	}
	if err := s.Router.Remove(context.Background(), s.Target, 1); err != nil {
		t.Errorf("removing nothing: %v", err)
	}
}

func testAllPairs(t *testing.T, s Subject) {
	for _, from := range s.splits() {
		for _, to := range s.splits() {
			s.settle(t, from, 1)
			s.settle(t, to, 1)
		}
	}
}

func testRepeat(t *testing.T, s Subject) {
	for _, split := range s.splits() {
		s.settle(t, split, 1)
		s.Break(t, 0)
		if err := s.shift(split, 1); err != nil {
			t.Errorf("shift to %s again wrote something: %v", split, err)
		}
		s.Break(t, -1)
		if state := s.look(t); !state.Split.Equal(split) || state.Transition || !state.Converged() {
			t.Errorf("shift to %s again led to %+v", split, state)
		}
	}
}

// testKilled dies after every number of writes on each stage of a rollout, and goes on under the next generation.
func testKilled(t *testing.T, s Subject) {
	generation := int64(1)
	from := v1alpha1.Only(blue)
	for _, to := range []v1alpha1.Split{s.middle(), v1alpha1.Only(green)} {
		for n, died := 0, true; died; n++ {
			if n > 30 {
				t.Fatalf("%s takes more than %d writes", to, n)
			}
			s.settle(t, v1alpha1.Only(blue), generation)
			s.settle(t, from, generation)
			died = s.die(t, to, n, generation)
			generation++
			s.settle(t, to, generation)
		}
		from = to
	}
}

// testTurnBack dies after every number of writes on the way to a slot, and goes back to the other one.
func testTurnBack(t *testing.T, s Subject) {
	for n, generation := 0, int64(1); ; n, generation = n+1, generation+2 {
		if n > 30 {
			t.Fatalf("the way takes more than %d writes", n)
		}
		s.settle(t, v1alpha1.Only(blue), generation)
		s.settle(t, s.middle(), generation)
		died := s.die(t, v1alpha1.Only(green), n, generation)
		s.settle(t, v1alpha1.Only(blue), generation+1)
		if !died {
			return
		}
	}
}

// die drives to a split until the n-th write fails; false says that it needed no more than n writes.
func (s Subject) die(t *testing.T, split v1alpha1.Split, n int, generation int64) bool {
	t.Helper()
	s.Break(t, n)
	defer s.Break(t, -1)
	for range 20 {
		state := s.look(t)
		if state.Split.Equal(split) && !state.Transition {
			return false
		}
		if err := s.shift(split, generation); err != nil {
			s.served(t, split)
			return true
		}
		s.served(t, split)
		s.Advance(t)
	}
	t.Fatalf("%s was never reached", split)
	return false
}

func testFence(t *testing.T, s Subject) {
	s.settle(t, v1alpha1.Only(blue), 3)
	for _, generation := range []int64{1, 2} {
		if err := s.shift(v1alpha1.Only(green), generation); !fault.Is(err, fault.Conflict) {
			t.Errorf("generation %d after 3: got %v, want a conflict", generation, err)
		}
		if err := s.Router.Remove(context.Background(), s.Target, generation); !fault.Is(err, fault.Conflict) {
			t.Errorf("removing under generation %d after 3: got %v, want a conflict", generation, err)
		}
	}
	if state := s.look(t); !state.Split.Equal(v1alpha1.Only(blue)) || state.Generation != 3 {
		t.Errorf("after refused shifts: %+v", state)
	}
	s.settle(t, v1alpha1.Only(green), 4)
	if state := s.look(t); state.Generation != 4 {
		t.Errorf("generation is %d, want 4", state.Generation)
	}
}

func testRefused(t *testing.T, s Subject) {
	s.settle(t, v1alpha1.Only(blue), 1)
	bad := map[string]v1alpha1.Split{
		"nothing":              {},
		"sum 90":               {Weights: map[v1alpha1.Slot]int{blue: 90}},
		"negative":             {Weights: map[v1alpha1.Slot]int{blue: 110, green: -10}},
		"shared, no header":    {Weights: map[v1alpha1.Slot]int{blue: 60, green: 40}},
		"header to the winner": {Weights: map[v1alpha1.Slot]int{blue: 100}, Header: blue},
	}
	if s.AllOrNothing {
		bad["weights"] = v1alpha1.Between(blue, green, 10)
		bad["header"] = v1alpha1.Between(blue, green, 0)
	}
	for name, split := range bad {
		if err := s.shift(split, 1); !fault.Is(err, fault.Usage) {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
	if state := s.look(t); !state.Split.Equal(v1alpha1.Only(blue)) {
		t.Errorf("after refused shifts: %+v", state)
	}
}

func testRemove(t *testing.T, s Subject) {
	s.settle(t, v1alpha1.Only(blue), 1)
	s.settle(t, s.middle(), 1)
	for i := range 2 {
		if err := s.Router.Remove(context.Background(), s.Target, 1); err != nil {
			t.Fatalf("remove, time %d: %v", i+1, err)
		}
		if state := s.look(t); state.Split.Weights != nil || state.Transition {
			t.Errorf("after remove: %+v", state)
		}
	}
	s.settle(t, v1alpha1.Only(green), 2)
}

func testRemoveKilled(t *testing.T, s Subject) {
	for n := 0; ; n++ {
		s.settle(t, v1alpha1.Only(blue), 1)
		s.settle(t, s.middle(), 1)
		s.Break(t, n)
		err := s.Router.Remove(context.Background(), s.Target, 1)
		s.Break(t, -1)
		if again := s.Router.Remove(context.Background(), s.Target, 1); again != nil {
			t.Fatalf("remove after dying at write %d: %v", n, again)
		}
		if state := s.look(t); state.Split.Weights != nil {
			t.Fatalf("after remove: %+v", state)
		}
		if err == nil {
			return
		}
		if n > 30 {
			t.Fatalf("remove takes more than %d writes: %v", n, err)
		}
	}
}

func testCancelled(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, splitErr := s.Router.Split(ctx, s.Target)
	for verb, err := range map[string]error{
		"split":  splitErr,
		"shift":  s.Router.Shift(ctx, traffic.Shift{Target: s.Target, Split: v1alpha1.Only(blue), Generation: 1}),
		"remove": s.Router.Remove(ctx, s.Target, 1),
	} {
		if err == nil {
			t.Errorf("%s ignores a cancelled context", verb)
		}
	}
	if state := s.look(t); state.Split.Weights != nil {
		t.Errorf("something was written: %+v", state)
	}
}

// ErrBroken is what a write answers after Break; implementations of Break may use it.
var ErrBroken = errors.New("the connection was cut by the test")
