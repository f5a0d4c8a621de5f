package helm

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
)

// Retire implements deploy.Releaser.
func (r *Releaser) Retire(ctx context.Context, req deploy.RetireRequest) error {
	op := fmt.Sprintf("retire %s", req.Slot.HelmRelease(req.Service))
	s, err := r.open(ctx, req.Scope, req.Generation, r.routesFence)
	if err != nil {
		return classify(ctx, op, err)
	}
	defer s.close()
	if req.Live == v1alpha1.SlotDirect && req.Slot != v1alpha1.SlotDirect && req.Plan.Strategy == "direct" {
		return classify(ctx, op, s.leaveSlots())
	}
	if req.Remove {
		return classify(ctx, op, s.remove(req))
	}
	return classify(ctx, op, s.freePods(req))
}

// leaveSlots ends the two-slot life of a service whose traffic is all on the direct slot.
func (s *session) leaveSlots() error {
	if err := s.giveBack(); err != nil {
		return err
	}
	for _, slot := range []v1alpha1.Slot{v1alpha1.SlotBlue, v1alpha1.SlotGreen} {
		name := slot.HelmRelease(s.scope.Service)
		if len(s.history[name]) == 0 {
			continue
		}
		if err := s.locked(name); err != nil {
			return err
		}
		if err := s.uninstall(name, true); err != nil {
			return err
		}
	}
	return s.unpin()
}

// remove uninstalls a slot. The chart's delete hooks run only with the last slot, when the service itself goes.
func (s *session) remove(req deploy.RetireRequest) error {
	name := req.Slot.HelmRelease(req.Service)
	if err := s.locked(name); err != nil {
		return err
	}
	last := req.Live == v1alpha1.SlotNone
	for _, slot := range v1alpha1.Slots() {
		if slot != req.Slot && s.history.present(slot.HelmRelease(req.Service)) {
			last = false
		}
	}
	if len(s.history[name]) > 0 {
		if err := s.uninstall(name, !last); err != nil {
			return err
		}
	}
	if last {
		return s.removeShared()
	}
	return s.unpin()
}

// freePods scales a slot to nothing and keeps its Helm history.
func (s *session) freePods(req deploy.RetireRequest) error {
	name := req.Slot.HelmRelease(req.Service)
	if !s.history.present(name) {
		return nil
	}
	if err := s.clear(name); err != nil {
		return err
	}
	deployments, err := s.deployments(name)
	if err != nil {
		return err
	}
	for _, d := range deployments {
		if *d.Spec.Replicas == 0 {
			continue
		}
		if err := s.scale("deployments", d.Name, 0); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	if err := s.unpin(); err != nil {
		return err
	}
	last, _ := s.history.last(name)
	return s.labelRevision(last, map[string]any{
		labelRetired: "true", labelGeneration: strconv.FormatInt(s.stamp.generation, 10),
	})
}

// giveBack makes the direct release a plain one again: its routes and stable Services are Helm's, with the same names and pods.
// The Services <name>-direct stay in the release until its next deployment, for proxies may still know them.
func (s *session) giveBack() error {
	name := s.scope.Service
	if err := s.clear(name); err != nil {
		return err
	}
	last, ok := s.history.effective(name)
	if !ok || !last.taken() {
		return s.forgetShared()
	}
	rel, err := s.stored(s.ctx, s.scope.Namespace, last)
	if err != nil {
		return err
	}
	kept, back, config, err := s.given(rel.Manifest, last)
	if err != nil {
		return err
	}
	if err := s.applyOwned(name, append(slices.Clone(back), config)); err != nil {
		return err
	}
	if err := s.unkeep(back); err != nil {
		return err
	}
	labels := last.own()
	delete(labels, labelTaken)
	if err := s.rewriteRelease(rel, append(append(kept, config), back...), labels, "routes given back by Sluice"); err != nil {
		return err
	}
	return s.forgetShared()
}

// given parts what a taken-over direct release becomes: what it holds already, what returns to it, and its new ConfigMap.
func (s *session) given(manifest string, last revision) (kept, back []object, config object, err error) {
	objects, err := parseDocuments("", manifest)
	if err != nil {
		return nil, nil, object{}, err
	}
	before := find(objects, "ConfigMap", routesName(s.scope.Service, v1alpha1.SlotDirect))
	routes, err := readRoutes(before)
	if err != nil {
		return nil, nil, object{}, err
	}
	shared, err := s.storedShared()
	if err != nil {
		return nil, nil, object{}, err
	}
	outer, err := manifests(routes)
	if err != nil {
		return nil, nil, object{}, err
	}
	for i := range routes.Services {
		routes.Services[i].SlotService = routes.Services[i].Name
	}
	release, err := s.knownRelease(objects)
	if err != nil {
		return nil, nil, object{}, err
	}
	config, err = routesConfig(s.scope, v1alpha1.SlotDirect, last.rollout(), last.digest(), release, routes)
	return without(objects, before), append(shared, outer...), config, err
}

func readRoutes(config object) (v1alpha1.Routes, error) {
	var routes v1alpha1.Routes
	if config.Unstructured == nil {
		return routes, fmt.Errorf("the release holds no ConfigMap with its routes")
	}
	text, _, err := unstructured.NestedString(config.Object, "data", "routes.json")
	if err != nil {
		return routes, fmt.Errorf("read %s: %w", config.id(), err)
	}
	if err := json.Unmarshal([]byte(text), &routes); err != nil {
		return routes, fmt.Errorf("read %s: %w", config.id(), err)
	}
	return routes, nil
}

// manifests are the objects that return into the direct release: Services before the routes that name them.
func manifests(routes v1alpha1.Routes) ([]object, error) {
	var out []object
	add := func(manifest json.RawMessage) error {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(manifest); err != nil {
			return fmt.Errorf("read a route's manifest: %w", err)
		}
		out = append(out, object{template: templateRoutes, Unstructured: u})
		return nil
	}
	for _, service := range routes.Services {
		if err := add(service.Manifest); err != nil {
			return nil, err
		}
	}
	for _, route := range routes.Objects {
		if err := add(route.Manifest); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *session) storedShared() ([]object, error) {
	last, ok := s.history.effective(sharedRelease(s.scope.Service))
	if !ok {
		return nil, nil
	}
	return s.manifestOf(last)
}

// settleDirect ends the outside life of what a direct release has taken back in place.
func (s *session) settleDirect(b *blueprint) error {
	if last, ok := s.history.effective(s.scope.Service); ok && last.taken() {
		_, back := splitTaken(b.own, b.req.Release.Spec.Shared)
		if err := s.unkeep(back); err != nil {
			return err
		}
	}
	return s.forgetShared()
}

// unkeep lets Helm delete objects again that it was kept from deleting, unless the chart itself says so.
func (s *session) unkeep(objects []object) error {
	patch, err := mergePatch(map[string]any{"metadata": map[string]any{"annotations": map[string]any{policyAnnotation: nil}}})
	if err != nil {
		return err
	}
	for _, o := range objects {
		if o.GetAnnotations()[policyAnnotation] != "" {
			continue
		}
		at, err := s.resource(o)
		if err != nil {
			return err
		}
		_, err = at.Patch(s.ctx, o.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: v1alpha1.FieldManager})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("give back %s: %w", o.id(), err)
		}
	}
	return nil
}

// keepDirectServices leaves the Services <name>-direct in a direct release that takes its routes back in place:
// proxies go on sending to them until they have read the routes.
func (s *session) keepDirectServices(b *blueprint) error {
	last, ok := s.history.effective(s.scope.Service)
	if !ok || !last.taken() {
		return nil
	}
	objects, err := s.manifestOf(last)
	if err != nil {
		return err
	}
	for _, service := range b.routes.Services {
		if o := find(objects, "Service", directService(service.Name)); o.Unstructured != nil {
			b.extra = append(b.extra, o)
		}
	}
	return nil
}
