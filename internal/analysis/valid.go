package analysis

import (
	"math"
	"slices"
)

// valid refuses a state that no analysis can have got into; it may come from an object that people can edit.
func (q *question) valid() error {
	if slices.ContainsFunc(q.owners(), func(w *wealth) bool { return !w.valid() }) || !owned(q.Comparison.Handed) ||
		!owned(q.Limit.Handed) || !owned(q.Baseline.Handed) {
		return unusable("the recorded state holds money that nobody can have bet or won")
	}
	if !q.Comparison.Open.valid() || !q.History.valid() {
		return unusable("the recorded state holds counts that cannot be")
	}
	return nil
}

// owners are all who bet.
func (q *question) owners() []*wealth {
	return []*wealth{
		&q.Comparison.Beside, &q.Comparison.Before, &q.Comparison.Same,
		&q.Limit.Over, &q.Limit.Each, &q.Limit.Under, &q.Limit.Live, &q.Baseline.Over, &q.Baseline.Each, &q.Baseline.Under, &q.Baseline.Live,
	}
}

func (w *wealth) valid() bool {
	return w.Spent >= 0 && w.Spent <= 1 && w.Bets >= 0 && len(w.Parts) <= bets &&
		!slices.ContainsFunc(w.Parts, func(p float64) bool { return !owned(p) })
}

func owned(money float64) bool { return money >= 0 && money <= mostWealth }

// mostSquares is more than sums of squares of what a slot's memory holds can be.
const mostSquares = 1e100

func (h *history) valid() bool {
	return block{LN: h.Requests, LX: h.Bad}.valid() && math.Abs(h.Excess) < mostSquares &&
		h.Scale >= 0 && h.Scale < mostSquares && h.Noise >= 0 && h.Noise < mostSquares &&
		!slices.ContainsFunc(h.Even[:], func(won float64) bool { return won < -mostSquares || won > math.Log(mostProven) })
}

// valid says that no slot has more bad requests than requests.
func (b block) valid() bool {
	return b.X >= 0 && b.X <= b.N && b.N < mostSquares && b.LX >= 0 && b.LX <= b.LN && b.LN < mostSquares
}
