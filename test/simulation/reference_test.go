package simulation

import (
	"math/rand/v2"
	"testing"
)

func TestReferences(t *testing.T) {
	for p, want := range map[float64]float64{1: 2, 0.5: 4, 0.2: 12, 0.05: 90, 0.02: 496} {
		if got := Wald(p, 0.005, 0.001, 0.05); got != want {
			t.Errorf("Wald's bound for %v is %v, want %v", p, got, want)
		}
	}
	for _, c := range []struct {
		p    float64
		want int
	}{{1, 2}, {0.05, 206}} {
		if got := FewestRequests(c.p, 0.005, 0.001, 0.95); got != c.want {
			t.Errorf("no test needs less than %d requests for %v, want %d", got, c.p, c.want)
		}
	}
	random := rand.New(rand.NewPCG(1, 1))
	sum := 0.0
	for range 2000 {
		sum += float64(WaldSeconds(random, 0.05, 0.005, 0.001, 40)) / 2000
	}
	if sum < 3 || sum > 3.8 {
		t.Errorf("Wald's test takes %v s on average", sum)
	}
}
