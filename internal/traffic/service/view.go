package service

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/traffic"
)

// view is what one look saw: the stable Services by name.
type view struct {
	services map[string]*corev1.Service
}

func (v view) names() []string { return slices.Sorted(maps.Keys(v.services)) }

func (v view) fence(p traffic.Pass) error {
	for _, name := range v.names() {
		if err := p.Fence(object(v.services[name])); err != nil {
			return err
		}
	}
	return nil
}

// state reads the split from the selectors.
func (v view) state(t traffic.Target, now time.Time) traffic.State {
	var s traffic.State
	slot := v1alpha1.SlotNone
	found := false
	for _, name := range v.names() {
		live := v.services[name]
		o := object(live)
		if !t.Knows(o) {
			s.Foreign = t.Refuse(o).Error()
			continue
		}
		s.Generation = max(s.Generation, o.Generation())
		s.Wait = max(s.Wait, o.Wait(now, t))
		if len(live.Spec.Selector) == 0 {
			continue
		}
		selects := selected(t, live)
		if selects == v1alpha1.SlotNone {
			s.Foreign = fmt.Sprintf("Service %s selects %s, which is no slot's (last changed by %s)", name, words(live.Spec.Selector), o.LastHand())
		} else if wrote := o.Annotations[v1alpha1.AnnotationSplit]; wrote != "" && wrote != string(selects) {
			s.Foreign = fmt.Sprintf("Service %s selects slot %s, Sluice wrote %s (last changed by %s)", name, selects, wrote, o.LastHand())
		}
		if found && selects != slot {
			s.Transition = true
		}
		if slot == v1alpha1.SlotNone {
			slot = selects
		}
		found = true
	}
	if !found {
		return s
	}
	if s.Split.Weights = map[v1alpha1.Slot]int{}; slot != v1alpha1.SlotNone {
		s.Split = v1alpha1.Only(slot)
		s.Transition = s.Transition || len(v.stale(t, slot)) > 0 || v.missing(t, slot)
	}
	return s
}

// stale lists the Services that a router wrote and the slot does not render.
func (v view) stale(t traffic.Target, slot v1alpha1.Slot) []string {
	var out []string
	for _, name := range v.names() {
		if len(t.Routes[slot].Services) > 0 && t.Routes[slot].SlotService(name) == "" && object(v.services[name]).Written(t) {
			out = append(out, name)
		}
	}
	return out
}

func (v view) missing(t traffic.Target, slot v1alpha1.Slot) bool {
	return slices.ContainsFunc(t.Routes[slot].Services, func(s v1alpha1.StableService) bool { return v.services[s.Name] == nil })
}

// selected is the slot whose pods a stable Service selects; none where it selects something else.
func selected(t traffic.Target, live *corev1.Service) v1alpha1.Slot {
	for _, slot := range v1alpha1.Slots() {
		for _, stable := range t.Routes[slot].Services {
			if stable.Name != live.Name {
				continue
			}
			want, err := decode(stable, t.Namespace)
			if err == nil && maps.Equal(want.Spec.Selector, live.Spec.Selector) {
				return slot
			}
		}
	}
	// A slot whose routes are not known any more can only be told by what was written.
	wrote := v1alpha1.Slot(live.Annotations[v1alpha1.AnnotationSplit])
	if wrote != v1alpha1.SlotNone && len(t.Routes[wrote].Services) == 0 {
		return wrote
	}
	return v1alpha1.SlotNone
}

func decode(stable v1alpha1.StableService, namespace string) (*corev1.Service, error) {
	var s corev1.Service
	if err := json.Unmarshal(stable.Manifest, &s); err != nil {
		return nil, fault.New(fault.Fatal, "shift traffic", "Service %s as rendered by the chart cannot be read: %w", stable.Name, err)
	}
	s.Name, s.Namespace, s.Status = stable.Name, namespace, corev1.ServiceStatus{}
	s.ResourceVersion, s.UID, s.ManagedFields = "", "", nil
	return &s, nil
}

// inherit keeps what the cluster allocated for a Service where the chart does not say otherwise.
func inherit(want, live corev1.ServiceSpec) corev1.ServiceSpec {
	if want.Type == "" {
		want.Type = live.Type
	}
	if want.ClusterIP == "" {
		want.ClusterIP, want.ClusterIPs = live.ClusterIP, live.ClusterIPs
	}
	if len(want.IPFamilies) == 0 {
		want.IPFamilies = live.IPFamilies
	}
	if want.IPFamilyPolicy == nil {
		want.IPFamilyPolicy = live.IPFamilyPolicy
	}
	if want.HealthCheckNodePort == 0 {
		want.HealthCheckNodePort = live.HealthCheckNodePort
	}
	if want.Type != corev1.ServiceTypeNodePort && want.Type != corev1.ServiceTypeLoadBalancer {
		return want
	}
	want.Ports = slices.Clone(want.Ports)
	for i := range want.Ports {
		for _, p := range live.Ports {
			if p.Port == want.Ports[i].Port && protocol(p) == protocol(want.Ports[i]) && want.Ports[i].NodePort == 0 {
				want.Ports[i].NodePort = p.NodePort
			}
		}
	}
	return want
}

func protocol(p corev1.ServicePort) corev1.Protocol {
	if p.Protocol == "" {
		return corev1.ProtocolTCP
	}
	return p.Protocol
}

// samePorts compares what the chart says of ports with what the cluster made of it.
func samePorts(want, live []corev1.ServicePort) bool {
	want, live = slices.Clone(want), slices.Clone(live)
	for _, ports := range [][]corev1.ServicePort{want, live} {
		for i := range ports {
			ports[i].Protocol = protocol(ports[i])
			if ports[i].TargetPort.String() == "0" {
				ports[i].TargetPort.IntVal = ports[i].Port
			}
		}
	}
	return reflect.DeepEqual(want, live)
}
