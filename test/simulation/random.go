package simulation

import (
	"math"
	"math/rand/v2"
)

// poisson draws a number of events; large means are rounded from the normal distribution.
func poisson(r *rand.Rand, mean float64) int {
	if mean > 100 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*r.NormFloat64())))
	}
	n := 0
	for sum := r.ExpFloat64(); sum < mean; sum += r.ExpFloat64() {
		n++
	}
	return n
}

// binomial draws how many of n happen, jumping from one that does to the next.
func binomial(r *rand.Rand, n int, p float64) int {
	switch {
	case p <= 0:
		return 0
	case p >= 1:
		return n
	case p > 0.5:
		return n - binomial(r, n, 1-p)
	}
	hits := 0
	for at := 0.0; ; {
		at += 1 + math.Floor(r.ExpFloat64()/-math.Log1p(-p))
		if at > float64(n) {
			return hits
		}
		hits++
	}
}

// beta draws a rate from the beta distribution with this mean, in which two events of the same draw are correlated by rho.
func beta(r *rand.Rand, mean, rho float64) float64 {
	if mean <= 0 || mean >= 1 {
		return mean
	}
	size := 1/rho - 1
	x, y := gamma(r, mean*size), gamma(r, (1-mean)*size)
	if x+y == 0 {
		return 0
	}
	return x / (x + y)
}

// gamma draws from the gamma distribution of that shape (Marsaglia and Tsang).
func gamma(r *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gamma(r, shape+1) * math.Pow(r.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	for {
		x := r.NormFloat64()
		v := math.Pow(1+x/math.Sqrt(9*d), 3)
		if v > 0 && math.Log(r.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}
