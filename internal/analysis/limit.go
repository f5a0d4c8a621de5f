package analysis

import "math"

// limit tests a rate against a fixed one. What may lead to an abort bets on the share of bad requests in each read, not on each request, so
// that requests that fail together do no harm: all that it takes for granted is that the share expected next is within the limit as long as
// the version is. What may only let a version go on early bets on each request, and so is as quick as the traffic allows.
type limit struct {
	// Over bets that the candidate's rate is above the limit, Under that it is below, and Live that the live slot's is above.
	Over  wealth `json:"over"`
	Under wealth `json:"under"`
	Live  wealth `json:"live"`
}

// plenty is how many times what an abort takes may be owned. More would have to be lost again before an incident of both slots that is over
// is forgotten.
const plenty = 4

// look takes in what both slots did since the last read, against the limit of now; needed is what an abort takes.
func (l *limit) look(b block, most, effect, needed float64) {
	if b.N > 0 {
		above(&l.Over, b.X/b.N, most, effect)
		l.Over.atMost(plenty * needed)
		l.Under.bet([]float64{0.5, 0.5}, func(k int) float64 {
			return likelihood(b.N, b.X, most*[...]float64{0.5, 0.1}[k]) - likelihood(b.N, b.X, most)
		})
	}
	if b.LN > 0 {
		above(&l.Live, b.LX/b.LN, most, effect)
		l.Live.atMost(plenty * needed)
		if l.Live.total() < 1 {
			// What has been lost in good times must not be won back before an incident of both excuses the candidate. An excuse needs no fair odds.
			l.Live = wealth{}
		}
	}
}

func above(w *wealth, y, most, effect float64) {
	stakes := [bets]float64{1. / bets, 1. / bets, 1. / bets, 1. / bets, 1. / bets, 1. / bets}
	w.bet(stakes[:], func(k int) float64 { return share(y, most, worse(most, effect, k)) })
}

// share is the logarithm of 1 + λ(y - most), with the λ that suits a rate of p.
func share(y, most, p float64) float64 {
	return math.Log(1 + (p-most)/(most*(1-most))*(y-most))
}
