package helmtest

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestJudgePod(t *testing.T) {
	waiting := func(reason string, restarted int32) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: corev1.PodStatus{
			Phase: corev1.PodPending,
			ContainerStatuses: []corev1.ContainerStatus{{Name: "c", RestartCount: restarted, State: corev1.ContainerState{
				Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "no such image"},
			}}},
		}}
	}
	for name, tt := range map[string]struct {
		pod           *corev1.Pod
		failed, stuck bool
		says          string
	}{
		"being created":  {pod: waiting("ContainerCreating", 0)},
		"no image":       {pod: waiting("ImagePullBackOff", 0), stuck: true, says: "pod p, container c: ImagePullBackOff: no such image"},
		"first restart":  {pod: waiting("CrashLoopBackOff", 1)},
		"third restart":  {pod: waiting("CrashLoopBackOff", 3), stuck: true, says: "CrashLoopBackOff"},
		"exit code":      {pod: failedPod(), failed: true, says: "exit code 7"},
		"succeeded":      {pod: &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodSucceeded}}},
		"evicted":        {pod: &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted"}}, failed: true, says: "failed: Evicted"},
		"no node for it": {pod: unschedulable(), says: "Unschedulable: 0/1 nodes"},
	} {
		t.Run(name, func(t *testing.T) {
			p := judgePod(tt.pod)
			if p.failed != tt.failed || p.stuck != tt.stuck || !strings.Contains(p.String(), tt.says) || (p.problem == "") != (tt.says == "") {
				t.Errorf("%+v", p)
			}
		})
	}
}

func unschedulable() *corev1.Pod {
	return &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available"},
	}}}
}

// TestNoHalfSecretIsTold: what a cut leaves of a word is not told.
func TestNoHalfSecretIsTold(t *testing.T) {
	for text, want := range map[string]string{"ine+and more": "… more", "of-one-word": "…", "\nnext line": "…\nnext line"} {
		if got := beheaded(text); got != want {
			t.Errorf("%q is told as %q", text, got)
		}
	}
	if got := lastWords("short and whole"); got != "short and whole" {
		t.Error(got)
	}
	if got := lastWords("c4n4ry" + strings.Repeat("x", cutMessage) + " the end"); got != "… the end" {
		t.Errorf("%.40q", got)
	}
}
