package traffic

import (
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// Expressible says whether a split is one that routers are asked for: everything to one slot without a header, or a share
// below 100 to the slot the header leads to and the rest to one other slot.
func Expressible(s v1alpha1.Split) error {
	sum, slots := 0, 0
	for _, weight := range s.Weights {
		if weight < 0 {
			return fault.New(fault.Usage, "shift traffic", "weights are %s; none may be negative", s)
		}
		if sum += weight; weight > 0 {
			slots++
		}
	}
	switch {
	case sum != 100:
		return fault.New(fault.Usage, "shift traffic", "weights are %s; they must add up to 100", s)
	case s.Header == v1alpha1.SlotNone && slots == 1:
		return nil
	case s.Header == v1alpha1.SlotNone:
		return fault.New(fault.Usage, "shift traffic", "weights are %s; two slots share traffic only while the header leads to one of them", s)
	case s.Weights[s.Header] == 100 || slots > 2 || (slots == 2 && s.Weights[s.Header] == 0):
		return fault.New(fault.Usage, "shift traffic", "weights are %s; the header must lead to the one slot beside the live one", s)
	}
	return nil
}

// Sides tells the slots of an expressible split apart: the main route leads to live, and candidate, if any, has the header and the weight.
func Sides(s v1alpha1.Split) (live, candidate v1alpha1.Slot, weight int) {
	for slot, w := range s.Weights {
		if slot != s.Header && w > 0 {
			live = slot
		}
	}
	return live, s.Header, s.Weights[s.Header]
}
