package analysis

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// mostPaid is what the best of the bets on each request pays on average, where a read has n requests and its rate is drawn around q with
// that correlation; 0 for independent ones.
func mostPaid(n, q, correlation float64, t terms) float64 {
	var sums [bets]float64
	stakes := spread()
	for x := 0.0; x <= n; x++ {
		chance := likelihood(n, x, q)
		if correlation > 0 {
			chance = around(n, x, q, correlation)
		}
		chance = math.Exp(chance - logBeta(x+1, n-x+1) - math.Log(n+1))
		l := after(n, x, t)
		for k, owned := range l.Each.Parts {
			sums[k] += chance * owned / upFront / stakes[k]
		}
	}
	return slices.Max(sums[:])
}

// after is the limit after a read with so many requests.
func after(n, x float64, t terms) limit {
	l := limit{}
	l.look(block{N: n, X: x}, t)
	return l
}

// Whatever the rate is within the limit, and however failures hang together, up to what is reckoned with, the bets on each of up to 400 requests
// pay at most 1 on average: by theory for independent requests and for the correlation reckoned with at the limit, by these numbers for the rest.
func TestBetsOnEachRequestAreFair(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 1))
	for run := range 3000 {
		n := math.Floor(math.Exp(random.Float64() * math.Log(400)))
		most := math.Exp(math.Log(1e-4) + random.Float64()*math.Log(eachMost/1e-4))
		effect := []float64{0.001, 0.01, 0.1}[run%3]
		together := math.Exp(math.Log(usual/64) + random.Float64()*math.Log(64))
		at := terms{most: most, effect: effect, needed: 1e180, together: together, lone: true}
		q, correlation := most*[]float64{1, 1, 0.9, 0.5, 0.1}[run%5], together*[]float64{0, 1, 0.97, 0.7, 0.5, 0.2, 0.03}[run%7]
		if got := mostPaid(n, q, correlation, at); !(got < 1+1e-6) {
			t.Errorf("%v requests at %v with correlation %v pay %v; %+v", n, q, correlation, got, at)
		}
	}
}

// However much fails in one read, it is not enough by itself; a second one like it is.
func TestNoReadAloneIsEnough(t *testing.T) {
	for _, at := range []terms{
		{most: 0.01, together: usual}, {most: 0.01, together: usual / 32},
	} {
		at.effect, at.needed, at.lone = 0.01, 6000, true
		var l limit
		for read, want := range []bool{false, true} {
			l.look(block{N: 2000, X: 2000}, at)
			if got := l.evidence() >= at.needed; got != want {
				t.Errorf("after read %d: %v; %+v", read+1, l.evidence(), at)
			}
		}
	}
}

// What live owned when it was seen for the last time excuses the candidate for a while, and not for ever.
func TestAnExcuseFades(t *testing.T) {
	at := terms{most: 0.01, effect: 0.01, needed: 6000, together: usual}
	var l limit
	for range 20 {
		l.look(block{N: 20, X: 10, LN: 20, LX: 10}, at)
	}
	at.lone = true
	reads := 0
	for l.Live.total() > 1 {
		l.look(block{N: 40, X: 20}, at)
		if reads++; reads > 1000 {
			t.Fatalf("still %v", l.Live.total())
		}
	}
	if reads < 60 {
		t.Errorf("over after %d reads", reads)
	}
}

// Without failures nothing is known of how they come; where they come evenly it is proven after a while, and forgotten when they burst.
func TestHowFailuresComeMustBeProven(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 3))
	var h history
	for range 1000 {
		h.add(200, 0)
	}
	if got := h.proven(); got != usual {
		t.Errorf("live without failures: %v", got)
	}
	h = history{}
	for range 60 {
		bad := 0.0
		for range 200 {
			if random.Float64() < 0.005 {
				bad++
			}
		}
		h.add(200, bad)
	}
	if got := h.proven(); got > usual/4 {
		t.Errorf("failures that come evenly: %v", got)
	}
	h.add(200, 80)
	if got := h.proven(); got < usual {
		t.Errorf("after a burst: %v", got)
	}
}

// Of bursts that live has not shown yet the limit must not be surprised: of 1000 that have a correlation of 5 %, few may be taken for even ones.
func TestBurstsAreNotTakenForEvenFailures(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	const lives = 1000
	wrong := 0
	for range lives {
		var h history
		for range 10 {
			// Pólya's urn: each failure makes the next one of the same read likelier.
			strength, bad := 1/usual-1, 0.0
			for n := range 200 {
				if random.Float64() < (strength*0.005+bad)/(strength+float64(n)) {
					bad++
				}
			}
			h.add(200, bad)
		}
		if h.proven() < usual {
			wrong++
		}
	}
	if wrong > lives/provenAt {
		t.Errorf("%d of %d", wrong, lives)
	}
}
