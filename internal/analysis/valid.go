package analysis

import "math"

// valid refuses a state that no analysis can have got into; it may come from an object that people can edit.
func (q *question) valid() error {
	for _, w := range []*wealth{
		&q.Comparison.Beside, &q.Comparison.Before, &q.Comparison.Same,
		&q.Limit.Over, &q.Limit.Under, &q.Limit.Live, &q.Baseline.Over, &q.Baseline.Under, &q.Baseline.Live,
	} {
		if w.Spent < 0 || w.Spent > 1 || w.Bets < 0 || len(w.Parts) > bets {
			return unusable("the recorded state holds money that nobody can have bet")
		}
		for _, p := range w.Parts {
			if p < 0 || p > mostWealth {
				return unusable("the recorded state holds money that nobody can have won")
			}
		}
	}
	if h := q.Comparison.Handed; h < 0 || h > mostWealth {
		return unusable("the recorded state holds money that nobody can have won")
	}
	for _, v := range []float64{q.History.Excess, q.History.Scale, q.History.Noise} {
		if !(math.Abs(v) < mostSquares) {
			return unusable("the recorded state holds counts that cannot be")
		}
	}
	if !q.Comparison.Open.valid() || !(block{LN: q.History.Requests, LX: q.History.Bad}).valid() || q.History.Scale < 0 || q.History.Noise < 0 {
		return unusable("the recorded state holds counts that cannot be")
	}
	return nil
}

// mostSquares is more than sums of squares of what a slot's memory holds can be.
const mostSquares = 1e100

// valid says that no slot has more bad requests than requests.
func (b block) valid() bool {
	return b.X >= 0 && b.X <= b.N && b.LX >= 0 && b.LX <= b.LN && b.N < mostSquares && b.LN < mostSquares
}
