package helm

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// workload is a controller of pods, whatever its kind.
type workload struct {
	name     string
	selector labels.Selector
	// digest that the wanted pods carry; "" where any pod counts.
	digest  string
	desired int
	// current says that the controller has seen the newest specification and no pod of an older one is left.
	current bool
	facts   []v1alpha1.PodFact
}

// workloads are those that a Helm release owns.
func (v *view) workloads(release, digest string) []workload {
	var out []workload
	for i := range v.deployments {
		if d := &v.deployments[i]; d.Annotations[releaseAnnotation] == release {
			out = append(out, deploymentState(d, digest))
		}
	}
	for i := range v.statefulSets {
		if d := &v.statefulSets[i]; d.Annotations[releaseAnnotation] == release {
			want := replicas(d.Spec.Replicas)
			out = append(out, workload{
				name: d.Name, selector: selector(d.Spec.Selector), digest: digest, desired: int(want),
				current: d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas >= want && d.Status.Replicas == want,
			})
		}
	}
	for i := range v.daemonSets {
		if d := &v.daemonSets[i]; d.Annotations[releaseAnnotation] == release {
			out = append(out, workload{
				name: d.Name, selector: selector(d.Spec.Selector), digest: digest, desired: int(d.Status.DesiredNumberScheduled),
				current: d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedNumberScheduled >= d.Status.DesiredNumberScheduled,
			})
		}
	}
	return out
}

func deploymentState(d *appsv1.Deployment, digest string) workload {
	want := replicas(d.Spec.Replicas)
	w := workload{
		name: d.Name, selector: selector(d.Spec.Selector), digest: digest, desired: int(want),
		current: d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas >= want && d.Status.Replicas == d.Status.UpdatedReplicas,
	}
	if d.Spec.Template.Annotations[v1alpha1.AnnotationDigest] == "" {
		w.digest = ""
	}
	if d.Status.ObservedGeneration < d.Generation {
		return w
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			w.facts = append(w.facts, v1alpha1.PodFact{
				Pod: d.Name, Reason: c.Reason, Message: c.Message, Fatal: strings.Contains(c.Message, "exceeded quota") || strings.Contains(c.Message, "violates PodSecurity"),
			})
		}
	}
	return w
}

func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

func selector(s *metav1.LabelSelector) labels.Selector {
	out, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return out
}

// podsOf are the pods that the workloads want now; those of an earlier version, and those that go, do not count.
func (v *view) podsOf(workloads []workload) []corev1.Pod {
	var out []corev1.Pod
	for _, pod := range v.pods {
		if pod.DeletionTimestamp != nil || !slices.ContainsFunc(pod.OwnerReferences, runs) {
			continue
		}
		for _, w := range workloads {
			if w.desired > 0 && w.selector.Matches(labels.Set(pod.Labels)) && owned(pod, w.name) &&
				(w.digest == "" || pod.Annotations[v1alpha1.AnnotationDigest] == w.digest) {
				out = append(out, pod)
				break
			}
		}
	}
	return out
}

// runs leaves out the pods of Jobs.
func runs(o metav1.OwnerReference) bool {
	return o.Kind == "ReplicaSet" || o.Kind == "StatefulSet" || o.Kind == "DaemonSet"
}

// owned says whether a pod's controller is the workload or a ReplicaSet that it made.
func owned(pod corev1.Pod, workload string) bool {
	for _, o := range pod.OwnerReferences {
		if o.Name == workload || (o.Kind == "ReplicaSet" && strings.HasPrefix(o.Name, workload+"-") && !strings.Contains(o.Name[len(workload)+1:], "-")) {
			return true
		}
	}
	return false
}

// serves says whether a pod is ready, and a ready endpoint of every Service of the slot that selects it.
func (v *view) serves(pod corev1.Pod, routes v1alpha1.Routes) bool {
	if !conditionTrue(pod, corev1.PodReady) {
		return false
	}
	for _, service := range v.services {
		ours := slices.ContainsFunc(routes.Services, func(s v1alpha1.StableService) bool { return s.SlotService == service.Name })
		if ours && labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)) && !v.endpoint(service.Name, pod.Name) {
			return false
		}
	}
	return true
}

func (v *view) endpoint(service, pod string) bool {
	for _, slice := range v.slices {
		if slice.Labels["kubernetes.io/service-name"] != service {
			continue
		}
		for _, e := range slice.Endpoints {
			if e.TargetRef != nil && e.TargetRef.Name == pod && e.Conditions.Ready != nil && *e.Conditions.Ready {
				return true
			}
		}
	}
	return false
}

func conditionTrue(pod corev1.Pod, t corev1.PodConditionType) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == t {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
