package helmtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"

	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/internal/fault"
)

const (
	// logLines and logBytes bound the end of a log that is evidence.
	logLines = 20
	logBytes = 1500
	// cutMessage is how long a termination message is at least that the kubelet has cut, in pods of up to twelve containers.
	cutMessage = 1024
)

// restarts of a test pod are its own way to wait for the service; after so many it is stuck.
const restarts = 3

// crashLoop is Kubernetes' word for the time between two restarts.
const crashLoop = "CrashLoopBackOff"

// report is what one test pod or job says.
type report struct {
	// object is its kind and name.
	object, container string
	problem           string
	// failed: it ended, and not well. stuck: it will not end by waiting.
	failed, stuck bool
	log           string
}

func (p report) String() string {
	s := p.object
	if p.container != "" {
		s += ", container " + p.container
	}
	return s + ": " + p.problem
}

// inspect looks at the pods of the tests. A pod that is not there (yet, or any more) says nothing.
func (t *Tester) inspect(ctx context.Context, namespace string, tests []*releasev1.Hook, logs bool) ([]report, error) {
	var reports []report
	for _, hook := range tests {
		pods, err := t.pods(ctx, namespace, hook)
		if err != nil {
			return nil, err
		}
		if hook.Kind == "Job" {
			p, err := t.job(ctx, namespace, hook.Name)
			if err != nil {
				return nil, err
			}
			reports = append(reports, p)
		}
		for i := range pods {
			p := judgePod(&pods[i])
			if logs && p.container != "" {
				p.log = t.tail(ctx, &pods[i], p)
			}
			// A job makes another pod, or restarts this one, as often as it is told to; only the job itself is judged.
			if hook.Kind == "Job" {
				p.failed, p.stuck = false, p.stuck && !strings.HasPrefix(p.problem, crashLoop)
			}
			reports = append(reports, p)
		}
	}
	return reports, nil
}

func (t *Tester) pods(ctx context.Context, namespace string, hook *releasev1.Hook) ([]corev1.Pod, error) {
	switch hook.Kind {
	case "Pod":
		pod, err := t.kube.CoreV1().Pods(namespace).Get(ctx, hook.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return []corev1.Pod{*pod}, nil
	case "Job":
		list, err := t.kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "job-name=" + hook.Name})
		if err != nil {
			return nil, err
		}
		return list.Items, nil
	}
	return nil, nil
}

// job says whether a job has given up.
func (t *Tester) job(ctx context.Context, namespace, name string) (report, error) {
	p := report{object: "job " + name}
	job, err := t.kube.BatchV1().Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	for _, c := range job.Status.Conditions {
		if c.Type == batchv1.JobFailed && c.Status == corev1.ConditionTrue {
			p.failed, p.problem = true, words(c.Reason, c.Message)
		}
	}
	return p, nil
}

// judgePod says what is wrong with a pod; nothing is wrong with one that runs or has succeeded.
func judgePod(pod *corev1.Pod) report {
	p := report{object: "pod " + pod.Name, failed: pod.Status.Phase == corev1.PodFailed}
	if pod.Status.Phase == corev1.PodSucceeded {
		return p
	}
	statuses := append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...)
	for _, c := range statuses {
		if w := c.State.Waiting; w != nil && stuck(w.Reason, c.RestartCount) {
			p.container, p.stuck, p.problem = c.Name, true, words(w.Reason, w.Message)
			return p
		}
		if e := c.State.Terminated; e != nil && e.ExitCode != 0 {
			p.container, p.problem = c.Name, words(fmt.Sprintf("%s, exit code %d", e.Reason, e.ExitCode), lastWords(e.Message))
			return p
		}
	}
	if p.failed {
		p.problem = words("failed", words(pod.Status.Reason, pod.Status.Message))
		return p
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			p.problem = words(c.Reason, c.Message)
		}
	}
	return p
}

func stuck(reason string, restarted int32) bool {
	switch reason {
	case "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError":
		return true
	case crashLoop:
		return restarted >= restarts
	}
	return false
}

func words(reason, message string) string {
	if message == "" || message == reason {
		return reason
	}
	if reason == "" {
		return message
	}
	return reason + ": " + message
}

// tail is the end of a container's log. A log that cannot be read is no reason to lose the rest of the evidence.
func (t *Tester) tail(ctx context.Context, pod *corev1.Pod, p report) string {
	lines := int64(logLines)
	o := &corev1.PodLogOptions{Container: p.container, TailLines: &lines}
	// A container that is backing off has said its last words before.
	o.Previous = strings.HasPrefix(p.problem, crashLoop)
	stream, err := t.kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, o).Stream(ctx)
	if err != nil {
		return ""
	}
	// Nothing can be lost by a failed close of what was only read.
	defer func() { _ = stream.Close() }()
	// Twenty lines may be long ones; a log beyond this is not worth its memory.
	body, err := io.ReadAll(io.LimitReader(stream, 1<<20))
	if err != nil {
		return ""
	}
	text := strings.TrimSpace(t.hide(strings.ToValidUTF8(string(body), "")))
	if len(text) > logBytes {
		text = beheaded(strings.ToValidUTF8(text[len(text)-logBytes:], ""))
	}
	return text
}

// beheaded leaves out the word with which a text begins that was cut out of another one: it may be the rest of a secret, which would not be
// known for one.
func beheaded(text string) string {
	if at := strings.IndexAny(text, " \t\n"); at >= 0 {
		return "…" + text[at:]
	}
	return "…"
}

// lastWords is what a container left as its termination message. The kubelet takes it from the end of a log where the pod says so, and cuts it
// at some place.
func lastWords(message string) string {
	if len(message) < cutMessage {
		return message
	}
	return beheaded(message)
}

// refused says that the API server understood and will not have it: a quota, an admission policy, an invalid manifest.
func refused(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsAlreadyExists(err)
}

// failed classifies what kept a run from finding out; nil stays nil.
func failed(op string, err error) error {
	var network *net.OpError
	var transport *url.Error
	kind := fault.Transient
	switch {
	case errors.Is(err, context.Canceled):
		kind = fault.Interrupted
	case apierrors.IsUnauthorized(err), apierrors.IsForbidden(err), errors.As(err, &network), errors.As(err, &transport):
		kind = fault.Unreachable
	}
	return fault.Wrap(kind, op, err)
}
