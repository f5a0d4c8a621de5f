package helm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

// design renders what a deployment needs and checks it; it writes nothing.
func (s *session) design(req deploy.Request) (*blueprint, error) {
	if req.Release == nil {
		return nil, fault.New(fault.Internal, "deploy", "a request without a release")
	}
	name := req.Slot.HelmRelease(req.Service)
	if err := refuseName(req); err != nil {
		return nil, err
	}
	last, installed := s.history.last(name)
	b := &blueprint{
		req: req, shape: shapeOf(req), fresh: req.Live == v1alpha1.SlotNone, upgrade: s.history.present(name),
		shared: map[key]bool{}, renames: map[string]map[string]string{}, pins: map[string]int64{}, wants: map[string]int64{},
	}
	revision := 1
	if installed {
		revision = last.version + 1
	}
	var err error
	b.own, err = s.renderSlot(req, req.Slot, revision, b.upgrade)
	if err != nil {
		return nil, err
	}
	b.stable = b.own
	if b.shape == slotted {
		if b.stable, err = s.renderSlot(req, v1alpha1.SlotDirect, revision, b.upgrade); err != nil {
			return nil, err
		}
	}
	if b.shape != whole {
		if err := b.share(); err != nil {
			return nil, err
		}
		if err := b.refuseKinds(); err != nil {
			return nil, err
		}
	}
	if err := b.route(); err != nil {
		return nil, err
	}
	return b, s.compare(b, revision)
}

// maxReleaseName is Helm's limit.
const maxReleaseName = 53

func refuseName(req deploy.Request) error {
	longest := req.Slot.HelmRelease(req.Service)
	if req.Slot != v1alpha1.SlotDirect {
		longest = sharedRelease(req.Service)
	}
	if len(longest) <= maxReleaseName {
		return nil
	}
	return fault.New(fault.Usage, "names", "the Helm release %s would have %d characters, Helm allows %d", longest, len(longest), maxReleaseName).
		WithHint("give the service a shorter name")
}

func shapeOf(req deploy.Request) shape {
	switch {
	case req.Slot != v1alpha1.SlotDirect:
		return slotted
	case req.Live == v1alpha1.SlotNone || req.Live == v1alpha1.SlotDirect:
		return whole
	default:
		return taken
	}
}

func (s *session) renderSlot(req deploy.Request, slot v1alpha1.Slot, revision int, upgrade bool) ([]object, error) {
	req.Slot = slot
	v, err := values(req, slot)
	if err != nil {
		return nil, err
	}
	return s.render(req, rendering{release: slot.HelmRelease(req.Service), values: v, revision: revision, upgrade: upgrade})
}

// share finds the objects that the service declares as shared.
func (b *blueprint) share() error {
	own := keyed(b.own)
	_, order := keys(b.stable)
	var missing []string
	for _, entry := range b.req.Release.Spec.Shared {
		found := false
		for i, o := range b.stable {
			if o.hook() || o.id() != entry {
				continue
			}
			found = true
			b.shared[order[i]] = true
			if slotName := own[order[i]]; slotName.Unstructured != nil {
				if b.renames[o.GetKind()] == nil {
					b.renames[o.GetKind()] = map[string]string{}
				}
				b.renames[o.GetKind()][slotName.GetName()] = o.GetName()
			}
		}
		if !found {
			missing = append(missing, entry)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fault.New(fault.Usage, "shared", "shared lists %s, which the chart does not render under the release name %s; it renders %s",
		strings.Join(missing, ", "), b.req.Service, strings.Join(ids(b.stable), ", ")).
		WithHint("write Kind/name as in `helm template %s CHART`", b.req.Service)
}

// route computes how traffic reaches this slot.
func (b *blueprint) route() error {
	own := keyed(b.own)
	_, order := keys(b.stable)
	var objects []v1alpha1.RouteObject
	var services []v1alpha1.StableService
	for i, o := range b.stable {
		if o.hook() || b.shared[order[i]] {
			continue
		}
		switch {
		case isRoute(o):
			m, err := b.outside(o)
			if err != nil {
				return err
			}
			objects = append(objects, v1alpha1.RouteObject{Kind: o.GetKind(), Name: o.GetName(), Manifest: m})
		case hasSelector(o):
			mine := own[order[i]]
			if mine.Unstructured == nil || !hasSelector(mine) {
				return fault.New(fault.Usage, "services", "%s (%s) is rendered under the release name %s but not for slot %s",
					o.id(), o.template, b.req.Service, b.req.Slot)
			}
			service, err := b.stableService(o, mine)
			if err != nil {
				return err
			}
			services = append(services, service)
		}
	}
	b.routes = v1alpha1.Routes{Objects: objects, Services: services}
	return nil
}

func (b *blueprint) stableService(stable, own object) (v1alpha1.StableService, error) {
	out := v1alpha1.StableService{Name: stable.GetName()}
	mine := own.copy()
	b.slotService(mine)
	out.SlotService = mine.GetName()
	known := stable.copy()
	selector := map[string]any{}
	for k, v := range selectorOf(mine) {
		selector[k] = v
	}
	if err := unstructured.SetNestedMap(known.Object, selector, "spec", "selector"); err != nil {
		return out, fmt.Errorf("%s of %s: %w", stable.id(), stable.template, err)
	}
	m, err := b.outside(known)
	out.Manifest = m
	return out, err
}

// outside writes an object that exists once for all slots.
func (b *blueprint) outside(o object) (json.RawMessage, error) {
	return outside(b.req.Scope, o)
}

func outside(scope deploy.Scope, o object) (json.RawMessage, error) {
	o = o.copy()
	o.SetNamespace(scope.Namespace)
	label(o, map[string]string{v1alpha1.LabelService: scope.Service, v1alpha1.LabelEnvironment: scope.Environment})
	m, err := o.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("write %s of %s: %w", o.id(), o.template, err)
	}
	return json.RawMessage(strings.TrimSpace(string(m))), nil
}

// compare looks for what the two slots, and what was there before them, would fight over.
func (s *session) compare(b *blueprint, revision int) error {
	switch b.shape {
	case whole:
		return nil
	case taken:
		live, err := s.renderSlot(b.req, b.req.Live, revision, b.upgrade)
		if err != nil {
			return err
		}
		return s.measure(b, live)
	case slotted:
	}
	other := v1alpha1.SlotBlue
	if b.req.Slot == v1alpha1.SlotBlue {
		other = v1alpha1.SlotGreen
	}
	beside, err := s.renderSlot(b.req, other, revision, b.upgrade)
	if err != nil {
		return err
	}
	if err := b.refuseCollisions(beside, other); err != nil {
		return err
	}
	if s.history.present(b.req.Service) {
		if err := b.refuseSelectors(); err != nil {
			return err
		}
	}
	counterpart := beside
	if b.req.Live == v1alpha1.SlotDirect {
		counterpart = b.stable
	}
	return s.measure(b, counterpart)
}

func (b *blueprint) refuseCollisions(beside []object, other v1alpha1.Slot) error {
	taken := map[string]string{}
	for name, objects := range map[string][]object{"the stable name": b.stable, "slot " + string(other): beside} {
		for _, o := range objects {
			if !o.hook() {
				taken[qualified(o)] = name
			}
		}
	}
	var bad []string
	_, order := keys(b.own)
	for i, o := range b.own {
		if o.hook() || isRoute(o) || b.shared[order[i]] {
			continue
		}
		if taken[qualified(o)] != "" {
			bad = append(bad, fmt.Sprintf("%s (%s)", o.id(), o.template))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fault.New(fault.Usage, "slots", "slots %s and %s of service %s would both own %s", b.req.Slot, other, b.req.Service, strings.Join(bad, ", ")).
		WithHint("let the names derive from the release name, map them with slotValues (for example fullnameOverride: \"{{.Service}}-{{.Slot}}\"), or list what both slots use under `shared:`")
}

// refuseSelectors refuses a slot whose pods the Services of the direct slot would select: they would get traffic before any gate.
func (b *blueprint) refuseSelectors() error {
	for _, service := range b.stable {
		if service.hook() || !hasSelector(service) {
			continue
		}
		for _, o := range b.own {
			t := podTemplate(o)
			if t == nil || o.hook() {
				continue
			}
			labels, _, err := unstructured.NestedStringMap(t, "metadata", "labels")
			if err != nil || !covers(selectorOf(service), labels) {
				continue
			}
			return fault.New(fault.Usage, "slots", "%s (%s) selects the pods of every slot, so %s would get traffic before it is checked",
				service.id(), service.template, o.id()).
				WithHint("put the release name into the selector and the pod labels, for example app.kubernetes.io/instance: {{ .Release.Name }}")
		}
	}
	return nil
}

func covers(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}

func qualified(o object) string {
	return o.GroupVersionKind().Group + "/" + o.id() + "/" + o.GetNamespace()
}

func ids(objects []object) []string {
	var out []string
	for _, o := range objects {
		if !o.hook() {
			out = append(out, o.id())
		}
	}
	slices.Sort(out)
	return out
}
