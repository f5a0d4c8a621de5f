package helm

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"helm.sh/helm/v4/pkg/release/common"
	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Metadata by which Helm and Sluice say whose an object is.
const (
	managedByLabel             = "app.kubernetes.io/managed-by"
	releaseNamespaceAnnotation = "meta.helm.sh/release-namespace"
	policyAnnotation           = "helm.sh/resource-policy"
)

// takeOver frees the routes, stable Services and shared objects of the direct release, live all the while, so that they may
// point at any slot. It never lets Helm apply anything: objects get Services that always select the direct pods, then
// change their owner in place, and last the release gets a revision that does not list them any more.
// Each step may be repeated, and the last one makes the others unnecessary.
func (s *session) takeOver(b *blueprint) error {
	name := s.scope.Service
	if err := s.clear(name); err != nil {
		return err
	}
	last, ok := s.history.effective(name)
	if !ok || last.taken() {
		return nil
	}
	rel, err := s.stored(s.ctx, s.scope.Namespace, last)
	if err != nil {
		return err
	}
	objects, err := parseDocuments("", rel.Manifest)
	if err != nil {
		return err
	}
	kept, freed := splitTaken(objects, b.req.Release.Spec.Shared)
	routes, added, err := s.directRoutes(last, freed)
	if err != nil {
		return err
	}
	release, err := s.knownRelease(objects)
	if err != nil {
		return err
	}
	config, err := routesConfig(s.scope, v1alpha1.SlotDirect, last.rollout(), last.digest(), release, routes)
	if err != nil {
		return err
	}
	added = append(added, config)
	if err := s.applyOwned(name, added); err != nil {
		return err
	}
	if err := s.free(freed); err != nil {
		return err
	}
	labels := last.own()
	labels[labelTaken] = "true"
	return s.rewriteRelease(rel, append(without(kept, config), added...), labels, "routes taken over by Sluice")
}

// freeAgain keeps Helm from deleting routes, stable Services and shared objects when a direct release goes back to a
// revision from the time when they lived outside it.
func (s *session) freeAgain(name string, target revision, shared []string) error {
	last, ok := s.history.last(name)
	if !ok || last.version == target.version {
		return nil
	}
	now, err := s.manifestOf(last)
	if err != nil {
		return err
	}
	then, err := s.manifestOf(target)
	if err != nil {
		return err
	}
	_, freed := splitTaken(now, shared)
	for _, o := range then {
		freed = without(freed, o)
	}
	return s.free(freed)
}

func (s *session) manifestOf(rev revision) ([]object, error) {
	rel, err := s.stored(s.ctx, s.scope.Namespace, rev)
	if err != nil {
		return nil, err
	}
	return parseDocuments("", rel.Manifest)
}

// splitTaken parts a manifest into what stays in the direct release and what exists once for all slots.
func splitTaken(objects []object, shared []string) (kept, freed []object) {
	for _, o := range objects {
		if isRoute(o) || hasSelector(o) || slices.Contains(shared, o.id()) {
			freed = append(freed, o)
		} else {
			kept = append(kept, o)
		}
	}
	return kept, freed
}

// directRoutes are the routes of a direct release whose Services are renamed, with those Services.
func (s *session) directRoutes(rev revision, freed []object) (v1alpha1.Routes, []object, error) {
	var routes v1alpha1.Routes
	var added []object
	for _, o := range freed {
		if !isRoute(o) && !hasSelector(o) {
			continue
		}
		m, err := outside(s.scope, o)
		if err != nil {
			return routes, nil, err
		}
		if isRoute(o) {
			routes.Objects = append(routes.Objects, v1alpha1.RouteObject{Kind: o.GetKind(), Name: o.GetName(), Manifest: m})
			continue
		}
		own := o.copy()
		own.SetName(directService(o.GetName()))
		inside(own)
		label(own, map[string]string{v1alpha1.LabelService: s.scope.Service, v1alpha1.LabelEnvironment: s.scope.Environment, v1alpha1.LabelSlot: string(v1alpha1.SlotDirect)})
		added = append(added, own)
		routes.Services = append(routes.Services, v1alpha1.StableService{Name: o.GetName(), SlotService: own.GetName(), Manifest: m})
	}
	return routes, added, nil
}

// knownRelease is what a routes ConfigMap in a manifest says of the release; empty where there is none.
func (s *session) knownRelease(objects []object) (v1alpha1.ReleaseRef, error) {
	config := find(objects, "ConfigMap", routesName(s.scope.Service, v1alpha1.SlotDirect))
	if config.Unstructured == nil {
		return v1alpha1.ReleaseRef{}, nil
	}
	text, _, err := unstructured.NestedString(config.Object, "data", "release.json")
	if err != nil {
		return v1alpha1.ReleaseRef{}, fmt.Errorf("read %s: %w", config.id(), err)
	}
	var ref v1alpha1.ReleaseRef
	if err := json.Unmarshal([]byte(text), &ref); err != nil {
		return ref, fmt.Errorf("read %s: %w", config.id(), err)
	}
	return ref, nil
}

func find(objects []object, kind, name string) object {
	for _, o := range objects {
		if o.GetKind() == kind && o.GetName() == name {
			return o
		}
	}
	return object{}
}

// without leaves out an object of the same kind and name.
func without(objects []object, o object) []object {
	return slices.DeleteFunc(slices.Clone(objects), func(x object) bool { return qualified(x) == qualified(o) })
}

// applyOwned applies objects as members of a Helm release, under Helm's field manager.
func (s *session) applyOwned(release string, objects []object) error {
	for _, o := range objects {
		o = o.copy()
		label(o, map[string]string{managedByLabel: "Helm"})
		annotate(o, releaseAnnotation, release)
		annotate(o, releaseNamespaceAnnotation, s.scope.Namespace)
		at, err := s.resource(o)
		if err != nil {
			return err
		}
		_, err = at.Apply(s.ctx, o.GetName(), o.Unstructured, metav1.ApplyOptions{FieldManager: helmManager, Force: true})
		if err != nil {
			return fmt.Errorf("apply %s: %w", o.id(), err)
		}
	}
	return nil
}

// free changes the owner of objects in place; Helm will not delete them whatever becomes of the release.
func (s *session) free(objects []object) error {
	patch, err := mergePatch(map[string]any{"metadata": map[string]any{
		"labels": map[string]any{
			managedByLabel: v1alpha1.FieldManager, v1alpha1.LabelService: s.scope.Service, v1alpha1.LabelEnvironment: s.scope.Environment,
		},
		"annotations": map[string]any{releaseAnnotation: nil, releaseNamespaceAnnotation: nil, policyAnnotation: "keep"},
	}})
	if err != nil {
		return err
	}
	for _, o := range objects {
		at, err := s.resource(o)
		if err != nil {
			return err
		}
		_, err = at.Patch(s.ctx, o.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: v1alpha1.FieldManager})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("take over %s: %w", o.id(), err)
		}
	}
	return nil
}

func (s *session) resource(o object) (dynamic.ResourceInterface, error) {
	mapper, err := s.getter.ToRESTMapper()
	if err != nil {
		return nil, err
	}
	gvk := o.GroupVersionKind()
	mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.id(), err)
	}
	client, err := s.getter.dynamic()
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == "root" {
		return client.Resource(mapping.Resource), nil
	}
	namespace := o.GetNamespace()
	if namespace == "" {
		namespace = s.scope.Namespace
	}
	return client.Resource(mapping.Resource).Namespace(namespace), nil
}

// rewriteRelease adds a revision to a release that describes what is there now. Nothing is applied.
func (s *session) rewriteRelease(rel *releasev1.Release, objects []object, labels map[string]string, what string) error {
	text, err := manifest(objects)
	if err != nil {
		return err
	}
	labels = maps.Clone(labels)
	labels[labelGeneration] = strconv.FormatInt(s.stamp.generation, 10)
	store := s.storage(labels)
	next := *rel
	info := *rel.Info
	next.Info, next.Manifest, next.Labels = &info, text, nil
	newest, _ := s.history.last(rel.Name)
	next.Version = newest.version + 1
	next.ApplyMethod = string(releasev1.ApplyMethodServerSideApply)
	next.SetStatus(common.StatusDeployed, strings.ToUpper(what[:1])+what[1:])
	if err := store.Create(&next); err != nil {
		return fmt.Errorf("write Helm release %s revision %d: %w", rel.Name, next.Version, err)
	}
	s.history[rel.Name] = append(s.history[rel.Name], revision{
		release: rel.Name, version: next.Version, status: common.StatusDeployed, labels: labels,
	})
	if rel.Info.Status != common.StatusDeployed {
		return nil
	}
	before := *rel
	old := *rel.Info
	before.Info = &old
	before.Info.Status = common.StatusSuperseded
	before.Labels = plain(rel.Labels)
	if err := store.Update(&before); err != nil {
		return fmt.Errorf("supersede Helm release %s revision %d: %w", rel.Name, rel.Version, err)
	}
	s.setStatus(rel.Name, rel.Version, common.StatusSuperseded)
	return nil
}
