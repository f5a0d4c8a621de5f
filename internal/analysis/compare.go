package analysis

const (
	// A block is closed once the live slot has this many requests for each of the candidate's, or the candidate has this many.
	blockRatio = 5
	blockMost  = 2
	// Requests of the live slot alone, or of the candidate alone, are not kept for a block beyond these.
	blockLive  = 20
	blockAlone = 50
	// enoughHistory is the number of requests of the live slot from which on its history is bet on.
	enoughHistory = 1000
	// someHistory is the number from which on it is a baseline at all. Between the two the baseline is as high as live may have been, but
	// for a chance of 1 in 1000.
	someHistory = 20
	// partBefore is the part of the money that is bet against the live slot's history once that is long enough.
	partBefore = 0.8
	// atOnce is the evidence that live and candidate, side by side, must give in any case: whatever happens to both at
	// once is taken for the candidate's fault with a chance of at most 1 in 50, however unlike the live slot's history it is.
	atOnce = 50
)

// block is what both slots did at the same time.
type block struct {
	N  float64 `json:"n"`
	X  float64 `json:"x"`
	LN float64 `json:"ln"`
	LX float64 `json:"lx"`
}

// comparison tests the candidate against the live slot. Its mathematics are in docs/concepts/analysis.md.
type comparison struct {
	// Open is a block that is not closed yet.
	Open block `json:"open"`
	// Beside bets that the candidate is worse than live at the same time, Before that it is worse than live has been;
	// Same bets that it is not worse by the smallest effect.
	Beside wealth `json:"beside"`
	Before wealth `json:"before"`
	Same   wealth `json:"same"`
	// Handed is what Beside owned when a part of it was handed to Before.
	Handed float64 `json:"handed,omitempty"`
}

// look takes in what both slots did since the last read. What it adds to the live slot's history is bet on from the next block on.
func (c *comparison) look(b block, h *history, effect float64) {
	c.Open.N += b.N
	c.Open.X += b.X
	c.Open.LN += b.LN
	c.Open.LX += b.LX
	// When a block is closed depends on how many requests there were, never on how they went.
	switch b := c.Open; {
	case b.N == 0 && b.LN >= blockLive:
		h.add(b.LN, b.LX)
	case b.N > 0 && b.LN > 0 && (b.LN >= blockRatio*b.N || b.N >= blockMost):
		if h.Requests >= enoughHistory {
			if c.Before.Bets == 0 {
				c.Handed = c.Beside.total()
			}
			c.before(b, h, effect)
		}
		c.beside(b, h, effect)
		h.add(b.LN, b.LX)
	case b.LN == 0 && b.N >= blockAlone:
	default:
		return
	}
	c.Open = block{}
}

// evidence is the money of the two who bet that the candidate is worse: Beside has all of it until there is enough history, and hands
// then a part to Before. What Before has won against the live slot's past does not count until Beside has won enough side by side.
func (c *comparison) evidence() float64 {
	beside := c.Beside.total()
	if c.Before.Bets == 0 {
		return beside
	}
	both := (1-partBefore)*beside + partBefore*c.Handed*c.Before.total()
	if beside < atOnce {
		return min(both, beside)
	}
	return both
}

// beside bets on the block alone. Nothing is assumed of the live slot's rate but that it is the same for both.
func (c *comparison) beside(b block, h *history, effect float64) {
	burst, p := h.burst(), h.rate()
	// Where failures come in bursts many of them say as much as few: the exponents of a fair bet may be lowered.
	mine, live := 1/(1+(b.N-1)*burst), 1/(1+max(b.LN-1, 0)*burst)
	n, x, ln, lx := b.N*mine, b.X*mine, b.LN*live, b.LX*live
	stakes := spread()
	c.Beside.bet(stakes[:], func(k int) float64 {
		a := worse(p, effect, k)
		null := (n*a + ln*p) / (n + ln)
		return likelihood(n, x, a) + likelihood(ln, lx, p) - likelihood(n+ln, x+lx, null)
	})
	if p+effect >= 0.999 {
		return
	}
	q := nearest(n, ln, p, effect)
	c.Same.bet([]float64{1}, func(int) float64 {
		return likelihood(n, x, p) - likelihood(n, x, q+effect) + likelihood(ln, lx, p) - likelihood(ln, lx, q)
	})
}

// nearest is the rate q of live for which a candidate at q+effect and live at q are hardest to tell from both at p.
func nearest(n, ln, p, effect float64) float64 {
	low, high := max(p-effect, 0), min(p, 1-effect)
	for range 40 {
		q := (low + high) / 2
		a := q + effect
		// The derivative of n·KL(p, a) + ln·KL(p, q).
		slope := n * (a - p) / (a * (1 - a))
		if q > 0 {
			slope += ln * (q - p) / (q * (1 - q))
		}
		if slope > 0 {
			high = q
		} else {
			low = q
		}
	}
	return max((low+high)/2, 1e-12)
}

// before bets on the candidate against what live has been, corrected by what live does at the same time. Independent failures, bursts that
// both slots share, and bursts of each slot by itself as live has shown them: the one that explains the candidate best is refuted.
func (c *comparison) before(b block, h *history, effect float64) {
	u := h.high(0.5)
	strength := min(1/h.reckon()-1, h.Requests)
	null := max(likelihood(b.N, b.X, u), drawn(b.N, b.X, strength*u+b.LX, strength*(1-u)+b.LN-b.LX))
	if burst := h.burst(); burst > 0 {
		null = max(null, around(b.N, b.X, u, burst))
	}
	stakes := spread()
	c.Before.bet(stakes[:], func(k int) float64 {
		a := worse(u, effect, k)
		return likelihood(b.N, b.X, a) - null
	})
}
