package helm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
)

// heardPods and heardContainers bound whose logs are read for one testimony.
const (
	heardPods       = 5
	heardContainers = 8
)

var _ deploy.Witness = (*Releaser)(nil)

// Testify implements deploy.Witness. The logs come first: they go with the pods.
func (r *Releaser) Testify(ctx context.Context, scope deploy.Scope, candidate, live v1alpha1.Slot) deploy.Testimony {
	var out deploy.Testimony
	var lacking []string
	v, err := r.view(ctx, scope)
	if err == nil {
		out.Logs, lacking = r.listen(ctx, v, candidate)
	} else {
		lacking = []string{fmt.Sprintf("the pods of slot %s: %s", candidate, strings.ReplaceAll(err.Error(), "\n", "; "))}
	}
	// Without a history it was said above why nothing can be read.
	if live != v1alpha1.SlotNone && v.history != nil {
		if out.Differences, err = r.differences(ctx, v, candidate, live); err != nil {
			lacking = append(lacking, "the values of the slots: "+err.Error())
		}
	}
	out.Lacking = r.hidden(strings.Join(lacking, "; "))
	return out
}

// hidden is a text without the secrets that are known.
func (r *Releaser) hidden(text string) string {
	if r.Hide == nil {
		return text
	}
	return r.Hide(text)
}

// speaker is a container that has something to tell.
type speaker struct {
	pod, container string
	restarted      bool
}

// listen reads the ends of the logs of a slot's containers, all at the same time, and says what it could not read.
func (r *Releaser) listen(ctx context.Context, v *view, slot v1alpha1.Slot) (logs map[string]string, lacking []string) {
	name := slot.HelmRelease(v.scope.Service)
	last, _ := v.history.last(name)
	pods := v.podsOf(v.workloads(name, last.digest()))
	if len(pods) == 0 {
		return nil, []string{fmt.Sprintf("slot %s has no pods", slot)}
	}
	found := speakers(pods)
	if left := len(found) - heardContainers; left > 0 {
		found = found[:heardContainers]
		lacking = append(lacking, fmt.Sprintf("the logs of %d more containers", left))
	}
	if left := len(pods) - heardPods; left > 0 {
		lacking = append(lacking, fmt.Sprintf("the logs of %d more pods", left))
	}
	said, failures := make([]string, len(found)), make([]error, len(found))
	var wg sync.WaitGroup
	for i, s := range found {
		wg.Go(func() { said[i], failures[i] = r.endOf(ctx, v.scope.Namespace, s) })
	}
	wg.Wait()
	logs = map[string]string{}
	failed := 0
	var first string
	for i, s := range found {
		switch key := s.pod + "/" + s.container; {
		case said[i] != "":
			logs[key] = said[i]
		case failures[i] != nil:
			if failed++; failed == 1 {
				first = fmt.Sprintf("the log of %s: %v", key, failures[i])
			}
		}
	}
	if failed > 1 {
		first += fmt.Sprintf(" (and %d more logs)", failed-1)
	}
	if failed > 0 {
		lacking = append(lacking, first)
	}
	return logs, lacking
}

// speakers are the containers that have run, of the pods that are worst off first.
func speakers(pods []corev1.Pod) []speaker {
	pods = slices.Clone(pods)
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(compareBool(conditionTrue(a, corev1.PodReady), conditionTrue(b, corev1.PodReady)), cmp.Compare(restarts(b), restarts(a)), cmp.Compare(a.Name, b.Name))
	})
	var out []speaker
	for _, pod := range pods[:min(len(pods), heardPods)] {
		for _, c := range statuses(pod) {
			started := c.State.Running != nil || c.State.Terminated != nil || c.RestartCount > 0
			if started && !endedWell(pod, c) {
				out = append(out, speaker{pod.Name, c.Name, c.RestartCount > 0})
			}
		}
	}
	return out
}

// compareBool sorts false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func statuses(pod corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
}

func restarts(pod corev1.Pod) int32 {
	var n int32
	for _, c := range statuses(pod) {
		n += c.RestartCount
	}
	return n
}

// endedWell says whether a container is one for the beginning that has done its work.
func endedWell(pod corev1.Pod, c corev1.ContainerStatus) bool {
	init := slices.ContainsFunc(pod.Status.InitContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == c.Name })
	return init && c.State.Terminated != nil && c.State.Terminated.ExitCode == 0
}

// endOf reads the end of a container's log: of the run before, where the current one has not said anything yet.
func (r *Releaser) endOf(ctx context.Context, namespace string, s speaker) (string, error) {
	if s.restarted {
		// Between two runs there may be neither for a moment.
		return r.readLog(ctx, namespace, s.pod, s.container, false, true, false)
	}
	return r.readLog(ctx, namespace, s.pod, s.container, false)
}

// readLog returns the end of the first log that says something: of the run before (previous) or the current one, in the given order.
func (r *Releaser) readLog(ctx context.Context, namespace, pod, container string, previous ...bool) (string, error) {
	lines := int64(logLines)
	var failures []error
	for _, before := range previous {
		raw, err := r.kube.CoreV1().Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{
			Container: container, TailLines: &lines, Previous: before,
		}).DoRaw(ctx)
		switch {
		case err != nil:
			failures = append(failures, err)
		case apology(raw):
			failures = append(failures, errors.New(strings.TrimSpace(string(raw))))
		case len(raw) > 0:
			t := &tail{hide: r.Hide}
			_, _ = t.Write(raw) // a tail takes everything
			return t.String(), nil
		}
	}
	if len(failures) > 0 {
		return "", failures[0]
	}
	return "", nil
}
