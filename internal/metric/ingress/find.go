package ingress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
)

// Replica is one process whose metrics are read.
type Replica struct {
	Name string
	// Open asks for them.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// accept asks for the text format, which all of the controllers have.
const accept = "text/plain;version=0.0.4;q=1,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"

type urls struct {
	all    []string
	client *http.Client
}

// URLs finds metrics under addresses, one for each replica. The client is asked without following redirects; default: http.DefaultTransport.
func URLs(transport http.RoundTripper, addresses ...string) (Finder, error) {
	if len(addresses) == 0 {
		return nil, fault.New(fault.Usage, "find the ingress controller's metrics", "no URL is named")
	}
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fault.New(fault.Usage, "find the ingress controller's metrics", "%q is no URL of http or https", address).
				WithHint("name the whole URL, such as http://traefik.example.com:9100/metrics")
		}
	}
	return urls{slices.Clone(addresses), &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (u urls) String() string {
	var names []string
	for _, address := range u.all {
		names = append(names, plain(address))
	}
	return strings.Join(names, ", ")
}

// plain is an address without a password.
func plain(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address"
	}
	return u.Redacted()
}

func (u urls) Find(context.Context, bool) ([]Replica, metric.Cost, error) {
	var all []Replica
	for _, address := range u.all {
		all = append(all, Replica{Name: plain(address), Open: func(ctx context.Context) (io.ReadCloser, error) { return u.open(ctx, address) }})
	}
	return all, metric.Cost{}, nil
}

func (u urls) open(ctx context.Context, address string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	response, err := u.client.Do(request)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err // the address is named by who reports this
		}
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, fmt.Errorf("it answered %s", response.Status)
	}
	return response.Body, nil
}

// PodOptions say which pods are the controller's.
type PodOptions struct {
	Client kubernetes.Interface
	// Namespace of the pods. Default: all.
	Namespace string
	// Labels that select them. Default: those that the charts of Traefik and ingress-nginx give them.
	Labels string
	// Port of the metrics, a number or a name. Default: the one named metrics, else 10254 for ingress-nginx, 9100 for Traefik, 9901 for
	// others.
	Port string
	// Path of the metrics. Default: /metrics; /stats/prometheus for others than Traefik and ingress-nginx.
	Path string
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

const (
	labelName = "app.kubernetes.io/name"
	usual     = labelName + " in (traefik,ingress-nginx)"
	// lookAgain is how old a list of pods may be.
	lookAgain = 10 * time.Second
	// maxReplicas bounds how many pods are asked.
	maxReplicas = 100
)

type pods struct {
	o PodOptions

	mu    sync.Mutex
	found []Replica
	at    time.Time
}

// Pods finds the controller's pods in the cluster and reads them through the API server, which needs the rights to list pods and to get
// pods/proxy.
func Pods(o PodOptions) Finder {
	if o.Now == nil {
		o.Now = time.Now
	}
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
	inner, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	list, err := p.o.Client.CoreV1().Pods(p.o.Namespace).List(inner, metav1.ListOptions{LabelSelector: p.selector(), Limit: maxReplicas})
	switch {
	case apierrors.IsForbidden(err):
		return nil, metric.Cost{}, metric.Down(ctx, "", errors.New("listing pods is forbidden")).
			WithHint("name the namespace of the controller or the URL of its metrics, or grant list on pods and get on pods/proxy there")
	case apierrors.IsBadRequest(err):
		return nil, metric.Cost{}, fault.New(fault.Usage, "", "%q selects no pods: %w", p.selector(), err).WithHint("write labels as kubectl -l takes them")
	case err != nil:
		if inner.Err() != nil {
			err = fmt.Errorf("the API server does not answer within %s", answerTime)
		}
		return nil, metric.Cost{}, metric.Down(ctx, "", err).WithHint("check the connection to the cluster")
	}
	var found []Replica
	for i := range list.Items {
		if one, ok := p.replica(&list.Items[i]); ok {
			found = append(found, one)
		}
	}
	if len(found) == 0 {
		return nil, metric.Cost{}, metric.Down(ctx, "", fmt.Errorf("no pod with labels %s runs", p.selector())).
			WithHint("name the URL of the controller's metrics, or the labels of its pods, where it is not Traefik or ingress-nginx from its chart")
	}
	p.found, p.at = found, now
	return found, metric.Cost{Requests: 1}, nil
}

// replica is a pod that may have counted something. One that is being deleted still answers requests.
func (p *pods) replica(pod *corev1.Pod) (Replica, bool) {
	name := pod.Labels[labelName]
	role := pod.Labels["app.kubernetes.io/component"]
	if pod.Status.Phase != corev1.PodRunning || p.o.Labels == "" && name == "ingress-nginx" && role != "" && role != "controller" {
		return Replica{}, false
	}
	port, path := p.o.Port, p.o.Path
	if port == "" {
		port = metricsPort(pod, name)
	} else if number := namedPort(pod, port); number != "" {
		port = number
	}
	if path == "" {
		path = "/metrics"
		if name != "traefik" && name != "ingress-nginx" {
			path = "/stats/prometheus"
		}
	}
	return Replica{Name: pod.Namespace + "/" + pod.Name, Open: func(ctx context.Context) (io.ReadCloser, error) {
		body, err := p.o.Client.CoreV1().RESTClient().Get().SetHeader("Accept", accept).
			Namespace(pod.Namespace).Resource("pods").Name(pod.Name + ":" + port).SubResource("proxy").Suffix(path).Stream(ctx)
		if apierrors.IsForbidden(err) {
			return nil, errors.New("reading it through the API server is forbidden: grant get on pods/proxy in namespace " + pod.Namespace)
		}
		return body, err
	}}, true
}

func metricsPort(pod *corev1.Pod, name string) string {
	if number := namedPort(pod, "metrics"); number != "" {
		return number
	}
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
