package nginx

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/traffic"
)

// The annotations by which ingress-nginx and its likes know a canary.
const (
	prefix            = "nginx.ingress.kubernetes.io/"
	canaryPrefix      = prefix + "canary"
	canaryFlag        = canaryPrefix
	canaryWeight      = prefix + "canary-weight"
	canaryHeader      = prefix + "canary-by-header"
	canaryHeaderValue = prefix + "canary-by-header-value"
	legacyClass       = "kubernetes.io/ingress.class"
	canarySuffix      = "-canary"
)

// view is what one look saw: the service's Ingresses by the name of the main one, and where callers inside the cluster are.
type view struct {
	target   traffic.Target
	mains    map[string]*networkingv1.Ingress
	canaries map[string]*networkingv1.Ingress
	// blocked are somebody else's Ingresses under the name of a canary.
	blocked map[string]*networkingv1.Ingress
	callers traffic.State
	// others are Services that the chart's Ingresses use and that are the same for every slot.
	others map[string]bool
}

// lead is where an Ingress leads.
type lead struct {
	slot   v1alpha1.Slot
	weight int
	// foreign says what no router writes.
	foreign string
}

func (r *Router) look(ctx context.Context, t traffic.Target) (view, error) {
	v := view{
		target: t, others: map[string]bool{}, mains: map[string]*networkingv1.Ingress{},
		canaries: map[string]*networkingv1.Ingress{}, blocked: map[string]*networkingv1.Ingress{},
	}
	list, err := r.client.NetworkingV1().Ingresses(t.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return v, err
	}
	names := map[string]bool{}
	for _, routes := range t.Routes {
		for _, o := range objects(routes) {
			names[o.Name] = true
			v.collectOthers(o)
		}
	}
	for i := range list.Items {
		ingress := &list.Items[i]
		main, suffixed := strings.CutSuffix(ingress.Name, canarySuffix)
		switch written := object(ingress).Written(t); {
		case names[ingress.Name]:
			v.mains[ingress.Name] = ingress
		case written && suffixed && ingress.Annotations[canaryFlag] == "true":
			v.canaries[main] = ingress
		case written:
			v.mains[ingress.Name] = ingress
		case suffixed && names[main]:
			v.blocked[main] = ingress
		}
	}
	v.callers, err = r.callers.Split(ctx, t)
	return v, err
}

// objects are the Ingresses of a slot's routes.
func objects(routes v1alpha1.Routes) []v1alpha1.RouteObject {
	var out []v1alpha1.RouteObject
	for _, o := range routes.Objects {
		if o.Kind == "Ingress" {
			out = append(out, o)
		}
	}
	return out
}

func (v view) collectOthers(o v1alpha1.RouteObject) {
	ingress, err := decode(o, v.target.Namespace)
	if err != nil {
		return
	}
	for _, b := range backends(ingress) {
		v.others[b.Name] = true
	}
}

// backends are the Services that an Ingress leads to; the pointers reach into it.
func backends(i *networkingv1.Ingress) []*networkingv1.IngressServiceBackend {
	var out []*networkingv1.IngressServiceBackend
	add := func(b *networkingv1.IngressBackend) {
		if b != nil && b.Service != nil {
			out = append(out, b.Service)
		}
	}
	add(i.Spec.DefaultBackend)
	for r := range i.Spec.Rules {
		if http := i.Spec.Rules[r].HTTP; http != nil {
			for p := range http.Paths {
				add(&http.Paths[p].Backend)
			}
		}
	}
	return out
}

// leads reads where an Ingress leads, and what in it no router writes.
func (v view) leads(i *networkingv1.Ingress) lead {
	var l lead
	o := object(i)
	for _, b := range backends(i) {
		slot, known := v.target.SlotOf(b.Name, v.callers.Split.Live())
		switch {
		case !known && v.others[b.Name]:
		case !known:
			l.foreign = fmt.Sprintf("%s leads to Service %s, which is no slot's (last changed by %s)", o, b.Name, o.LastHand())
		case l.slot == v1alpha1.SlotNone:
			l.slot = slot
		case l.slot != slot:
			l.foreign = fmt.Sprintf("%s leads to slots %s and %s (last changed by %s)", o, l.slot, slot, o.LastHand())
		}
	}
	found := words(l.slot)
	if text, ok := i.Annotations[canaryWeight]; ok {
		weight, err := strconv.Atoi(text)
		if err != nil || weight < 0 || weight > 100 {
			l.foreign = fmt.Sprintf("%s has weight %q (last changed by %s)", o, text, o.LastHand())
			weight = 0
		}
		l.weight = weight
		found = canaryWords(l.slot, weight)
	}
	if wrote := i.Annotations[v1alpha1.AnnotationSplit]; l.foreign == "" && wrote != "" && wrote != found {
		l.foreign = fmt.Sprintf("%s is at %q, Sluice wrote %q (last changed by %s)", o, found, wrote, o.LastHand())
	}
	return l
}

// words is what a main Ingress leads to, as the router writes it down.
func words(slot v1alpha1.Slot) string {
	if slot == v1alpha1.SlotNone {
		return "none"
	}
	return string(slot)
}

// slotted says that an Ingress as rendered leads to a Service of the slot; others are the same whatever slot is live.
func slotted(routes v1alpha1.Routes, i *networkingv1.Ingress) bool {
	return slices.ContainsFunc(backends(i), func(b *networkingv1.IngressServiceBackend) bool { return routes.SlotService(b.Name) != "" })
}

func canaryWords(slot v1alpha1.Slot, weight int) string {
	return string(slot) + " " + strconv.Itoa(weight)
}

// live is the slot that the main Ingresses lead to.
func (v view) live() v1alpha1.Slot {
	slot, _, _ := v.side(v.mains)
	return slot.slot
}

// side sums up the Ingresses of one kind: where the first leads, whether all agree, and what is foreign.
func (v view) side(ingresses map[string]*networkingv1.Ingress) (first lead, agree bool, foreign string) {
	agree = true
	seen := false
	for _, name := range sorted(ingresses) {
		o := object(ingresses[name])
		if !v.target.Knows(o) {
			foreign = v.target.Refuse(o).Error()
			continue
		}
		l := v.leads(ingresses[name])
		if l.foreign != "" {
			foreign = l.foreign
		} else if l.slot == v1alpha1.SlotNone {
			continue
		}
		if !seen {
			first, seen = l, true
		}
		agree = agree && l.slot == first.slot && l.weight == first.weight
	}
	return first, agree, foreign
}

// known counts the Ingresses that are the service's.
func (v view) known(ingresses map[string]*networkingv1.Ingress) int {
	n := 0
	for _, i := range ingresses {
		if v.target.Knows(object(i)) {
			n++
		}
	}
	return n
}

func (v view) fence(p traffic.Pass) error {
	for _, i := range v.all() {
		if err := p.Fence(object(i)); err != nil {
			return err
		}
	}
	return nil
}

func (v view) all() []*networkingv1.Ingress {
	var out []*networkingv1.Ingress
	for _, ingresses := range []map[string]*networkingv1.Ingress{v.mains, v.canaries} {
		for _, name := range sorted(ingresses) {
			out = append(out, ingresses[name])
		}
	}
	return out
}

// wait is how much time the proxies have left to follow every write of an Ingress.
func (v view) wait(now time.Time) time.Duration {
	longest := time.Duration(0)
	for _, i := range v.all() {
		if o := object(i); v.target.Knows(o) {
			longest = max(longest, o.Wait(now, v.target))
		}
	}
	return longest
}

// generation is the newest one under which anything was written.
func (v view) generation() int64 {
	newest := v.callers.Generation
	for _, i := range v.all() {
		if o := object(i); v.target.Knows(o) {
			newest = max(newest, o.Generation())
		}
	}
	return newest
}

// state sums up what was seen.
func (v view) state(now time.Time) traffic.State {
	s := traffic.State{Wait: max(v.wait(now), v.callers.Wait), Generation: v.generation()}
	main, mainsAgree, foreignMain := v.side(v.mains)
	canary, canariesAgree, foreignCanary := v.side(v.canaries)
	foreignHeader := v.foreignHeader()
	for _, foreign := range []string{v.callers.Foreign, foreignCanary, foreignHeader, foreignMain} {
		if foreign != "" {
			s.Foreign = foreign
		}
	}
	hasCanary := v.known(v.canaries) > 0
	switch {
	case v.known(v.mains) == 0 && hasCanary:
		s.Split = v1alpha1.Split{Weights: map[v1alpha1.Slot]int{}, Header: canary.slot}
		s.Foreign = fmt.Sprintf("the main Ingress beside %s is gone", object(v.canaries[sorted(v.canaries)[0]]))
	case v.known(v.mains) == 0:
	case main.slot == v1alpha1.SlotNone:
		s.Split = v1alpha1.Split{Weights: map[v1alpha1.Slot]int{}}
	default:
		s.Split, s.Transition = v.between(main, canary, hasCanary)
		s.Transition = s.Transition || !mainsAgree || !canariesAgree || foreignMain != "" || foreignHeader != "" || !v.callersAt(main.slot)
	}
	return s
}

// between is the split of a main route and, if any, the canary beside it, and whether it is a state on the way.
func (v view) between(main, canary lead, hasCanary bool) (v1alpha1.Split, bool) {
	switch {
	case !hasCanary:
		return v1alpha1.Only(main.slot), len(v.stale(main.slot)) > 0 || v.lacking(v.mains, main.slot, false)
	case canary.slot == main.slot:
		return v1alpha1.Between(main.slot, canary.slot, 100), true
	default:
		return v1alpha1.Between(main.slot, canary.slot, canary.weight), canary.weight == 100 || v.lacking(v.canaries, canary.slot, true)
	}
}

// foreignHeader names a canary that another header leads to.
func (v view) foreignHeader() string {
	want := v.target.Header.OrDefault()
	for _, name := range sorted(v.canaries) {
		i := v.canaries[name]
		header := v1alpha1.Header{Name: i.Annotations[canaryHeader], Value: i.Annotations[canaryHeaderValue]}
		if o := object(i); v.target.Knows(o) && header != want {
			return fmt.Sprintf("%s is led to by header %q: %q, not %q: %q (last changed by %s)", o, header.Name, header.Value, want.Name, want.Value, o.LastHand())
		}
	}
	return ""
}

// callersAt says that callers inside the cluster are at the slot, where it has Services.
func (v view) callersAt(slot v1alpha1.Slot) bool {
	return len(v.target.Routes[slot].Services) == 0 || (v.callers.Split.Live() == slot && !v.callers.Transition)
}

// stale lists the main Ingresses that a router wrote and the slot does not render.
func (v view) stale(slot v1alpha1.Slot) []string {
	var out []string
	rendered := objects(v.target.Routes[slot])
	for _, name := range sorted(v.mains) {
		wanted := slices.ContainsFunc(rendered, func(o v1alpha1.RouteObject) bool { return o.Name == name })
		if len(rendered) > 0 && !wanted && object(v.mains[name]).Written(v.target) {
			out = append(out, name)
		}
	}
	return out
}

// lacking says that a slot renders an Ingress that is not there; a canary stands only beside those that lead to the slot.
func (v view) lacking(ingresses map[string]*networkingv1.Ingress, slot v1alpha1.Slot, canaries bool) bool {
	routes := v.target.Routes[slot]
	return slices.ContainsFunc(objects(routes), func(o v1alpha1.RouteObject) bool {
		chart, err := decode(o, v.target.Namespace)
		return err == nil && ingresses[o.Name] == nil && (!canaries || slotted(routes, chart))
	})
}

func object(i *networkingv1.Ingress) traffic.Object {
	o := traffic.Object{Kind: "Ingress", Name: i.Name, Labels: i.Labels, Annotations: i.Annotations, Created: i.CreationTimestamp.Time}
	for _, m := range i.ManagedFields {
		if m.FieldsV1 != nil && m.Time != nil {
			o.Hands = append(o.Hands, traffic.Hand{Manager: m.Manager, At: m.Time.Time, Fields: m.FieldsV1.GetRawBytes()})
		}
	}
	return o
}

func sorted(ingresses map[string]*networkingv1.Ingress) []string {
	return slices.Sorted(maps.Keys(ingresses))
}
