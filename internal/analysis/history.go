package analysis

import "math"

const (
	// memory is how many requests of the live slot are remembered at full weight; beyond, all that is remembered is halved, so that
	// the slot's rate of an hour ago fades.
	memory = 50_000
	// usual is the correlation within a second that is reckoned with before the live slot has shown a smaller or a larger one.
	usual = 0.05
	// ladder is how many correlations are put to the test on live, from the usual one down, each half of the one before.
	ladder = 6
	// provenAt is the evidence at which it is proven that live's is smaller than one of them, mostProven what is kept of it, so that bursts
	// which begin later are soon believed.
	provenAt   = 20
	mostProven = 1e6
	// leastBurst is the smallest one that the arithmetic is good for; it is none.
	leastBurst = 1e-6
)

// history is what the live slot has shown so far: how often it fails, and whether its failures come in bursts.
type history struct {
	Requests float64 `json:"requests"`
	Bad      float64 `json:"bad"`
	// Excess is by how much the squares of the failures of each read exceed what independent failures would give, Scale what they
	// would exceed it by if all failures of a read came together, and Noise the variance of Excess were they independent.
	Excess float64 `json:"excess"`
	Scale  float64 `json:"scale"`
	Noise  float64 `json:"noise"`
	// Even is the logarithm of the evidence that failures come more evenly than with each correlation of the ladder.
	Even [ladder]float64 `json:"even"`
}

// add takes in one read of the live slot. Only bets made after it may use it.
func (h *history) add(n, bad float64) {
	p := h.rate()
	for i := range h.Even {
		won := likelihood(n, bad, p) - around(n, bad, p, math.Ldexp(usual, -i))
		h.Even[i] = max(min(h.Even[i]+won, math.Log(mostProven)), -mostSquares)
	}
	mean := n * p
	h.Excess += (bad-mean)*(bad-mean) - mean*(1-p)
	h.Scale += n * (n - 1) * p * (1 - p)
	h.Noise += 2*mean*mean + mean
	h.Requests += n
	h.Bad += bad
	if h.Requests > memory {
		for _, v := range []*float64{&h.Requests, &h.Bad, &h.Excess, &h.Scale, &h.Noise} {
			*v /= 2
		}
		for i := range h.Even {
			h.Even[i] /= 2
		}
	}
}

// rate is how often the live slot fails; never 0 or 1, because nobody can know that.
func (h *history) rate() float64 { return (h.Bad + 0.5) / (h.Requests + 100) }

// high is a rate that the live slot's own is probably below: z standard deviations more than what it has shown.
func (h *history) high(z float64) float64 {
	p := h.rate()
	n := h.Requests + 100
	return min(p+z*math.Sqrt(p*(1-p)*h.together()/n), 0.999)
}

// together is by what factor the variance of the failures exceeds that of independent ones, in reads like those that were seen.
func (h *history) together() float64 {
	p := h.rate()
	if h.Requests < 1 {
		return 1
	}
	others := h.Scale / (p * (1 - p) * h.Requests) // in the same read, for the mean request
	return 1 + others*h.burst()
}

// burst is the correlation of failures within a read: 0 where they come independently, as far as one can tell, 1 where all or none fail.
func (h *history) burst() float64 {
	if h.Scale <= 0 || h.Excess <= 2*math.Sqrt(h.Noise) {
		return 0
	}
	return min(h.Excess/h.Scale, 0.5)
}

// reckon is the correlation within a read that has to be reckoned with: the usual one, until it is seen that it is smaller or larger.
func (h *history) reckon() float64 {
	if h.Scale <= 0 {
		return usual
	}
	most := max((h.Excess+2*math.Sqrt(h.Noise))/h.Scale, leastBurst)
	return max(h.burst(), min(usual, most))
}

// proven is the correlation within a read that has to be reckoned with where nothing else stands against bursts: the usual one, until it is
// proven that it is smaller. That no bursts were seen proves nothing where few requests fail: they may be rare and large.
func (h *history) proven() float64 {
	together := usual
	for _, evidence := range h.Even {
		if evidence < math.Log(provenAt) {
			break
		}
		together /= 2
	}
	return max(h.burst(), together)
}
