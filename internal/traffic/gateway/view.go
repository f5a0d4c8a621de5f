package gateway

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/traffic"
)

// view is what one look saw: the service's HTTPRoutes by name, and where callers inside the cluster are.
type view struct {
	target  traffic.Target
	routes  map[string]*unstructured.Unstructured
	callers traffic.State
	// others are Services that the chart's routes use and that are the same for every slot.
	others map[string]bool
}

// objects are the HTTPRoutes of a slot's routes.
func objects(routes v1alpha1.Routes) []v1alpha1.RouteObject {
	var out []v1alpha1.RouteObject
	for _, o := range routes.Objects {
		if o.Kind == "HTTPRoute" {
			out = append(out, o)
		}
	}
	return out
}

func (v view) names() []string { return slices.Sorted(maps.Keys(v.routes)) }

func (v view) collectOthers(o v1alpha1.RouteObject) {
	route, err := decode(o, v.target.Namespace)
	if err != nil {
		return
	}
	for _, rule := range rulesOf(route) {
		for _, ref := range documents(rule, "backendRefs") {
			v.others[name(ref)] = true
		}
	}
}

func (v view) fence(p traffic.Pass) error {
	for _, n := range v.names() {
		if err := p.Fence(object(v.routes[n])); err != nil {
			return err
		}
	}
	return nil
}

// reading is what one HTTPRoute says.
type reading struct {
	split v1alpha1.Split
	// mixed says that its rules contradict each other.
	mixed   bool
	foreign string
}

// read reads the weights and the header from a route's rules.
func (v view) read(route *unstructured.Unstructured) reading {
	var r reading
	o := object(route)
	header := v.target.Header.OrDefault()
	for _, rule := range rulesOf(route) {
		weights := v.weights(o, rule, &r)
		switch {
		case len(weights) == 0:
		case leadsBy(rule, header):
			r.mixed = r.mixed || len(weights) > 1
			for slot := range weights {
				r.mixed = r.mixed || (r.split.Header != v1alpha1.SlotNone && r.split.Header != slot)
				r.split.Header = slot
			}
		case len(weights) > len(r.split.Weights):
			r.split.Weights = weights
		}
	}
	r.mixed = r.mixed || v.contradicts(o, route, r.split)
	found := r.split.String()
	if wrote := o.Annotations[v1alpha1.AnnotationSplit]; r.foreign == "" && wrote != "" && wrote != found {
		r.foreign = fmt.Sprintf("%s is at %q, Sluice wrote %q (last changed by %s)", o, found, wrote, o.LastHand())
	}
	return r
}

// contradicts says that a rule shares differently from the others: only what the candidate lacks may stay with the live slot.
func (v view) contradicts(o traffic.Object, route *unstructured.Unstructured, split v1alpha1.Split) bool {
	header := v.target.Header.OrDefault()
	var ignored reading
	for _, rule := range rulesOf(route) {
		weights := v.weights(o, rule, &ignored)
		if len(weights) == 0 || leadsBy(rule, header) || maps.Equal(weights, split.Weights) {
			continue
		}
		for slot := range weights {
			if len(weights) > 1 || slot == split.Header || split.Weights[slot] == 0 {
				return true
			}
		}
	}
	return false
}

// weights are the shares, in percent, of the slots that a rule leads to.
func (v view) weights(o traffic.Object, rule document, r *reading) map[v1alpha1.Slot]int {
	sums, total := map[v1alpha1.Slot]int{}, 0
	for _, ref := range documents(rule, "backendRefs") {
		slot, known := v.target.SlotOf(name(ref), v.callers.Split.Live())
		switch {
		case !known && v.others[name(ref)]:
			continue
		case !known:
			r.foreign = fmt.Sprintf("%s leads to Service %s, which is no slot's (last changed by %s)", o, name(ref), o.LastHand())
			continue
		}
		weight := int(number(ref, "weight", 1))
		if total += weight; weight > 0 {
			sums[slot] += weight
		}
	}
	for slot, sum := range sums {
		sums[slot] = (sum*100 + total/2) / total
	}
	return sums
}

// state sums up what was seen.
func (v view) state(now time.Time) traffic.State {
	s := traffic.State{Wait: v.callers.Wait, Generation: v.callers.Generation, Foreign: v.callers.Foreign}
	readings := map[string]reading{}
	for _, n := range v.names() {
		o := object(v.routes[n])
		if !v.target.Knows(o) {
			s.Foreign = v.target.Refuse(o).Error()
			continue
		}
		s.Generation = max(s.Generation, o.Generation())
		s.Wait = max(s.Wait, o.Wait(now, v.target))
		if lag := lagOf(v.routes[n]); lag != "" {
			s.Lag = lag
		}
		r := v.read(v.routes[n])
		readings[n] = r
		if r.foreign != "" {
			s.Foreign = r.foreign
		}
		s.Transition = s.Transition || r.mixed || r.foreign != ""
		if len(r.split.Weights) > len(s.Split.Weights) {
			s.Split.Weights = r.split.Weights
		}
		if r.split.Header != v1alpha1.SlotNone {
			s.Split.Header = r.split.Header
		}
	}
	if len(readings) == 0 {
		return s
	}
	if s.Split.Weights == nil {
		s.Split.Weights = map[v1alpha1.Slot]int{}
		return s
	}
	s.Transition = s.Transition || v.differs(readings, s.Split)
	return s
}

// differs says that not every route, or not the callers inside the cluster, are where the split says.
func (v view) differs(readings map[string]reading, split v1alpha1.Split) bool {
	live, _, _ := traffic.Sides(split)
	if traffic.Expressible(split) != nil {
		return true
	}
	rendered := v.target.Routes[live]
	if len(rendered.Services) > 0 && (v.callers.Split.Live() != live || v.callers.Transition) {
		return true
	}
	if len(objects(rendered)) == 0 {
		return false
	}
	want, err := newWanted(v.target, split)
	if err != nil {
		return true
	}
	for _, n := range want.names() {
		if r, there := readings[n]; !there || !r.split.Equal(want.share(n)) {
			return true
		}
	}
	return len(v.stale(want.renders)) > 0
}

// stale lists the routes that a router wrote and nobody renders any more.
func (v view) stale(renders func(string) bool) []string {
	var out []string
	for _, n := range v.names() {
		if !renders(n) && object(v.routes[n]).Written(v.target) {
			out = append(out, n)
		}
	}
	return out
}

// lagOf says which Gateway has not accepted the route as written, or does not find what it leads to; "" where all have.
func lagOf(route *unstructured.Unstructured) string {
	spec, _ := route.Object["spec"].(document)
	status, _ := route.Object["status"].(document)
	for _, parent := range documents(spec, "parentRefs") {
		gateway := name(parent)
		if lag := "no controller has answered"; !slices.ContainsFunc(documents(status, "parents"), func(answer document) bool {
			ref, _ := answer["parentRef"].(document)
			if !sameParent(ref, parent, route.GetNamespace()) {
				return false
			}
			lag = lagAt(answer, route.GetGeneration())
			return lag == ""
		}) {
			return fmt.Sprintf("HTTPRoute %s at Gateway %s: %s", route.GetName(), gateway, lag)
		}
	}
	return ""
}

func sameParent(a, b document, namespace string) bool {
	for _, field := range []string{"name", "namespace", "sectionName"} {
		x, y := text(a, field), text(b, field)
		if field == "namespace" {
			x, y = or(x, namespace), or(y, namespace)
		}
		if x != y {
			return false
		}
	}
	return number(a, "port", 0) == number(b, "port", 0)
}

func lagAt(answer document, generation int64) string {
	conditions := documents(answer, "conditions")
	for _, kind := range []string{"Accepted", "ResolvedRefs"} {
		at := slices.IndexFunc(conditions, func(c document) bool { return text(c, "type") == kind })
		switch {
		case at < 0:
			return kind + " is not reported"
		case number(conditions[at], "observedGeneration", 0) < generation:
			return fmt.Sprintf("%s is not reported for generation %d yet", kind, generation)
		case text(conditions[at], "status") != "True":
			return fmt.Sprintf("%s is %s: %s: %s", kind, text(conditions[at], "status"), text(conditions[at], "reason"), text(conditions[at], "message"))
		}
	}
	return ""
}

func object(route *unstructured.Unstructured) traffic.Object {
	o := traffic.Object{
		Kind: "HTTPRoute", Name: route.GetName(), Labels: route.GetLabels(), Annotations: route.GetAnnotations(), Created: route.GetCreationTimestamp().Time,
	}
	for _, m := range route.GetManagedFields() {
		if m.FieldsV1 != nil && m.Time != nil {
			o.Hands = append(o.Hands, traffic.Hand{Manager: m.Manager, At: m.Time.Time, Fields: m.FieldsV1.GetRawBytes()})
		}
	}
	return o
}
