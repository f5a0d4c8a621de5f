//go:build e2e

package ingress_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/gate/gatetest"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/metric/ingress"
	"github.com/sluice-dev/sluice/internal/traffic"
	"github.com/sluice-dev/sluice/internal/traffic/gateway"
	"github.com/sluice-dev/sluice/internal/traffic/nginx"
	"github.com/sluice-dev/sluice/internal/traffic/service"
	"github.com/sluice-dev/sluice/test/load"
)

// Where the local cluster's Traefik is. The environment overrides it.
const (
	defaultMetrics = "http://127.0.0.1:8082/metrics"
	defaultPort    = "8080"
)

func setting(variable, otherwise string) string {
	if v := os.Getenv(variable); v != "" {
		return v
	}
	return otherwise
}

// place is a namespace in which slots blue and green of service shop are servers in the test's process, behind a real router.
type place struct {
	*gatetest.Cluster
	t      *testing.T
	host   string
	node   string
	target traffic.Target
	router traffic.Router
	slots  map[v1alpha1.Slot]*server
}

func newPlace(t *testing.T, kind v1alpha1.Router) *place {
	t.Helper()
	p := &place{Cluster: gatetest.NewCluster(t), t: t, slots: map[v1alpha1.Slot]*server{}}
	p.host = p.Namespace + ".localhost"
	nodes, err := p.Client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) != 1 {
		t.Fatalf("%d nodes, %v", len(nodes.Items), err)
	}
	for _, a := range nodes.Items[0].Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			p.node = a.Address
		}
	}
	p.target = traffic.Target{
		Service: "shop", Environment: "test", Namespace: p.Namespace, Convergence: 2 * time.Second,
		Routes: map[v1alpha1.Slot]v1alpha1.Routes{},
	}
	for _, slot := range []v1alpha1.Slot{blue, green} {
		p.slot(slot, kind)
	}
	callers := service.New(p.Client, nil)
	p.router = nginx.New(p.Client, callers, nil)
	if kind == v1alpha1.RouterGateway {
		p.router = gateway.New(dynamic.NewForConfigOrDie(p.Config), callers, nil)
	}
	return p
}

// slot runs a server, and says what the slot's chart would render.
func (p *place) slot(slot v1alpha1.Slot, kind v1alpha1.Router) {
	t := p.t
	p.slots[slot] = &server{slot: slot}
	name := "shop-web-" + string(slot)
	number := p.listen(p.slots[slot])
	port, protocol, ready := "http", corev1.ProtocolTCP, true
	if _, err := p.Client.CoreV1().Services(p.Namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: port, Port: 80, TargetPort: intstr.FromInt32(number)}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Client.DiscoveryV1().EndpointSlices(p.Namespace).Create(t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{p.node}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		Ports:       []discoveryv1.EndpointPort{{Name: &port, Port: &number, Protocol: &protocol}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	route := v1alpha1.RouteObject{Kind: "Ingress", Name: "shop", Manifest: json.RawMessage(fmt.Sprintf(
		`{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"shop"},"spec":{"ingressClassName":"nginx","rules":[{"host":%q,"http":{"paths":[
		  {"path":"/","pathType":"Prefix","backend":{"service":{"name":"shop-web","port":{"number":80}}}}]}}]}}`, p.host))}
	if kind == v1alpha1.RouterGateway {
		route = v1alpha1.RouteObject{Kind: "HTTPRoute", Name: "shop", Manifest: json.RawMessage(fmt.Sprintf(
			`{"apiVersion":"gateway.networking.k8s.io/v1","kind":"HTTPRoute","metadata":{"name":"shop"},"spec":{"parentRefs":[{"name":"sluice","namespace":"sluice-system"}],
			  "hostnames":[%q],"rules":[{"backendRefs":[{"name":"shop-web","port":80}]}]}}`, p.host))}
	}
	p.target.Routes[slot] = v1alpha1.Routes{Objects: []v1alpha1.RouteObject{route}, Services: []v1alpha1.StableService{{
		Name: "shop-web", SlotService: name, Manifest: json.RawMessage(
			`{"apiVersion":"v1","kind":"Service","metadata":{"name":"shop-web"},"spec":{"selector":{"slot":"` + string(slot) + `"},"ports":[{"name":"http","port":80,"targetPort":"http"}]}}`),
	}}}
}

// listen serves on the node's address, where pods and the API server reach it.
func (p *place) listen(handler http.Handler) int32 {
	p.t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(p.node, "0"))
	if err != nil {
		p.t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	server.Start()
	p.t.Cleanup(server.Close)
	return int32(listener.Addr().(*net.TCPAddr).Port)
}

// shift moves the traffic and waits until it has moved.
func (p *place) shift(split v1alpha1.Split) {
	p.t.Helper()
	p.until("the traffic is at "+split.String(), func() bool {
		if err := p.router.Shift(p.t.Context(), traffic.Shift{Target: p.target, Split: split, Generation: 1}); err != nil {
			p.t.Log(err)
			return false
		}
		state, err := p.router.Split(p.t.Context(), p.target)
		return err == nil && state.Split.Equal(split) && state.Converged() && !state.Transition
	})
}

func (p *place) until(what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("never: %s", what)
		}
	}
}

// send sends requests, with the header or without, and says which slots answered.
func (p *place) send(n int, header bool) map[v1alpha1.Slot]uint64 {
	p.t.Helper()
	client := load.Client(time.Minute)
	answered := map[v1alpha1.Slot]uint64{}
	for answered[blue]+answered[green] < uint64(n) {
		request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.host+":"+setting("SLUICE_E2E_PORT", defaultPort)+"/", nil)
		if err != nil {
			p.t.Fatal(err)
		}
		if header {
			request.Header.Set("canary", "always")
		}
		response, err := client.Do(request)
		if err != nil {
			p.t.Fatal(err)
		}
		var slot v1alpha1.Slot
		_, _ = fmt.Fscan(response.Body, &slot)
		_ = response.Body.Close()
		if slot == blue || slot == green { // the proxy itself answers until it knows the route
			answered[slot]++
		}
	}
	return answered
}

func (p *place) subject() metric.Subject {
	return metric.Subject{Service: "shop", Environment: "test", Namespace: p.Namespace, Live: blue, Candidate: green, Routes: p.target.Routes}
}

// What the local cluster's Traefik counts is what the slots answered, whatever way the requests came.
func TestTraefikOnCluster(t *testing.T) {
	finder, err := ingress.URLs(nil, setting("SLUICE_E2E_METRICS", defaultMetrics))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []v1alpha1.Router{v1alpha1.RouterNginx, v1alpha1.RouterGateway} {
		t.Run(string(kind), func(t *testing.T) {
			p := newPlace(t, kind)
			source, err := ingress.New(ingress.Options{Finder: finder}).Source(p.subject(), metric.Question{SlowerThan: 500 * time.Millisecond}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := source.Read(t.Context()); !errors.Is(err, metric.ErrNoData) {
				t.Fatalf("before any request: %v", err)
			}
			want := map[v1alpha1.Slot]uint64{}
			var r metric.Reading
			// Traefik forgets what it counted for a service that its routes no longer have, such as a canary: it is read before.
			count := func(answered map[v1alpha1.Slot]uint64) {
				for slot, n := range answered {
					want[slot] += n
				}
				for end := time.Now().Add(20 * time.Second); err != nil || r.Slots[blue].Requests < want[blue] || r.Slots[green].Requests < want[green]; time.Sleep(200 * time.Millisecond) {
					if r, err = source.Read(t.Context()); time.Now().After(end) {
						t.Fatalf("the slots answered %v, and what is counted is %+v, %v", want, r, err)
					}
				}
			}
			p.shift(v1alpha1.Between(blue, green, 0))
			count(p.send(20, false))
			p.slots[green].fails.Store(3)
			p.slots[green].slow.Store(2)
			count(p.send(10, true))
			p.shift(v1alpha1.Between(blue, green, 50))
			p.slots[blue].fails.Store(1)
			count(p.send(60, false))
			p.shift(v1alpha1.Only(green))
			count(p.send(20, false))
			if want[blue] < 20 || want[green] < 30 {
				t.Errorf("the slots answered %v", want)
			}
			b, g := r.Slots[blue], r.Slots[green]
			if b.Requests != want[blue] || b.Failed != 1 || r.Codes[blue]["503"] != 1 || b.Slow != 0 {
				t.Errorf("blue answered %d, and %+v is counted", want[blue], b)
			}
			if g.Requests != want[green] || g.Failed != 3 || g.Slow != 2 {
				t.Errorf("green answered %d, and %+v is counted", want[green], g)
			}
		})
	}
}

// The way through the real API server to a pod: the pod is one that no node runs, with the address of a server in this process.
func TestPodsOnCluster(t *testing.T) {
	p := newPlace(t, v1alpha1.RouterNginx)
	c := newClock()
	x := newController(t, c, "traefik")
	x.serve(blue, 1, 0, 0)
	number := p.listen(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			t.Errorf("it asked for %s", r.URL)
		}
		_, _ = w.Write([]byte(x.page()))
	}))
	pod, err := p.Client.CoreV1().Pods(p.Namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "traefik-0", Labels: app("traefik")},
		Spec: corev1.PodSpec{SchedulerName: "nobody", Containers: []corev1.Container{{
			Name: "traefik", Image: "traefik", Ports: []corev1.ContainerPort{{Name: "metrics", ContainerPort: number}},
		}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs = corev1.PodRunning, p.node, []corev1.PodIP{{IP: p.node}}
	if _, err := p.Client.CoreV1().Pods(p.Namespace).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	finder := ingress.Pods(ingress.PodOptions{Client: p.Client, Namespace: p.Namespace})
	source, err := ingress.New(ingress.Options{Finder: finder, Now: c.Now}).Source(subject(), metric.Question{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	read(t, c, source)
	x.serve(blue, 5, 1, 0)
	if r := read(t, c, source); r.Slots[blue].Requests != 5 || r.Slots[blue].Failed != 1 {
		t.Errorf("it read %+v", r)
	}
}

// Whoever names no URL finds the local cluster's Traefik, with the rights of docs/operations/rbac/ingress.yaml and no others: everywhere where
// they are given for the cluster, and in its namespace where they are given there.
func TestFindsTraefikOnCluster(t *testing.T) {
	p := newPlace(t, v1alpha1.RouterNginx)
	role := p.role()
	for name, namespace := range map[string]string{"everywhere": "", "in its namespace": "sluice-system"} {
		t.Run(name, func(t *testing.T) {
			account := strings.ReplaceAll("counts-"+name, " ", "-")
			client := p.as(account)
			ask := func(namespace string) error {
				x := ingress.New(ingress.Options{Finder: ingress.Pods(ingress.PodOptions{Client: client, Namespace: namespace})})
				source, err := x.Source(p.subject(), metric.Question{SlowerThan: 1200 * time.Millisecond}, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, err = source.Read(t.Context())
				return err
			}
			if err := ask(namespace); !errors.Is(err, metric.ErrDown) || !strings.Contains(err.Error(), "listing pods is forbidden") {
				t.Fatalf("without rights: %v", err)
			}
			p.bind(t, role, account, namespace)
			// Traefik answers and knows of no request: that is more than not being able to tell.
			p.until("the right is there, and Traefik is found", func() bool { return errors.Is(ask(namespace), metric.ErrNoData) })
			if err := ask(""); namespace != "" && !strings.Contains(err.Error(), "listing pods is forbidden") {
				t.Errorf("elsewhere: %v", err)
			}
		})
	}
	source, err := ingress.New(ingress.Options{Finder: ingress.Pods(ingress.PodOptions{Client: p.Client})}).Source(p.subject(), metric.Question{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.shift(v1alpha1.Between(blue, green, 0))
	_, _ = source.Read(t.Context())
	answered := p.send(5, false)
	p.until("all are counted", func() bool {
		r, err := source.Read(t.Context())
		return err == nil && r.Slots[blue].Requests == answered[blue] && r.Lacking == ""
	})
}

// role applies the role under a name of the test's own.
func (p *place) role() string {
	p.t.Helper()
	text, err := os.ReadFile("../../../docs/operations/rbac/ingress.yaml")
	if err != nil {
		p.t.Fatal(err)
	}
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict(text, &role); err != nil {
		p.t.Fatal(err)
	}
	role.Name = p.Namespace
	if _, err := p.Client.RbacV1().ClusterRoles().Create(p.t.Context(), &role, metav1.CreateOptions{}); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if err := p.Client.RbacV1().ClusterRoles().Delete(context.Background(), role.Name, metav1.DeleteOptions{}); err != nil {
			p.t.Error(err)
		}
	})
	return role.Name
}

// as is a client of a service account of the namespace.
func (p *place) as(account string) kubernetes.Interface {
	config := rest.CopyConfig(p.Config)
	config.Impersonate.UserName = "system:serviceaccount:" + p.Namespace + ":" + account
	return kubernetes.NewForConfigOrDie(config)
}

// bind gives an account a role in a namespace, or in the cluster.
func (p *place) bind(t *testing.T, role, account, namespace string) {
	t.Helper()
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: p.Namespace}}
	meta := metav1.ObjectMeta{Name: p.Namespace, Namespace: namespace}
	var err error
	var remove func() error
	if rbac := p.Client.RbacV1(); namespace == "" {
		_, err = rbac.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}, metav1.CreateOptions{})
		remove = func() error {
			return rbac.ClusterRoleBindings().Delete(context.Background(), meta.Name, metav1.DeleteOptions{})
		}
	} else {
		_, err = rbac.RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}, metav1.CreateOptions{})
		remove = func() error {
			return rbac.RoleBindings(namespace).Delete(context.Background(), meta.Name, metav1.DeleteOptions{})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := remove(); err != nil {
			t.Error(err)
		}
	})
}
