package nginx

import (
	"encoding/json"
	"maps"
	"reflect"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/traffic"
)

// decode reads an Ingress as the chart rendered it; what makes an Ingress a canary is the router's business alone.
func decode(o v1alpha1.RouteObject, namespace string) (*networkingv1.Ingress, error) {
	var i networkingv1.Ingress
	if err := json.Unmarshal(o.Manifest, &i); err != nil {
		return nil, fault.New(fault.Fatal, "shift traffic", "Ingress %s as rendered by the chart cannot be read: %w", o.Name, err)
	}
	i.ObjectMeta = metav1.ObjectMeta{Name: o.Name, Namespace: namespace, Labels: i.Labels, Annotations: i.Annotations}
	i.Status = networkingv1.IngressStatus{}
	maps.DeleteFunc(i.Annotations, func(k, _ string) bool { return strings.HasPrefix(k, canaryPrefix) })
	return &i, nil
}

// mainIngress is the chart's Ingress with the slot's own Services behind it.
func mainIngress(p traffic.Pass, s step) (next *networkingv1.Ingress, moves bool) {
	want := s.chart.DeepCopy()
	routes := p.Target.Routes[s.slot]
	for _, b := range backends(want) {
		if own := routes.SlotService(b.Name); own != "" {
			b.Name = own
		}
	}
	split := words(v1alpha1.SlotNone)
	if slotted(routes, s.chart) {
		split = words(s.slot)
	}
	return finish(p, s.old, want, split)
}

// canaryIngress is what of the chart's Ingress leads to the slot, with the weight and the header. Certificates, external names and the
// like are the main Ingress's business, so only the proxy's own annotations are kept.
func canaryIngress(p traffic.Pass, s step) *networkingv1.Ingress {
	want := s.chart.DeepCopy()
	want.Name += canarySuffix
	want.Spec.TLS = nil
	routes := p.Target.Routes[s.slot]
	leads := func(b *networkingv1.IngressBackend) bool {
		if b == nil || b.Service == nil || routes.SlotService(b.Service.Name) == "" {
			return false
		}
		b.Service.Name = routes.SlotService(b.Service.Name)
		return true
	}
	if !leads(want.Spec.DefaultBackend) {
		want.Spec.DefaultBackend = nil
	}
	var rules []networkingv1.IngressRule
	for _, rule := range want.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		var paths []networkingv1.HTTPIngressPath
		for _, path := range rule.HTTP.Paths {
			if leads(&path.Backend) {
				paths = append(paths, path)
			}
		}
		if rule.HTTP.Paths = paths; len(paths) > 0 {
			rules = append(rules, rule)
		}
	}
	want.Spec.Rules = rules
	maps.DeleteFunc(want.Annotations, func(k, _ string) bool { return !strings.HasPrefix(k, prefix) && k != legacyClass })
	if want.Annotations == nil {
		want.Annotations = map[string]string{}
	}
	header := p.Target.Header.OrDefault()
	want.Annotations[canaryFlag] = "true"
	want.Annotations[canaryWeight] = strconv.Itoa(s.weight)
	want.Annotations[canaryHeader], want.Annotations[canaryHeaderValue] = header.Name, header.Value
	next, _ := finish(p, s.old, want, canaryWords(s.slot, s.weight))
	return next
}

// finish puts what is wanted into the object as it was read, so that what others wrote there stays. Moves says that proxies will
// do something else afterwards.
func finish(p traffic.Pass, old, want *networkingv1.Ingress, split string) (next *networkingv1.Ingress, moves bool) {
	if old == nil {
		want.Labels, want.Annotations = p.Metadata(traffic.Object{}, object(want), split, true)
		return want, true
	}
	next = old.DeepCopy()
	next.Spec = want.Spec
	if next.Spec.IngressClassName == nil && want.Annotations[legacyClass] == "" {
		next.Spec.IngressClassName = old.Spec.IngressClassName
	}
	next.Labels, next.Annotations = p.Metadata(object(old), object(want), split, false)
	moves = !reflect.DeepEqual(next.Spec, old.Spec) || !maps.Equal(effective(next), effective(old))
	if moves {
		next.Labels, next.Annotations = p.Metadata(object(old), object(want), split, true)
	}
	return next, moves
}

// effective are the annotations that somebody but Sluice reads.
func effective(i *networkingv1.Ingress) map[string]string {
	out := maps.Clone(i.Annotations)
	maps.DeleteFunc(out, func(k, _ string) bool { return strings.HasPrefix(k, "sluice.dev/") })
	return out
}

func same(old, next *networkingv1.Ingress) bool {
	return reflect.DeepEqual(old.Spec, next.Spec) && maps.Equal(old.Labels, next.Labels) && maps.Equal(old.Annotations, next.Annotations)
}
