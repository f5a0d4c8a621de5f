package helm

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// logLines and maxLogs bound the evidence that is read from containers in one observation.
const (
	logLines = 20
	maxLogs  = 4
	// cutMessage is how long a termination message is at least that the kubelet has cut, in pods of up to twelve containers.
	cutMessage = 1024
)

// podFacts says what a pod tells without statistics. A fact is fatal where waiting does not heal it.
func podFacts(pod corev1.Pod) []v1alpha1.PodFact {
	var out []v1alpha1.PodFact
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			// A node may come: not fatal.
			out = append(out, v1alpha1.PodFact{Pod: pod.Name, Reason: c.Reason, Message: c.Message})
		}
	}
	for _, c := range statuses(pod) {
		if f, ok := containerFact(c); ok {
			f.Pod, f.Container = pod.Name, c.Name
			out = append(out, f)
		}
	}
	if len(out) == 0 && !conditionTrue(pod, corev1.PodReady) {
		out = append(out, unready(pod)...)
	}
	return out
}

func containerFact(c corev1.ContainerStatus) (v1alpha1.PodFact, bool) {
	last := c.LastTerminationState.Terminated
	if w := c.State.Waiting; w != nil {
		if f, ok := waitingFact(w, c.RestartCount, last); ok {
			return f, true
		}
	}
	ended := c.State.Terminated
	if ended == nil && !c.Ready {
		ended = last
	}
	if ended == nil || ended.ExitCode == 0 {
		return v1alpha1.PodFact{}, false
	}
	f := v1alpha1.PodFact{Reason: ended.Reason, Message: exit(ended, c.RestartCount)}
	switch {
	case ended.Reason == "OOMKilled":
		f.Fatal = c.RestartCount >= 1
	case c.RestartCount >= 1:
		// The back-off has not begun yet, but the container has failed twice or is about to.
		f.Reason, f.Fatal = "CrashLoopBackOff", c.State.Terminated != nil || c.RestartCount >= 2
	}
	return f, true
}

func waitingFact(w *corev1.ContainerStateWaiting, restarts int32, last *corev1.ContainerStateTerminated) (v1alpha1.PodFact, bool) {
	f := v1alpha1.PodFact{Reason: w.Reason, Message: w.Message, Fatal: true}
	switch w.Reason {
	case "CrashLoopBackOff":
		if last != nil {
			f.Message = exit(last, restarts)
			if last.Reason == "OOMKilled" {
				f.Reason = last.Reason
			}
		}
	case "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError":
	case "ErrImagePull":
		// The first failure may be the network's; an image that is not there stays away.
		text := strings.ToLower(w.Message)
		f.Fatal = strings.Contains(text, "not found") || strings.Contains(text, "manifest unknown") || strings.Contains(text, "denied")
	case "RunContainerError", "CreateContainerError":
		f.Fatal = restarts >= 1
	default:
		return f, false
	}
	return f, true
}

func exit(t *corev1.ContainerStateTerminated, restarts int32) string {
	s := fmt.Sprintf("exit code %d, %d restarts", t.ExitCode, restarts)
	switch {
	case len(t.Message) >= cutMessage:
		s += ": " + beheaded(t.Message)
	case t.Message != "":
		s += ": " + t.Message
	}
	return s
}

// unready says which running containers do not pass their probes; that may still heal.
func unready(pod corev1.Pod) []v1alpha1.PodFact {
	var out []v1alpha1.PodFact
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Running != nil && !c.Ready {
			out = append(out, v1alpha1.PodFact{Pod: pod.Name, Container: c.Name, Reason: "NotReady", Message: "running, but its readiness probe does not pass"})
		}
	}
	return out
}

// readLogs adds the end of the logs of containers that ran and failed. A log that cannot be read is no reason to fail an observation.
func (r *Releaser) readLogs(ctx context.Context, namespace string, facts []v1alpha1.PodFact) {
	var wg sync.WaitGroup
	read := 0
	for i := range facts {
		f := &facts[i]
		ran := f.Reason == "CrashLoopBackOff" || f.Reason == "OOMKilled" || f.Reason == "Error" || f.Reason == "NotReady" || f.Reason == "RunContainerError"
		if !ran || f.Container == "" || read == maxLogs {
			continue
		}
		read++
		wg.Go(func() { f.Log = r.lastWords(ctx, namespace, *f) })
	}
	wg.Wait()
}

// apology says whether an answer is the kubelet's own word instead of a log. While a container is being replaced, and its log removed, it
// answers so with status 200.
func apology(answer []byte) bool {
	text := bytes.TrimSpace(answer)
	return !bytes.Contains(text, []byte("\n")) && slices.ContainsFunc([]string{
		"unable to retrieve container logs for ", "failed to try resolving symlinks in path ", "failed to open log file ",
	}, func(begin string) bool { return bytes.HasPrefix(text, []byte(begin)) })
}

// lastWords reads the end of a container's log: of the run that failed where there is one. A log that cannot be read says nothing.
func (r *Releaser) lastWords(ctx context.Context, namespace string, f v1alpha1.PodFact) string {
	failed := f.Reason != "NotReady"
	text, _ := r.readLog(ctx, namespace, f.Pod, f.Container, failed, false, failed)
	return text
}
