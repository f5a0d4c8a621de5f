package helm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
)

// shape says what a deployment makes of a chart.
type shape int

const (
	// whole is the plain chart: one release with everything in it.
	whole shape = iota
	// taken is the direct slot beside others: its routes and stable Services live outside the release.
	taken
	// slotted is a blue or green slot.
	slotted
)

// annotationMinReplicas keeps what an HPA's minReplicas was before it was pinned.
const annotationMinReplicas = "sluice.dev/min-replicas"

// annotationCause is where Kubernetes looks for the reason of a change to a workload.
const annotationCause = "kubernetes.io/change-cause"

// templateRoutes is where Sluice's own objects are filed in a release.
const templateRoutes = "sluice/routes.yaml"

// key pairs the objects of two renderings of one chart: the same template, kind and place.
type key struct {
	template, kind string
	index          int
}

func keyed(objects []object) map[key]object {
	out, _ := keys(objects)
	return out
}

// keys returns the objects by key, and the key of each object in order.
func keys(objects []object) (map[key]object, []key) {
	count := map[key]int{}
	out, order := map[key]object{}, make([]key, 0, len(objects))
	for _, o := range objects {
		k := key{template: o.template, kind: o.GetKind()}
		n := count[k]
		count[k]++
		k.index = n
		out[k] = o
		order = append(order, k)
	}
	return out, order
}

// blueprint is everything decided about a deployment before the first write.
type blueprint struct {
	req   deploy.Request
	shape shape
	// fresh says that the service lives nowhere yet; upgrade that Helm upgrades an existing release.
	fresh, upgrade bool
	// stable is the rendering under the service's own name, own the slot's.
	stable, own []object
	// shared are the keys of the objects that exist once.
	shared map[key]bool
	// renames maps kind and the slot's name of a shared object to its only name.
	renames map[string]map[string]string
	routes  v1alpha1.Routes
	// pins are minReplicas by HPA name, wants replicas by Deployment name where the chart says none.
	pins, wants map[string]int64
	// extra objects stay in the release though the chart does not render them.
	extra []object
	// done are hooks that an interrupted act has finished.
	done map[string]bool
}

// Run implements postrenderer.PostRenderer over Helm's combined stream of manifests and hooks.
func (b *blueprint) Run(rendered *bytes.Buffer) (*bytes.Buffer, error) {
	in, err := parseDocuments("", rendered.String())
	if err != nil {
		return nil, err
	}
	out, err := b.transform(in)
	if err != nil {
		return nil, err
	}
	return stream(out)
}

// transform turns the chart's objects into the slot's.
func (b *blueprint) transform(in []object) ([]object, error) {
	_, order := keys(in)
	var out []object
	for i, o := range in {
		o = o.copy()
		if o.hook() {
			if b.adaptHook(o) {
				b.mark(o)
				b.rewrite(o)
				out = append(out, o)
			}
			continue
		}
		if b.shape != whole && (b.shared[order[i]] || isRoute(o)) {
			continue
		}
		if hasSelector(o) {
			b.slotService(o)
		}
		b.pin(o)
		b.mark(o)
		b.rewrite(o)
		out = append(out, o)
	}
	config, err := b.config()
	if err != nil {
		return nil, err
	}
	return append(append(out, config), b.extra...), nil
}

// mark labels an object and its pods. Selectors stay as they are; the rollout's number is left out of pods, so that
// the same digest means the same pods.
func (b *blueprint) mark(o object) {
	pods := map[string]string{
		v1alpha1.LabelService: b.req.Service, v1alpha1.LabelEnvironment: b.req.Environment, v1alpha1.LabelSlot: string(b.req.Slot),
	}
	all := maps.Clone(pods)
	all[v1alpha1.LabelRollout] = strconv.Itoa(b.req.Rollout)
	label(o, all)
	b.explain(o)
	if o.GetKind() == "Pod" {
		annotate(o, v1alpha1.AnnotationDigest, b.req.DeployDigest)
		return
	}
	annotate(o, v1alpha1.AnnotationDigest, b.req.DeployDigest)
	if t := podTemplate(o); t != nil {
		addStrings(t, pods, "metadata", "labels")
		addStrings(t, map[string]string{v1alpha1.AnnotationDigest: b.req.DeployDigest}, "metadata", "annotations")
	}
}

// explain tells `kubectl rollout history` why the pods of a workload are there. A chart that says it itself is left alone.
func (b *blueprint) explain(o object) {
	switch o.GetKind() {
	case "Deployment", "StatefulSet", "DaemonSet":
		if b.req.Cause != "" && o.GetAnnotations()[annotationCause] == "" {
			annotate(o, annotationCause, b.req.Cause)
		}
	}
}

// slotService makes a Service that belongs to this slot alone.
func (b *blueprint) slotService(o object) {
	switch b.shape {
	case whole:
		return
	case taken:
		o.SetName(directService(o.GetName()))
	case slotted:
		addStrings(o.Object, map[string]string{v1alpha1.LabelSlot: string(b.req.Slot)}, "spec", "selector")
	}
	inside(o)
}

// pin keeps an HPA from scaling a candidate down before it has traffic.
func (b *blueprint) pin(o object) {
	floor, ok := b.pins[o.GetName()]
	if !ok || o.GetKind() != "HorizontalPodAutoscaler" {
		return
	}
	before := replicasOf(o.Object, "spec", "minReplicas")
	if limit := replicasOf(o.Object, "spec", "maxReplicas"); floor > limit {
		floor = limit
	}
	if floor <= before {
		return
	}
	annotate(o, annotationMinReplicas, strconv.FormatInt(before, 10))
	// The error is of a spec that is no map, which the API server tells better.
	_ = unstructured.SetNestedField(o.Object, floor, "spec", "minReplicas")
}

// config is the ConfigMap from which the slot's routes and release are observed.
func (b *blueprint) config() (object, error) {
	return routesConfig(b.req.Scope, b.req.Slot, b.req.Rollout, b.req.DeployDigest, b.req.Ref, b.routes)
}

func routesConfig(scope deploy.Scope, slot v1alpha1.Slot, rollout int, digest string, ref v1alpha1.ReleaseRef, routes v1alpha1.Routes) (object, error) {
	r, err := json.Marshal(routes)
	if err != nil {
		return object{}, fmt.Errorf("write the routes: %w", err)
	}
	release, err := json.Marshal(ref)
	if err != nil {
		return object{}, fmt.Errorf("write the release: %w", err)
	}
	o := object{template: templateRoutes, Unstructured: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": routesName(scope.Service, slot)},
		"data":     map[string]any{"routes.json": string(r), "release.json": string(release)},
	}}}
	label(o, map[string]string{
		v1alpha1.LabelService: scope.Service, v1alpha1.LabelEnvironment: scope.Environment, v1alpha1.LabelSlot: string(slot),
		v1alpha1.LabelRoutes: "true", v1alpha1.LabelRollout: strconv.Itoa(rollout),
	})
	if digest != "" {
		annotate(o, v1alpha1.AnnotationDigest, digest)
	}
	return o, nil
}

func routesName(service string, slot v1alpha1.Slot) string {
	return service + "-" + string(slot) + "-routes"
}

func directService(stable string) string { return stable + "-" + string(v1alpha1.SlotDirect) }

func isRoute(o object) bool {
	group := o.GroupVersionKind().Group
	return (o.GetKind() == "Ingress" && group == "networking.k8s.io") || (o.GetKind() == "HTTPRoute" && group == "gateway.networking.k8s.io")
}

// hasSelector says whether the object is a Service that selects pods.
func hasSelector(o object) bool {
	return o.GetKind() == "Service" && o.GroupVersionKind().Group == "" && len(selectorOf(o)) > 0
}

func selectorOf(o object) map[string]string {
	s, _, err := unstructured.NestedStringMap(o.Object, "spec", "selector")
	if err != nil {
		return nil
	}
	return s
}

// inside takes away what must exist once: a slot's Service is reached inside the cluster only.
func inside(o object) {
	spec, ok := o.Object["spec"].(map[string]any)
	if !ok {
		return
	}
	headless := spec["clusterIP"] == "None"
	for _, field := range []string{
		"type", "loadBalancerIP", "loadBalancerClass", "loadBalancerSourceRanges", "externalIPs", "externalTrafficPolicy",
		"healthCheckNodePort", "allocateLoadBalancerNodePorts", "clusterIP", "clusterIPs",
	} {
		delete(spec, field)
	}
	if headless {
		spec["clusterIP"] = "None"
	}
	ports, _ := spec["ports"].([]any)
	for _, p := range ports {
		if port, ok := p.(map[string]any); ok {
			delete(port, "nodePort")
		}
	}
}

// podTemplate returns the pod template of a workload or hook, or nil.
func podTemplate(o object) map[string]any {
	path := []string{"spec", "template"}
	switch o.GetKind() {
	case "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job":
	case "CronJob":
		path = []string{"spec", "jobTemplate", "spec", "template"}
	default:
		return nil
	}
	at := o.Object
	for _, p := range path {
		next, ok := at[p].(map[string]any)
		if !ok {
			return nil
		}
		at = next
	}
	return at
}

func addStrings(into map[string]any, add map[string]string, path ...string) {
	for _, p := range path {
		next, ok := into[p].(map[string]any)
		if !ok {
			next = map[string]any{}
			into[p] = next
		}
		into = next
	}
	for k, v := range add {
		into[k] = v
	}
}

// replicasOf reads a number that defaults to 1, as Kubernetes does.
func replicasOf(in map[string]any, path ...string) int64 {
	n, ok, err := unstructured.NestedInt64(in, path...)
	if !ok || err != nil {
		return 1
	}
	return n
}
