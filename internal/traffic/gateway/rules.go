package gateway

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/traffic"
)

type document = map[string]any

// wanted is a split over what the slots' charts render.
type wanted struct {
	live, candidate v1alpha1.Slot
	weight          int
	target          traffic.Target
	// charts are the HTTPRoutes as rendered, by slot and name.
	charts map[v1alpha1.Slot]map[string]*unstructured.Unstructured
}

func newWanted(t traffic.Target, split v1alpha1.Split) (wanted, error) {
	w := wanted{target: t, charts: map[v1alpha1.Slot]map[string]*unstructured.Unstructured{}}
	w.live, w.candidate, w.weight = traffic.Sides(split)
	for _, slot := range []v1alpha1.Slot{w.live, w.candidate} {
		if slot == v1alpha1.SlotNone {
			continue
		}
		rendered := objects(t.Routes[slot])
		if len(rendered) == 0 {
			return w, fault.New(fault.Usage, "shift traffic", "the chart of service %s renders no HTTPRoute for slot %s", t.Service, slot).
				WithHint("switch its HTTPRoute on in the values, or choose traffic.service or traffic.none")
		}
		w.charts[slot] = map[string]*unstructured.Unstructured{}
		for _, o := range rendered {
			route, err := decode(o, t.Namespace)
			if err != nil {
				return w, err
			}
			// What leads to none of the candidate's Services, as a redirect does, has nothing for the header to lead to.
			if slot == w.live || slotted(t.Routes[slot], route) {
				w.charts[slot][o.Name] = route
			}
		}
	}
	return w, nil
}

// slotted says that a route leads to a Service of the slot.
func slotted(routes v1alpha1.Routes, route *unstructured.Unstructured) bool {
	for _, rule := range rulesOf(route) {
		for _, ref := range documents(rule, "backendRefs") {
			if routes.SlotService(name(ref)) != "" {
				return true
			}
		}
	}
	return false
}

// names lists the routes that are to exist.
func (w wanted) names() []string {
	all := maps.Clone(w.charts[w.live])
	if all == nil {
		all = map[string]*unstructured.Unstructured{}
	}
	maps.Copy(all, w.charts[w.candidate])
	return slices.Sorted(maps.Keys(all))
}

func (w wanted) renders(name string) bool { return slices.Contains(w.names(), name) }

// share is the split as one route can show it: what only one slot renders belongs to that slot alone, and a redirect to none.
func (w wanted) share(name string) v1alpha1.Split {
	live := w.charts[w.live][name]
	_, candidate := w.charts[w.candidate][name]
	var s v1alpha1.Split
	switch {
	case live != nil && !slotted(w.target.Routes[w.live], live):
	case live != nil && candidate:
		s = v1alpha1.Between(w.live, w.candidate, w.weight)
	case live != nil:
		s = v1alpha1.Only(w.live)
	}
	if candidate {
		s.Header = w.candidate
	}
	return s
}

// route is the live slot's route with the weights, behind the candidate's rules that the header leads to.
func (w wanted) route(p traffic.Pass, name string) (*unstructured.Unstructured, error) {
	live, candidate := w.charts[w.live][name], w.charts[w.candidate][name]
	base := live
	if base == nil {
		base = candidate
	}
	next := base.DeepCopy()
	var rules []any
	header := p.Target.Header.OrDefault()
	for _, rule := range rulesOf(candidate) {
		led, err := w.headerRule(p.Target, name, rule, header)
		if err != nil {
			return nil, err
		}
		if led != nil {
			rules = append(rules, led)
		}
	}
	sharing := w
	if candidate == nil {
		sharing.candidate, sharing.weight = v1alpha1.SlotNone, 0
	}
	for _, rule := range rulesOf(live) {
		rules = append(rules, sharing.weighted(p.Target, rule))
	}
	spec, _ := next.Object["spec"].(document)
	spec["rules"] = rules
	withDefaults(spec)
	next.Object["spec"] = spec
	return next, nil
}

// headerRule is a rule of the candidate for requests with the header; nil where it leads to none of the slot's Services.
func (w wanted) headerRule(t traffic.Target, route string, rule document, header v1alpha1.Header) (document, error) {
	rule = runtime.DeepCopyJSON(rule)
	// Names of rules are unique, and the weighted rule keeps it.
	delete(rule, "name")
	slotted := false
	for _, ref := range documents(rule, "backendRefs") {
		if own := t.Routes[w.candidate].SlotService(name(ref)); own != "" {
			ref["name"], slotted = own, true
		}
	}
	if !slotted {
		return nil, nil
	}
	matches := documents(rule, "matches")
	if len(matches) == 0 {
		matches = []document{{}}
	}
	var led []any
	for _, match := range matches {
		headers, _ := match["headers"].([]any)
		for _, h := range documents(match, "headers") {
			if strings.EqualFold(name(h), header.Name) {
				return nil, fault.New(fault.Usage, "shift traffic", "HTTPRoute %s matches header %s itself, which leads to the candidate", route, header.Name).
					WithHint("choose another header in the strategy")
			}
		}
		match["headers"] = append(slices.Clone(headers), document{"type": "Exact", "name": header.Name, "value": header.Value})
		led = append(led, match)
	}
	rule["matches"] = led
	return rule, nil
}

// weighted is a rule of the live slot that shares with the candidate's Services of the same name.
func (w wanted) weighted(t traffic.Target, rule document) document {
	rule = runtime.DeepCopyJSON(rule)
	if _, has := rule["backendRefs"]; !has {
		return rule
	}
	refs := []any{}
	for _, ref := range documents(rule, "backendRefs") {
		refs = append(refs, w.shared(t, ref)...)
	}
	rule["backendRefs"] = refs
	return rule
}

func (w wanted) shared(t traffic.Target, ref document) []any {
	stable, own := name(ref), number(ref, "weight", 1)
	live, candidate := t.Routes[w.live].SlotService(stable), t.Routes[w.candidate].SlotService(stable)
	to := func(service string, percent int) document {
		out := runtime.DeepCopyJSON(ref)
		out["name"], out["weight"] = service, own*int64(percent)
		return out
	}
	switch {
	case live == "":
		return []any{to(stable, 100)}
	case candidate == "" || w.weight == 0:
		return []any{to(live, 100)}
	default:
		return []any{to(live, 100-w.weight), to(candidate, w.weight)}
	}
}

// leadsBy says that every match of a rule asks for the header.
func leadsBy(rule document, header v1alpha1.Header) bool {
	matches := documents(rule, "matches")
	for _, match := range matches {
		if !slices.ContainsFunc(documents(match, "headers"), func(h document) bool {
			return strings.EqualFold(name(h), header.Name) && text(h, "value") == header.Value
		}) {
			return false
		}
	}
	return len(matches) > 0
}

// decode reads an HTTPRoute as the chart rendered it.
func decode(o v1alpha1.RouteObject, namespace string) (*unstructured.Unstructured, error) {
	var route unstructured.Unstructured
	if err := route.UnmarshalJSON(o.Manifest); err != nil {
		return nil, fault.New(fault.Fatal, "shift traffic", "HTTPRoute %s as rendered by the chart cannot be read: %w", o.Name, err)
	}
	if _, ok := route.Object["spec"].(document); !ok {
		return nil, fault.New(fault.Fatal, "shift traffic", "HTTPRoute %s as rendered by the chart has no spec", o.Name)
	}
	labels, annotations := route.GetLabels(), route.GetAnnotations()
	route.Object = document{"apiVersion": group + "/v1", "kind": "HTTPRoute", "metadata": document{}, "spec": route.Object["spec"]}
	route.SetName(o.Name)
	route.SetNamespace(namespace)
	route.SetLabels(labels)
	route.SetAnnotations(annotations)
	return &route, nil
}

// over puts what is wanted into the route as it was read, so that what others wrote there stays.
func over(p traffic.Pass, old, want *unstructured.Unstructured, split string) (next *unstructured.Unstructured, differs bool) {
	next = old.DeepCopy()
	next.Object["spec"] = want.Object["spec"]
	moves := !reflect.DeepEqual(next.Object["spec"], old.Object["spec"])
	labels, annotations := p.Metadata(object(old), object(want), split, moves)
	next.SetLabels(labels)
	next.SetAnnotations(annotations)
	return next, moves || !maps.Equal(labels, old.GetLabels()) || !maps.Equal(annotations, old.GetAnnotations())
}
