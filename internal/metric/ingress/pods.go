package ingress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
)

// PodOptions say which pods are the controller's.
type PodOptions struct {
	Client kubernetes.Interface
	// Namespace of the pods. Default: all.
	Namespace string
	// Labels that select them, or Services that lead to them. Default: those that the charts of Traefik and ingress-nginx give to both.
	Labels string
	// Port of the metrics, a number or a name, which pods or the Service may have. Default: the one named metrics, else 10254 for ingress-nginx, 9100 for Traefik, 9901 for
	// others.
	Port string
	// Path of the metrics. Default: /metrics; /stats/prometheus for others than Traefik and ingress-nginx.
	Path string
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// AnswerTime is how long looking for them may take. Default: 3 s.
	AnswerTime time.Duration
}

const (
	labelName = "app.kubernetes.io/name"
	usual     = labelName + " in (traefik,ingress-nginx)"
	// lookAgain is how old a list of pods may be.
	lookAgain = 10 * time.Second
	// maxReplicas bounds how many pods are asked.
	maxReplicas = 100
	// maxServices bounds how many Services are followed: charts make up to three.
	maxServices = 10
	// metricsName is what charts call the port.
	metricsName = "metrics"
)

type pods struct {
	o PodOptions

	mu    sync.Mutex
	found []Replica
	at    time.Time
}

// Pods finds the controller's pods in the cluster, by their labels or else by those of a Service that leads to them, and reads them through the
// API server, which needs the rights to list pods and services and to get pods/proxy.
func Pods(o PodOptions) Finder {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.AnswerTime = cmp.Or(o.AnswerTime, answerTime)
	return &pods{o: o}
}

func (p *pods) String() string {
	where := "pods " + p.selector()
	if p.o.Labels == "" {
		where = "the ingress controller's pods"
	}
	if p.o.Namespace != "" {
		where += " in namespace " + p.o.Namespace
	}
	return where
}

func (p *pods) selector() string {
	if p.o.Labels != "" {
		return p.o.Labels
	}
	return usual
}

func (p *pods) Find(ctx context.Context, again bool) ([]Replica, metric.Cost, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.o.Now()
	if age := now.Sub(p.at); !again && len(p.found) > 0 && age >= 0 && age < lookAgain {
		return p.found, metric.Cost{}, nil
	}
	var cost metric.Cost
	all, err := p.list(ctx, p.o.Namespace, p.selector(), &cost)
	if err != nil {
		return nil, cost, err
	}
	var found []Replica
	for i := range all {
		if pod := &all[i]; p.serves(pod) {
			found = append(found, p.replica(pod, nil))
		}
	}
	if len(found) == 0 {
		found, err = p.behind(ctx, &cost)
	}
	if err != nil {
		return nil, cost, err
	}
	if len(found) == 0 {
		return nil, cost, metric.Down(ctx, "", fmt.Errorf("no pod with labels %s runs, nor one behind a Service with them", p.selector())).
			WithHint("name the URL of the controller's metrics, or the labels of its pods, where it is not Traefik or ingress-nginx from its chart")
	}
	p.found, p.at = found, now
	return found, cost, nil
}

func (p *pods) list(ctx context.Context, namespace, selector string, cost *metric.Cost) ([]corev1.Pod, error) {
	inner, cancel := context.WithTimeout(ctx, p.o.AnswerTime)
	defer cancel()
	cost.Requests++
	list, err := p.o.Client.CoreV1().Pods(namespace).List(inner, metav1.ListOptions{LabelSelector: selector, Limit: maxReplicas})
	if err != nil {
		return nil, p.unlisted(ctx, inner, "pods", err)
	}
	return list.Items, nil
}

// unlisted says why something could not be listed.
func (p *pods) unlisted(ctx, inner context.Context, what string, err error) error {
	switch {
	case apierrors.IsForbidden(err):
		return metric.Down(ctx, "", fmt.Errorf("listing %s is forbidden", what)).
			WithHint("name the namespace of the controller or the URL of its metrics, or grant list on pods and services and get on pods/proxy there: docs/operations/rbac.md")
	case apierrors.IsBadRequest(err):
		return fault.New(fault.Usage, "", "%q selects no pods: %w", p.selector(), err).WithHint("write labels as kubectl -l takes them")
	case inner.Err() != nil:
		err = fmt.Errorf("the API server does not answer within %s", p.o.AnswerTime)
	}
	return metric.Down(ctx, "", err).WithHint("check the connection to the cluster")
}

// serves says whether a pod with the labels may have counted something. One that is being deleted still answers requests.
func (p *pods) serves(pod *corev1.Pod) bool {
	role := pod.Labels["app.kubernetes.io/component"]
	webhook := p.o.Labels == "" && pod.Labels[labelName] == "ingress-nginx" && role != "" && role != "controller"
	return pod.Status.Phase == corev1.PodRunning && !webhook
}

// behind finds the pods of Services that have the labels where the pods have others. They are read one by one: under the Service's own name
// the API server leads to any of them, and their counters could not be told apart.
func (p *pods) behind(ctx context.Context, cost *metric.Cost) ([]Replica, error) {
	inner, cancel := context.WithTimeout(ctx, p.o.AnswerTime)
	defer cancel()
	cost.Requests++
	list, err := p.o.Client.CoreV1().Services(p.o.Namespace).List(inner, metav1.ListOptions{LabelSelector: p.selector(), Limit: maxServices})
	if err != nil {
		return nil, p.unlisted(ctx, inner, "services", err)
	}
	// Of two Services that lead to a pod the one that has the port of its metrics knows it best.
	slices.SortStableFunc(list.Items, func(a, b corev1.Service) int { return p.rank(&a) - p.rank(&b) })
	var found []Replica
	known := map[string]bool{}
	for i := range list.Items {
		service := &list.Items[i]
		if len(service.Spec.Selector) == 0 {
			continue // it has no pods, and to what else it has the API server does not lead
		}
		all, err := p.list(ctx, service.Namespace, labels.SelectorFromSet(service.Spec.Selector).String(), cost)
		if err != nil {
			return nil, err
		}
		for j := range all {
			one := p.replica(&all[j], service)
			if all[j].Status.Phase == corev1.PodRunning && !known[one.Name] {
				known[one.Name] = true
				found = append(found, one)
			}
		}
	}
	return found, nil
}

func (p *pods) rank(service *corev1.Service) int {
	if p.targetOf(service) == nil {
		return 1
	}
	return 0
}

// targetOf is where a Service's port of metrics leads; nil where it has none.
func (p *pods) targetOf(service *corev1.Service) *intstr.IntOrString {
	for _, port := range service.Spec.Ports {
		if port.Name == cmp.Or(p.o.Port, metricsName) {
			if port.TargetPort == (intstr.IntOrString{}) {
				port.TargetPort = intstr.FromInt32(port.Port)
			}
			return &port.TargetPort
		}
	}
	return nil
}

// replica is a pod that has the labels, or is behind a Service that has them.
func (p *pods) replica(pod *corev1.Pod, service *corev1.Service) Replica {
	name, port := pod.Labels[labelName], p.o.Port
	if service != nil {
		name = service.Labels[labelName]
		if target := p.targetOf(service); target != nil {
			port = target.String()
		}
	}
	if number := namedPort(pod, cmp.Or(port, metricsName)); number != "" {
		port = number
	}
	port = cmp.Or(port, usualPort(name))
	path := cmp.Or(p.o.Path, usualPath(name))
	return Replica{Name: pod.Namespace + "/" + pod.Name, Open: func(ctx context.Context) (io.ReadCloser, error) {
		body, err := p.o.Client.CoreV1().RESTClient().Get().SetHeader("Accept", accept).
			Namespace(pod.Namespace).Resource("pods").Name(pod.Name + ":" + port).SubResource("proxy").Suffix(path).Stream(ctx)
		if apierrors.IsForbidden(err) {
			return nil, errors.New("reading it through the API server is forbidden: grant get on pods/proxy in namespace " + pod.Namespace)
		}
		return body, err
	}}
}

func usualPath(name string) string {
	if name == "traefik" || name == "ingress-nginx" {
		return "/metrics"
	}
	return "/stats/prometheus"
}

func usualPort(name string) string {
	switch name {
	case "ingress-nginx":
		return "10254"
	case "traefik":
		return "9100"
	}
	return "9901"
}

func namedPort(pod *corev1.Pod, name string) string {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == name {
				return strconv.Itoa(int(p.ContainerPort))
			}
		}
	}
	return ""
}
