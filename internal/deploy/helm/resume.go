package helm

import (
	"fmt"

	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/sluice-dev/sluice/internal/fault"
)

// finishHooks returns the hooks that an interrupted act of the same release has run to their end. One that still runs is
// awaited, never replaced: a migration must not be cut off and begun again.
func (s *session) finishHooks(b *blueprint, name string) (map[string]bool, error) {
	last, ok := s.history.last(name)
	if !ok || !last.status.IsPending() || !last.ours() || last.digest() != b.req.DeployDigest {
		return nil, nil
	}
	rel, err := s.stored(s.ctx, s.scope.Namespace, last)
	if err != nil {
		if absent(err) {
			return nil, nil
		}
		return nil, err
	}
	done := map[string]bool{}
	for _, h := range rel.Hooks {
		id := h.Kind + "/" + h.Name
		switch {
		case h.LastRun.Phase == releasev1.HookPhaseSucceeded:
			done[id] = true
		case h.Kind == "Job" && !h.LastRun.StartedAt.IsZero():
			completed, err := s.awaitJob(h.Name, b)
			if err != nil {
				return nil, err
			}
			if completed {
				done[id] = true
			}
		}
	}
	return done, nil
}

// awaitJob says whether a Job has completed, after it has ended; false also for one that is gone.
func (s *session) awaitJob(name string, b *blueprint) (bool, error) {
	job, err := s.kube.BatchV1().Jobs(s.scope.Namespace).Get(s.ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at the hook Job %s/%s: %w", s.scope.Namespace, name, err)
	}
	if ended, ok := outcome(job); ended {
		return ok, nil
	}
	seconds := int64(timeout(b.req.Plan).Seconds())
	w, err := s.kube.BatchV1().Jobs(s.scope.Namespace).Watch(s.ctx, metav1.ListOptions{
		FieldSelector: "metadata.name=" + name, ResourceVersion: job.ResourceVersion, TimeoutSeconds: &seconds,
	})
	if err != nil {
		return false, fmt.Errorf("watch the hook Job %s/%s: %w", s.scope.Namespace, name, err)
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		seen, ok := event.Object.(*batchv1.Job)
		if !ok || event.Type == watch.Deleted {
			return false, nil
		}
		if ended, ok := outcome(seen); ended {
			return ok, nil
		}
	}
	if err := s.ctx.Err(); err != nil {
		return false, err
	}
	return false, fault.New(fault.Transient, "chart hook", "hook Job %s/%s, begun by an interrupted run, still runs after %s",
		s.scope.Namespace, name, timeout(b.req.Plan)).WithHint("look at it: kubectl -n %s logs job/%s", s.scope.Namespace, name)
}

func outcome(job *batchv1.Job) (ended, completed bool) {
	for _, c := range job.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete, batchv1.JobSuccessCriteriaMet:
			return true, true
		case batchv1.JobFailed, batchv1.JobFailureTarget:
			return true, false
		}
	}
	return false, false
}
