package simulation

import (
	"math"
	"math/rand/v2"
)

// Wald is the bound of Wald for the mean number of requests until a test of simple hypotheses, p against q, with these chances of error, rounded up.
func Wald(p, q, alpha, beta float64) float64 {
	information := p * math.Log(p/q)
	if p < 1 {
		information += (1 - p) * math.Log((1-p)/(1-q))
	}
	return math.Ceil(((1-beta)*math.Log((1-beta)/alpha) + beta*math.Log(beta/(1-alpha))) / information)
}

// WaldSeconds is how long Wald's test, which is told that the candidate fails with p or with q, takes to find out p, in whole seconds.
func WaldSeconds(random *rand.Rand, p, q, alpha, rps float64) int {
	evidence := 0.0
	for second := 1; ; second++ {
		for range poisson(random, rps) {
			if random.Float64() < p {
				evidence += math.Log(p / q)
			} else {
				evidence += math.Log((1 - p) / (1 - q))
			}
			if evidence >= math.Log(1/alpha) {
				return second
			}
		}
	}
}

// FewestRequests is the least number within which any test at all, that is told both rates, can find out p instead of q with that power:
// that of Neyman and Pearson.
func FewestRequests(p, q, alpha, power float64) int {
	for n := 1; ; n++ {
		// The test rejects from so many failures on that its chance of error is alpha, with a coin where it must.
		wrong, right := 0.0, 0.0
		for x := n; x >= 0; x-- {
			w, r := mass(n, x, q), mass(n, x, p)
			if wrong+w > alpha {
				right += (alpha - wrong) / w * r
				break
			}
			wrong, right = wrong+w, right+r
		}
		if right >= power {
			return n
		}
	}
}

// mass is the chance that x of n happen.
func mass(n, x int, p float64) float64 {
	if p >= 1 {
		if x == n {
			return 1
		}
		return 0
	}
	choose := logFactorial(n) - logFactorial(x) - logFactorial(n-x)
	return math.Exp(choose + float64(x)*math.Log(p) + float64(n-x)*math.Log1p(-p))
}

func logFactorial(n int) float64 {
	v, _ := math.Lgamma(float64(n) + 1)
	return v
}
