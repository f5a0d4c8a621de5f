package helm

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// aView is a namespace with one Deployment of two replicas, an old pod and two new ones.
func aView(change func(*appsv1.Deployment, []corev1.Pod)) *view {
	two := int32(2)
	selector := map[string]string{"app": "shop"}
	d := appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Generation: 2, Annotations: map[string]string{releaseAnnotation: "shop"}},
		Spec: appsv1.DeploymentSpec{Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: selector}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationDigest: "new"}},
		}},
		Status: appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 2, UpdatedReplicas: 2},
	}
	pods := []corev1.Pod{pod("old", "old"), pod("one", "new"), pod("two", "new")}
	if change != nil {
		change(&d, pods)
	}
	yes := true
	return &view{
		deployments: []appsv1.Deployment{d}, pods: pods,
		services: []corev1.Service{{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Spec: corev1.ServiceSpec{Selector: selector}}},
		slices: []discoveryv1.EndpointSlice{{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"kubernetes.io/service-name": "shop"}},
			Endpoints: []discoveryv1.Endpoint{
				{TargetRef: &corev1.ObjectReference{Name: "one"}, Conditions: discoveryv1.EndpointConditions{Ready: &yes}},
				{TargetRef: &corev1.ObjectReference{Name: "two"}, Conditions: discoveryv1.EndpointConditions{Ready: &yes}},
			},
		}},
	}
}

func pod(name, digest string) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{"app": "shop"}, Annotations: map[string]string{v1alpha1.AnnotationDigest: digest},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "shop-abc"}},
		},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

func TestReadyCountsThePodsThatServe(t *testing.T) {
	now := metav1.Now()
	routes := v1alpha1.Routes{Services: []v1alpha1.StableService{{Name: "shop", SlotService: "shop"}}}
	for _, c := range []struct {
		name    string
		change  func(*appsv1.Deployment, []corev1.Pod)
		view    func(*view)
		ready   int
		current bool
	}{
		{name: "all is well", ready: 2, current: true},
		{name: "generation not seen", change: func(d *appsv1.Deployment, _ []corev1.Pod) { d.Generation = 3 }, ready: 2},
		{name: "old pods left", change: func(d *appsv1.Deployment, _ []corev1.Pod) { d.Status.Replicas = 3 }, ready: 2},
		{name: "not all updated", change: func(d *appsv1.Deployment, _ []corev1.Pod) { d.Status.UpdatedReplicas = 1 }, ready: 2},
		{name: "a pod goes", change: func(_ *appsv1.Deployment, p []corev1.Pod) { p[1].DeletionTimestamp = &now }, ready: 1, current: true},
		{name: "a pod is not ready", change: func(_ *appsv1.Deployment, p []corev1.Pod) { p[2].Status.Conditions = nil }, ready: 1, current: true},
		{name: "a pod of a Job", change: func(_ *appsv1.Deployment, p []corev1.Pod) { p[2].OwnerReferences[0].Kind = "Job" }, ready: 1, current: true},
		{name: "a pod of somebody else", change: func(_ *appsv1.Deployment, p []corev1.Pod) { p[2].OwnerReferences[0].Name = "shop-green-abc" }, ready: 1, current: true},
		{name: "no endpoint yet", view: func(v *view) { v.slices[0].Endpoints = v.slices[0].Endpoints[:1] }, ready: 1, current: true},
		{name: "no Service", view: func(v *view) { v.services, v.slices = nil, nil }, ready: 2, current: true},
	} {
		v := aView(c.change)
		if c.view != nil {
			c.view(v)
		}
		w := v.workloads("shop", "new")
		ready := 0
		for _, p := range v.podsOf(w) {
			if v.serves(p, routes) {
				ready++
			}
		}
		if len(w) != 1 || w[0].desired != 2 || ready != c.ready || w[0].current != c.current {
			t.Errorf("%s: %d ready of %+v, want %d, current %v", c.name, ready, w, c.ready, c.current)
		}
	}
}

func TestQuotaFactComesFromTheDeployment(t *testing.T) {
	v := aView(func(d *appsv1.Deployment, _ []corev1.Pod) {
		d.Status.Conditions = []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: `pods "x" is forbidden: exceeded quota: small`,
		}}
	})
	facts := v.workloads("shop", "new")[0].facts
	if len(facts) != 1 || !facts[0].Fatal || facts[0].Reason != "FailedCreate" {
		t.Errorf("have %+v", facts)
	}
}

func TestOtherReleasesDoNotCount(t *testing.T) {
	if w := aView(nil).workloads("shop-blue", "new"); len(w) != 0 {
		t.Errorf("have %+v", w)
	}
}
