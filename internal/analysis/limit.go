package analysis

import "math"

// limit tests a rate against a fixed one. Its mathematics are in docs/concepts/analysis.md. What may only let a version go on early bets on
// each request as if they were independent, and so is as quick as the traffic allows.
type limit struct {
	// Over and Each bet that the candidate's rate is above the limit, with half of the money each: Over on the share of bad requests in each
	// read, so that requests that fail together do no harm: all that it takes for granted is that the share expected next is within the
	// limit as long as the version is. Each bets on each request, and so has to know how requests may fail together.
	Over wealth `json:"over"`
	Each wealth `json:"each"`
	// Handed is what Over owned when half of it was handed to Each.
	Handed float64 `json:"handed,omitempty"`
	// Under bets that the candidate's rate is below the limit, and Live that the live slot's is above.
	Under wealth `json:"under"`
	Live  wealth `json:"live"`
}

// terms are what a limit is tested by.
type terms struct {
	// most is the limit of now, effect the smallest excess worth acting on, needed what an abort takes.
	most, effect, needed float64
	// together is the correlation of failures within a read that has to be reckoned with.
	together float64
	// lone says that no live slot can be seen beside the candidate.
	lone bool
}

const (
	// plenty is how many times what an abort takes may be owned. More would have to be lost again before an incident of both slots that is
	// over is forgotten.
	plenty = 4
	// correlations is how many correlations below the one that is reckoned with are refuted as well, each half of the one before.
	correlations = 5
	// excused is what live must own when it is seen no more, so that it goes on excusing the candidate, and fading what is left of it after
	// each read: what live would do now nobody knows, and what was chance would never be lost again.
	excused = 10
	fading  = 0.95
	// eachMost is the largest limit at which it is fair to bet on each request.
	eachMost = 0.5
)

// look takes in what both slots did since the last read.
func (l *limit) look(b block, t terms) {
	if b.N > 0 {
		above(&l.Over, b.X/b.N, t.most, t.effect)
		l.Over.atMost(plenty * t.needed)
		// Side by side it would be quicker than live can excuse the candidate in an incident of both; there the comparison is quick.
		if t.lone && t.most <= eachMost {
			l.each(b, t)
		}
		l.Under.bet([]float64{0.5, 0.5}, func(k int) float64 {
			return likelihood(b.N, b.X, t.most*[...]float64{0.5, 0.1}[k]) - likelihood(b.N, b.X, t.most)
		})
	}
	if t.lone {
		l.Live.times(fading)
		if l.Live.total() < excused {
			l.Live = wealth{}
		}
	}
	if b.LN > 0 {
		above(&l.Live, b.LX/b.LN, t.most, t.effect)
		l.Live.atMost(plenty * t.needed)
		if l.Live.total() < 1 {
			// What has been lost in good times must not be won back before an incident of both excuses the candidate. An excuse needs no fair odds.
			l.Live = wealth{}
		}
	}
}

// each bets on each request. Independent failures at the limit, and a rate of this read that was drawn around it, with the correlation that
// is reckoned with or a smaller one: the one that explains the candidate best is refuted.
func (l *limit) each(b block, t terms) {
	if l.Each.Bets == 0 {
		l.Handed = l.Over.total()
	}
	null := likelihood(b.N, b.X, t.most)
	for i := range 1 + correlations {
		null = max(null, around(b.N, b.X, t.most, math.Ldexp(t.together, -i)))
	}
	// No read alone is enough, however much fails in it: a moment in which all do is no model's.
	most, stakes := math.Log(plenty*t.needed)/2, spread()
	l.Each.bet(stakes[:], func(k int) float64 { return min(likelihood(b.N, b.X, worse(t.most, t.effect, k))-null, most) })
	l.Each.atMost(plenty * t.needed)
}

// evidence is the money of the two who bet that the candidate is above the limit: Over has all of it until the other begins.
func (l *limit) evidence() float64 {
	if l.Each.Bets == 0 {
		return l.Over.total()
	}
	return (l.Over.total() + l.Handed*l.Each.total()) / 2
}

func above(w *wealth, y, most, effect float64) {
	stakes := [bets]float64{1. / bets, 1. / bets, 1. / bets, 1. / bets, 1. / bets, 1. / bets}
	w.bet(stakes[:], func(k int) float64 { return share(y, most, worse(most, effect, k)) })
}

// share is the logarithm of 1 + λ(y - most), with the λ that suits a rate of p.
func share(y, most, p float64) float64 {
	return math.Log(1 + (p-most)/(most*(1-most))*(y-most))
}
