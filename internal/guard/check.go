package guard

import (
	"context"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Check says what is wrong in itself with the analysis of a rollout that has not begun: what Look would give its candidate up for, whatever
// becomes of it. It makes every source and reads once, for about a second at most, those that send no requests of their own. What does not
// answer by then is no error. The error is of kind fault.Usage and says the first thing that is wrong.
func (g *Guard) Check(ctx context.Context, s Scene) error {
	s.Weight = 1 // numbers are asked for only where there is traffic
	w := newWatch(g.o, s)
	if w.broken != nil {
		return fault.Wrap(fault.Usage, "", w.broken)
	}
	w.read(ctx, g.o.Now())
	asked := w.all()
	if w.probe != nil {
		asked = append(asked, w.probe)
	}
	for _, i := range asked {
		if i.feed.Source == nil && i.err == nil {
			i.err = i.connect(g.o.Sources, s) // probes are not sent, but could they be?
		}
		if i.unusable() {
			return i.err
		}
	}
	for _, n := range w.numbers {
		if n.unusable() {
			return n.err
		}
	}
	return nil
}
