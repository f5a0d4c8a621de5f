package analysis

import "math"

const (
	// upFront is the part of a test's money that is bet at once. The rest is put in later, little by little, so that a version which
	// goes wrong after an hour has not to win back first what the hour has cost.
	upFront = 0.95
	// patience is the number of bets after which half of the rest is in.
	patience = 1000
	// mostWealth bounds it, so that it stays a number that JSON can hold.
	mostWealth = 1e200
)

// wealth is what somebody owns who began with 1 and bets against a hypothesis at fair odds: if the hypothesis holds, the chance of ever
// owning c is at most 1/c (Ville). The money is spread over several bets, because it is not known which way the hypothesis fails.
type wealth struct {
	Spent float64   `json:"spent"`
	Bets  int       `json:"bets"`
	Parts []float64 `json:"parts"`
}

// bet plays one round: stakes is how the money is spread over the bets, and log(k) the logarithm of what bet k multiplies its own by, at
// most 1 on average under the hypothesis.
func (w *wealth) bet(stakes []float64, log func(k int) float64) {
	if len(w.Parts) != len(stakes) {
		*w = wealth{Parts: make([]float64, len(stakes))}
	}
	fresh := upFront
	if w.Bets > 0 {
		at := float64(w.Bets)
		fresh = (1 - upFront) * (1/(1+(at-1)/patience) - 1/(1+at/patience))
	}
	fresh = min(fresh, 1-w.Spent)
	w.Spent += fresh
	w.Bets++
	for k := range w.Parts {
		w.Parts[k] = min((w.Parts[k]+fresh*stakes[k])*math.Exp(min(log(k), 400)), mostWealth)
	}
}

// total is all the money, with what is not bet yet: the e-value.
func (w *wealth) total() float64 {
	sum := 1 - w.Spent
	for _, p := range w.Parts {
		sum += p
	}
	return sum
}

// atMost throws away what is more.
func (w *wealth) atMost(most float64) {
	total, bank := w.total(), 1-w.Spent
	if total <= most {
		return
	}
	w.times((most - bank) / (total - bank))
}

// times lets a part of it be left.
func (w *wealth) times(part float64) {
	for k := range w.Parts {
		w.Parts[k] *= part
	}
}

// bets is how many ways of being worse are bet on.
const bets = 6

// spread is how the money is spread over them: most of it on small differences. Large ones need little, because they win within a few
// requests whatever they began with.
func spread() [bets]float64 { return [bets]float64{0.13, 0.25, 0.31, 0.15, 0.10, 0.06} }

// worse is the k-th way of being worse than p: from the smallest effect worth acting on to failing nearly always.
func worse(p, effect float64, k int) float64 {
	d := effect * math.Pow(0.98/effect, float64(k)/(bets-1))
	return p + d*(1-p)
}

// likelihood is the logarithm of the chance of bad of n requests, in some order, if each is bad with chance p; n and bad need not be whole.
func likelihood(n, bad, p float64) float64 { return bad*math.Log(p) + (n-bad)*math.Log1p(-p) }

// drawn is the same if the chance itself was drawn from the beta distribution with these parameters.
func drawn(n, bad, alpha, beta float64) float64 {
	return logBeta(alpha+bad, beta+n-bad) - logBeta(alpha, beta)
}

// around is the same for a chance that was drawn around p with that correlation of failures.
func around(n, bad, p, correlation float64) float64 {
	strength := 1/correlation - 1
	return drawn(n, bad, strength*p, strength*(1-p))
}

// logBeta is the logarithm of the beta function.
func logBeta(a, b float64) float64 {
	x, _ := math.Lgamma(a)
	y, _ := math.Lgamma(b)
	z, _ := math.Lgamma(a + b)
	return x + y - z
}
