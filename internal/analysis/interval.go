package analysis

import "math"

// interval holds the rate with a confidence of 95 %, however often one looks, if the requests are independent and the rate is constant:
// Robbins' mixture with the prior Beta(1/2, 1/2).
func interval(bad, requests uint64) (low, high float64) { return surely(bad, requests, 20) }

// surely is an interval that does not hold the rate with a chance of one in odds.
func surely(bad, requests uint64, odds float64) (low, high float64) {
	if requests == 0 {
		return 0, 1
	}
	x, n := float64(min(bad, requests)), float64(requests)
	mixture := logBeta(x+0.5, n-x+0.5) - logBeta(0.5, 0.5)
	outside := func(p float64) bool { return mixture-logOf(x, p)-logOf(n-x, 1-p) > math.Log(odds) }
	return edge(x/n, 0, outside), edge(x/n, 1, outside)
}

// logOf is the logarithm of p to the power of n.
func logOf(n, p float64) float64 {
	if n == 0 {
		return 0
	}
	return n * math.Log(p)
}

// edge finds where outside begins between a rate that is not and the end of the scale.
func edge(inside, end float64, outside func(float64) bool) float64 {
	if !outside(end) {
		return end
	}
	for range 50 {
		if middle := (inside + end) / 2; outside(middle) {
			end = middle
		} else {
			inside = middle
		}
	}
	return end
}
