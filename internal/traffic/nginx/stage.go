package nginx

import (
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/traffic"
)

// verb is what a step does.
type verb int

const (
	setMain verb = iota
	setCanary
	removeIngress
	moveCallers
)

// step is one conditional write: what an Ingress is to become, or that callers inside the cluster move.
type step struct {
	verb   verb
	slot   v1alpha1.Slot
	weight int
	// old is the Ingress as read; nil where it is to be created.
	old *networkingv1.Ingress
	// chart is the Ingress as the slot's chart rendered it.
	chart *networkingv1.Ingress
}

// wanted is a split and the way there from what was seen.
type wanted struct {
	v               view
	live, candidate v1alpha1.Slot
	weight          int
	// charts are the Ingresses as rendered, by slot and name.
	charts map[v1alpha1.Slot]map[string]*networkingv1.Ingress
}

func newWanted(v view, split v1alpha1.Split) (wanted, error) {
	w := wanted{v: v, charts: map[v1alpha1.Slot]map[string]*networkingv1.Ingress{}}
	w.live, w.candidate, w.weight = traffic.Sides(split)
	for slot, routes := range v.target.Routes {
		w.charts[slot] = map[string]*networkingv1.Ingress{}
		for _, o := range objects(routes) {
			ingress, err := decode(o, v.target.Namespace)
			if err != nil {
				return w, err
			}
			w.charts[slot][o.Name] = ingress
		}
	}
	for _, slot := range []v1alpha1.Slot{w.live, w.candidate} {
		if slot != v1alpha1.SlotNone && len(w.charts[slot]) == 0 {
			return w, fault.New(fault.Usage, "shift traffic", "the chart of service %s renders no Ingress for slot %s", v.target.Service, slot).
				WithHint("switch its Ingress on in the values, or choose traffic.service or traffic.none")
		}
	}
	return w, nil
}

// stage lists the writes that are safe now.
func (w wanted) stage(now time.Time) []step {
	settled := w.v.wait(now) == 0
	switch {
	case w.candidate != v1alpha1.SlotNone:
		return w.share(settled)
	case w.promotes():
		return w.promote(settled)
	}
	return w.back(settled)
}

// share lets the canary stand beside the main Ingress, with its weight and the header.
func (w wanted) share(settled bool) []step {
	steps := w.mains()
	routes := w.v.target.Routes[w.candidate]
	for _, name := range sorted(w.charts[w.candidate]) {
		if chart := w.charts[w.candidate][name]; slotted(routes, chart) {
			steps = append(steps, step{verb: setCanary, slot: w.candidate, weight: w.weight, old: w.v.canaries[name], chart: chart})
		}
	}
	for _, name := range sorted(w.v.canaries) {
		if chart := w.charts[w.candidate][name]; chart == nil || !slotted(routes, chart) {
			steps = append(steps, w.withdraw(name, settled)...)
		}
	}
	return append(steps, step{verb: moveCallers, slot: w.live})
}

// promotes says that the canaries lead to the slot that is to have everything.
func (w wanted) promotes() bool {
	slot, agree, _ := w.v.side(w.v.canaries)
	return len(w.v.canaries) > 0 && agree && slot.slot == w.live
}

// promote hands everything over to the canary's slot: the canary takes it, then the main Ingress leads there in one write, then the
// canary has nothing left to do. Each stage builds on the proxies having followed the one before.
func (w wanted) promote(settled bool) []step {
	var steps []step
	done := w.mainsLead()
	for _, name := range sorted(w.v.canaries) {
		weight := w.v.leads(w.v.canaries[name]).weight
		chart := w.charts[w.live][name]
		switch {
		case chart == nil:
		case !done && weight < 100:
			steps = append(steps, step{verb: setCanary, slot: w.live, weight: 100, old: w.v.canaries[name], chart: chart})
		case done && weight > 0 && settled:
			steps = append(steps, step{verb: setCanary, slot: w.live, old: w.v.canaries[name], chart: chart})
		}
	}
	switch {
	case len(steps) > 0 || !settled:
		return steps
	case !done:
		return w.mains()
	}
	return w.finish()
}

// back leads everything to a slot that no canary leads to: the main Ingress first, then the canary loses its weight, at once; it is
// removed when nobody uses it any more.
func (w wanted) back(settled bool) []step {
	if w.mainsLead() && settled && w.idle() {
		return append(w.mains(), w.finish()...)
	}
	steps := w.mains()
	for _, name := range sorted(w.v.canaries) {
		steps = append(steps, w.withdraw(name, false)...)
	}
	return append(steps, step{verb: moveCallers, slot: w.live})
}

// withdraw takes a canary its weight, and the canary itself where that is done or it cannot be written any more.
func (w wanted) withdraw(name string, settled bool) []step {
	old := w.v.canaries[name]
	l := w.v.leads(old)
	chart := w.charts[l.slot][name]
	switch {
	case chart == nil || (l.weight == 0 && settled):
		return []step{{verb: removeIngress, old: old}}
	case l.weight == 0:
		return nil
	}
	return []step{{verb: setCanary, slot: l.slot, old: old, chart: chart}}
}

// finish removes the canaries and the main Ingresses that the slot does not render; callers inside the cluster come last.
func (w wanted) finish() []step {
	var steps []step
	for _, name := range sorted(w.v.canaries) {
		steps = append(steps, step{verb: removeIngress, old: w.v.canaries[name]})
	}
	for _, name := range w.v.stale(w.live) {
		steps = append(steps, step{verb: removeIngress, old: w.v.mains[name]})
	}
	return append(steps, step{verb: moveCallers, slot: w.live})
}

// mains leads every Ingress of the live slot's chart to it.
func (w wanted) mains() []step {
	var steps []step
	for _, name := range sorted(w.charts[w.live]) {
		steps = append(steps, step{verb: setMain, slot: w.live, old: w.v.mains[name], chart: w.charts[w.live][name]})
	}
	return steps
}

// mainsLead says that every Ingress of the live slot's chart is there and leads to it.
func (w wanted) mainsLead() bool {
	for name, chart := range w.charts[w.live] {
		old := w.v.mains[name]
		if old == nil || w.v.leads(old).foreign != "" || (slotted(w.v.target.Routes[w.live], chart) && w.v.leads(old).slot != w.live) {
			return false
		}
	}
	return true
}

// idle says that no canary has a weight.
func (w wanted) idle() bool {
	for _, i := range w.v.canaries {
		if w.v.leads(i).weight > 0 {
			return false
		}
	}
	return true
}
