package helm

import (
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// releaseAnnotation is where Helm writes which release an object belongs to.
const releaseAnnotation = "meta.helm.sh/release-name"

// measure decides how many replicas the candidate needs where its chart leaves that to somebody else: as many as its counterpart
// in the live slot has now, so that capacity comes before weight.
func (s *session) measure(b *blueprint, counterpart []object) error {
	if !leavesReplicas(b.own) {
		return nil
	}
	live := map[string]int64{}
	if b.req.Live != v1alpha1.SlotNone {
		var err error
		if live, err = s.liveReplicas(b.req.Live.HelmRelease(b.req.Service)); err != nil {
			return err
		}
	}
	beside := keyed(counterpart)
	floors := map[string]int64{}
	_, order := keys(b.own)
	for i, o := range b.own {
		if o.GetKind() != "Deployment" || o.hook() {
			continue
		}
		now := int64(0)
		if twin := beside[order[i]]; twin.Unstructured != nil {
			now = live[twin.GetName()]
		}
		if _, said, _ := unstructured.NestedInt64(o.Object, "spec", "replicas"); !said {
			b.wants[o.GetName()] = max(1, now)
		}
		floors[o.GetName()] = now
	}
	for _, o := range b.own {
		if o.GetKind() != "HorizontalPodAutoscaler" {
			continue
		}
		target, _, err := unstructured.NestedString(o.Object, "spec", "scaleTargetRef", "name")
		if err != nil {
			continue
		}
		b.pins[o.GetName()] = floors[target]
		if _, waits := b.wants[target]; waits {
			b.wants[target] = max(b.wants[target], replicasOf(o.Object, "spec", "minReplicas"))
		}
	}
	return nil
}

// leavesReplicas says whether anything but the chart decides on a number of replicas.
func leavesReplicas(objects []object) bool {
	for _, o := range objects {
		if o.GetKind() == "HorizontalPodAutoscaler" {
			return true
		}
		if _, said, _ := unstructured.NestedInt64(o.Object, "spec", "replicas"); o.GetKind() == "Deployment" && !o.hook() && !said {
			return true
		}
	}
	return false
}

func (s *session) liveReplicas(release string) (map[string]int64, error) {
	out := map[string]int64{}
	deployments, err := s.deployments(release)
	if err != nil {
		return nil, err
	}
	for _, d := range deployments {
		out[d.Name] = int64(*d.Spec.Replicas)
	}
	return out, nil
}

// deployments of a Helm release, whether Sluice or plain Helm made it.
func (s *session) deployments(release string) ([]appsv1.Deployment, error) {
	list, err := s.kube.AppsV1().Deployments(s.scope.Namespace).List(s.ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list Deployments in namespace %s: %w", s.scope.Namespace, err)
	}
	var out []appsv1.Deployment
	for _, d := range list.Items {
		if d.Annotations[releaseAnnotation] == release && d.Spec.Replicas != nil {
			out = append(out, d)
		}
	}
	return out, nil
}

// restoreReplicas brings back pods that a retirement took: server-side apply leaves `replicas` alone where the chart does not say any.
func (s *session) restoreReplicas(release string, wants map[string]int64) error {
	deployments, err := s.deployments(release)
	if err != nil {
		return err
	}
	for _, d := range deployments {
		want := int32(max(wants[d.Name], 0))
		if *d.Spec.Replicas == 0 {
			want = max(want, 1)
		}
		if *d.Spec.Replicas >= want {
			continue
		}
		if err := s.scale("deployments", d.Name, want); err != nil {
			return err
		}
	}
	return nil
}

// scale sets the replicas of a workload.
func (s *session) scale(resource, name string, replicas int32) error {
	patch, err := mergePatch(map[string]any{"spec": map[string]any{"replicas": replicas}})
	if err != nil {
		return err
	}
	err = s.kube.AppsV1().RESTClient().Patch(types.MergePatchType).Namespace(s.scope.Namespace).Resource(resource).Name(name).
		SubResource("scale").Param("fieldManager", v1alpha1.FieldManager).Body(patch).Do(s.ctx).Error()
	if err != nil {
		return fmt.Errorf("scale %s %s/%s to %d: %w", resource, s.scope.Namespace, name, replicas, err)
	}
	return nil
}

// pinLive keeps the live slot's HPAs from scaling down while its traffic goes elsewhere: it may have to take it back.
func (s *session) pinLive(release string) error {
	live, err := s.liveReplicas(release)
	if err != nil {
		return err
	}
	return s.eachHPA(func(h *autoscalingv2.HorizontalPodAutoscaler) error {
		if h.Annotations[releaseAnnotation] != release || h.Annotations[annotationMinReplicas] != "" {
			return nil
		}
		before := int32(1)
		if h.Spec.MinReplicas != nil {
			before = *h.Spec.MinReplicas
		}
		now := min(int32(live[h.Spec.ScaleTargetRef.Name]), h.Spec.MaxReplicas)
		if now <= before {
			return nil
		}
		return s.patchHPA(h.Name, now, strconv.Itoa(int(before)))
	})
}

// unpin gives all HPAs of the service back to their charts.
func (s *session) unpin() error {
	return s.eachHPA(func(h *autoscalingv2.HorizontalPodAutoscaler) error {
		pinned, ok := h.Annotations[annotationMinReplicas]
		if !ok {
			return nil
		}
		before, err := strconv.ParseInt(pinned, 10, 32)
		if err != nil {
			return fmt.Errorf("annotation %s of HorizontalPodAutoscaler %s/%s: %w", annotationMinReplicas, h.Namespace, h.Name, err)
		}
		return s.patchHPA(h.Name, int32(before), nil)
	})
}

func (s *session) eachHPA(do func(*autoscalingv2.HorizontalPodAutoscaler) error) error {
	list, err := s.kube.AutoscalingV2().HorizontalPodAutoscalers(s.scope.Namespace).List(s.ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list HorizontalPodAutoscalers in namespace %s: %w", s.scope.Namespace, err)
	}
	for i := range list.Items {
		name := list.Items[i].Annotations[releaseAnnotation]
		for _, slot := range v1alpha1.Slots() {
			if name != slot.HelmRelease(s.scope.Service) {
				continue
			}
			if err := do(&list.Items[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) patchHPA(name string, minReplicas int32, remember any) error {
	patch, err := mergePatch(map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{annotationMinReplicas: remember}},
		"spec":     map[string]any{"minReplicas": minReplicas},
	})
	if err != nil {
		return err
	}
	_, err = s.kube.AutoscalingV2().HorizontalPodAutoscalers(s.scope.Namespace).Patch(s.ctx, name, types.MergePatchType, patch,
		metav1.PatchOptions{FieldManager: v1alpha1.FieldManager})
	if err != nil {
		return fmt.Errorf("set minReplicas of HorizontalPodAutoscaler %s/%s: %w", s.scope.Namespace, name, err)
	}
	return nil
}
