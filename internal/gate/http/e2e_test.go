//go:build e2e

package http_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/gate"
	"github.com/sluice-dev/sluice/internal/gate/gatetest"
	httpgate "github.com/sluice-dev/sluice/internal/gate/http"
)

const defaultEntryPort = "8080"

// world is a namespace with a Service per slot, whose endpoints are servers in the test's process.
type world struct {
	*gatetest.Cluster
	node string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Cluster: gatetest.NewCluster(t)}
	nodes, err := w.Client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) != 1 {
		t.Fatalf("%d nodes, %v", len(nodes.Items), err)
	}
	for _, a := range nodes.Items[0].Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			w.node = a.Address
		}
	}
	return w
}

// service makes a Service whose only endpoint is a server in this process.
func (w *world) service(t *testing.T, name string, handler http.HandlerFunc) {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(w.node, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	number := int32(listener.Addr().(*net.TCPAddr).Port)
	port, protocol, ready := "http", corev1.ProtocolTCP, true
	if _, err := w.Client.CoreV1().Services(w.Namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: port, Port: 80, TargetPort: intstr.FromInt32(number)}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Client.DiscoveryV1().EndpointSlices(w.Namespace).Create(t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{w.node}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		Ports:       []discoveryv1.EndpointPort{{Name: &port, Port: &number, Protocol: &protocol}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) ingress(t *testing.T, host, service string, annotations map[string]string) {
	t.Helper()
	class, prefix := "nginx", networkingv1.PathTypePrefix
	if _, err := w.Client.NetworkingV1().Ingresses(w.Namespace).Create(t.Context(), &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: service, Annotations: annotations},
		Spec: networkingv1.IngressSpec{IngressClassName: &class, Rules: []networkingv1.IngressRule{{
			Host: host,
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
				Path: "/", PathType: &prefix,
				Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
					Name: service, Port: networkingv1.ServiceBackendPort{Number: 80},
				}},
			}}}},
		}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) prober(t *testing.T) *httpgate.Prober {
	t.Helper()
	base, err := url.Parse(w.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	return httpgate.New(httpgate.Options{APIServer: &httpgate.APIServer{Base: base, Transport: transport}})
}

// decide asks until the gate has decided.
func decide(t *testing.T, p *httpgate.Prober, spec v1alpha1.HTTPGate, s gate.Subject) (v1alpha1.Verdict, string) {
	t.Helper()
	g, err := p.Gate(v1alpha1.Gate{HTTP: &spec})
	if err != nil {
		t.Fatal(err)
	}
	for {
		verdict, evidence, err := g.Check(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if verdict != v1alpha1.Waiting {
			t.Log(evidence)
			return verdict, evidence
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func answers(name string, factors string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"slot":%q,"path":%q,"factors":%s}`, name, r.URL.RequestURI(), factors)
	}
}

func TestClusterThroughTheEntry(t *testing.T) {
	w := newWorld(t)
	host := w.Namespace + ".calculator.localhost"
	w.service(t, "calculator-blue", answers("blue", "[13,17]"))
	w.service(t, "calculator-green", answers("green", "[221]"))
	w.ingress(t, host, "calculator-blue", nil)
	w.ingress(t, host, "calculator-green", map[string]string{
		"nginx.ingress.kubernetes.io/canary": "true", "nginx.ingress.kubernetes.io/canary-weight": "0",
		"nginx.ingress.kubernetes.io/canary-by-header": "canary", "nginx.ingress.kubernetes.io/canary-by-header-value": "always",
	})
	port := defaultEntryPort
	if p := os.Getenv("SLUICE_E2E_ENTRY_PORT"); p != "" {
		port = p
	}
	s := gate.Subject{
		Service: "calculator", Environment: "prod", Namespace: w.Namespace, Slot: v1alpha1.SlotGreen,
		Entry: "http://" + net.JoinHostPort(host, port), Router: v1alpha1.RouterNginx,
		Header: v1alpha1.Header{Name: "canary", Value: "always"},
	}
	spec := v1alpha1.HTTPGate{Path: "/api/calculate?number=221", Attempts: 20}
	spec.Expect.JSON = []byte(`{"slot":"green","path":"/api/calculate?number=221"}`)
	if verdict, evidence := decide(t, w.prober(t), spec, s); verdict != v1alpha1.Passed {
		t.Errorf("the candidate behind the header: %s: %s", verdict, evidence)
	}
	// The bad version that says 200, found by its body; live is right at the same time.
	spec.Attempts, spec.Expect.JSON = 2, []byte(`{"factors":[13,17]}`)
	verdict, evidence := decide(t, w.prober(t), spec, s)
	if verdict != v1alpha1.Failed || !strings.Contains(evidence, "expected JSON [13,17] at $.factors, got [221]") {
		t.Errorf("the candidate's wrong body: %s: %s", verdict, evidence)
	}
	s.Header = v1alpha1.Header{}
	if verdict, evidence := decide(t, w.prober(t), spec, s); verdict != v1alpha1.Passed {
		t.Errorf("live: %s: %s", verdict, evidence)
	}
	s.Entry = "http://" + net.JoinHostPort("nobody."+host, port)
	if verdict, evidence := decide(t, w.prober(t), spec, s); verdict != v1alpha1.Failed || !strings.Contains(evidence, strconv.Itoa(http.StatusNotFound)) {
		t.Errorf("a host without a route: %s: %s", verdict, evidence)
	}
}

// TestClusterThroughTheAPIServer needs a real pod: the API server's proxy leads to nothing else.
func TestClusterThroughTheAPIServer(t *testing.T) {
	w := newWorld(t)
	labels := map[string]string{"slot": "green"}
	if _, err := w.Client.CoreV1().Pods(w.Namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "calculator-green", Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: gatetest.Image(t), Args: []string{"serve"}}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Client.CoreV1().Services(w.Namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "calculator-green"},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s := gate.Subject{
		Service: "calculator", Environment: "prod", Namespace: w.Namespace, Slot: v1alpha1.SlotGreen, Router: v1alpha1.RouterService,
		Entry: "http://127.0.0.1:1", Header: v1alpha1.Header{Name: "canary", Value: "always"},
		Services: []v1alpha1.StableService{{
			Name: "calculator", SlotService: "calculator-green", Manifest: []byte(`{"spec":{"ports":[{"name":"http","port":80}]}}`),
		}},
	}
	// The pod is not ready yet: those are failed attempts.
	spec := v1alpha1.HTTPGate{Path: "/api/calculate?number=221", Attempts: 60}
	spec.Expect.JSON = []byte(`{"path":"/api/calculate?number=221","factors":[13,17]}`)
	if verdict, evidence := decide(t, w.prober(t), spec, s); verdict != v1alpha1.Passed {
		t.Errorf("%s: %s", verdict, evidence)
	}
	spec = v1alpha1.HTTPGate{URL: "http://calculator/api/calculate?number=221", Attempts: 1, Expect: spec.Expect}
	if verdict, evidence := decide(t, w.prober(t), spec, s); verdict != v1alpha1.Passed {
		t.Errorf("by the Service's name: %s: %s", verdict, evidence)
	}
	s.Services[0].SlotService = "calculator-blue"
	if verdict, evidence := decide(t, w.prober(t), spec, s); verdict != v1alpha1.Failed || !strings.Contains(evidence, "calculator-blue") {
		t.Errorf("a Service that is not there: %s: %s", verdict, evidence)
	}
}
